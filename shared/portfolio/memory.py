"""The adaptive memory: what the last closed signals teach about the next ones. Eight rules, pure, folded trade by trade.

| # | while / when | then |
|---|---|---|
| 1 | win rate of the last 20 < 55 % (at least 10) | every threshold +5 |
| 2 | a loss makes it 3 or more in a row | no entries for 12 h |
| 3 | drawdown > 5 % from the peak | at most 2 signals a day |
| 4 | drawdown > 8 % | risk 0.5 % |
| 5 | a loss makes it 2 or more in a row for the symbol | no entries in the symbol for 24 h |
| 6 | win rate of the symbol's last 10 < 50 % (at least 5) | that symbol's threshold +5 |
| 7 | a close leaves the win rate of reversal's last 20 < 45 % (at least 10) | reversal off for 48 h |
| 8 | win rate of continuation's last 20 > 65 % (at least 10) | continuation goes first when places are few |

1, 3, 4, 6, 8 are read from the state whenever it is asked: they are gone as soon as their condition is. 2, 5, 7 are times,
set only by the close that concerns them and over when they are past. The state is a fold over the closed signals, which are
stored: a restart folds them again and knows all that was known. A Decision on a candle knows the trades that closed
before that candle did, so that it does not depend on which symbol of a minute is handled first.
A win is a gain > 0. Drawdown is measured on the starting balance plus all gains.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from shared.domain.bias import Direction
from shared.domain.signals import Signal

HOUR_MS: Final = 3_600_000
CONTINUATION, REVERSAL = "continuation", "reversal"
_LAST_TRADES: Final = 20
_LAST_OF_SYMBOL: Final = 10
THRESHOLD_MAX: Final = 95.0


class MemoryRules(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the rules; the defaults are the reference system's. Shares in percent, times in hours."""

    balance: float = 1000.0
    win_pct_min: float = 55.0
    trades_min: int = 10
    threshold_step: float = 5.0
    losses_pause: int = 3
    pause_hours: float = 12.0
    drawdown_few_pct: float = 5.0
    few_signals: int = 2
    drawdown_risk_pct: float = 8.0
    small_risk_pct: float = 0.5
    symbol_losses: int = 2
    symbol_hours: float = 24.0
    symbol_win_pct_min: float = 50.0
    symbol_trades_min: int = 5
    reversal_win_pct_min: float = 45.0
    reversal_hours: float = 48.0
    continuation_win_pct_min: float = 65.0


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A closed signal as the memory sees it. gain: quote currency, for the strategy's own account size."""

    signal_id: str
    symbol: str
    model: str
    closed_at_ms: int
    gain: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is known after some trades. Outcomes are newest last; a time of 0 is none."""

    trades: int = 0
    wins: tuple[bool, ...] = ()
    wins_by_model: dict[str, tuple[bool, ...]] = {}
    wins_by_symbol: dict[str, tuple[bool, ...]] = {}
    gained: float = 0.0
    peak: float = 0.0
    paused_until_ms: int = 0
    symbol_until_ms: dict[str, int] = {}
    model_until_ms: dict[str, int] = {}


class MemoryVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one model and symbol at one time. A text that is not empty names the rule that says no."""

    threshold_add: float
    signals_per_day_max: int | None
    risk_pct_max: float | None
    entries_off: str
    model_off: str
    goes_first: bool
    drawdown_pct: float


def remembered(trades: Iterable[ClosedTrade], rules: MemoryRules) -> Memory:
    """The memory after these trades, whatever order they come in: they are folded by closing time and id."""
    memory = Memory()
    for trade in sorted(trades, key=_order):
        memory = with_trade(memory, trade, rules)
    return memory


class Past:
    """Trades as they become known, in any order, and the memory as it was before any time; each is folded once."""

    def __init__(self, rules: MemoryRules) -> None:
        self.rules = rules
        self._trades: list[ClosedTrade] = []
        self._known: set[str] = set()
        self._memory, self._folded = Memory(), 0

    def add(self, trade: ClosedTrade) -> None:
        """One more trade; one that is known changes nothing, since a close is final."""
        if trade.signal_id in self._known:
            return
        self._known.add(trade.signal_id)
        if bisect_left(self._trades, _order(trade), key=_order) < self._folded:
            self._memory, self._folded = Memory(), 0
        insort(self._trades, trade, key=_order)

    def before(self, at_ms: int) -> Memory:
        """The memory after every trade that closed before this time, those that close at it left out."""
        count = bisect_left(self._trades, at_ms, key=lambda trade: trade.closed_at_ms)
        if count < self._folded:
            self._memory, self._folded = Memory(), 0
        for trade in self._trades[self._folded : count]:
            self._memory = with_trade(self._memory, trade, self.rules)
        self._folded = count
        return self._memory


def with_trade(memory: Memory, trade: ClosedTrade, rules: MemoryRules) -> Memory:
    """The memory after one more trade."""
    won = trade.gain > 0
    wins = (*memory.wins, won)[-_LAST_TRADES:]
    of_model = (*memory.wins_by_model.get(trade.model, ()), won)[-_LAST_TRADES:]
    of_symbol = (*memory.wins_by_symbol.get(trade.symbol, ()), won)[-_LAST_OF_SYMBOL:]
    gained = memory.gained + trade.gain
    paused_ms, symbols, models = memory.paused_until_ms, memory.symbol_until_ms, memory.model_until_ms
    if _losses_in_a_row(wins) >= rules.losses_pause:
        paused_ms = _later(trade, rules.pause_hours)
    if _losses_in_a_row(of_symbol) >= rules.symbol_losses:
        symbols = {**symbols, trade.symbol: _later(trade, rules.symbol_hours)}
    if trade.model == REVERSAL and _rate_below(of_model, rules.reversal_win_pct_min, rules.trades_min):
        models = {**models, REVERSAL: _later(trade, rules.reversal_hours)}
    return Memory(
        trades=memory.trades + 1,
        wins=wins,
        wins_by_model={**memory.wins_by_model, trade.model: of_model},
        wins_by_symbol={**memory.wins_by_symbol, trade.symbol: of_symbol},
        gained=gained,
        peak=max(memory.peak, gained),
        paused_until_ms=paused_ms,
        symbol_until_ms=symbols,
        model_until_ms=models,
    )


def memory_says(memory: Memory, rules: MemoryRules, *, symbol: str, model: str, at_ms: int) -> MemoryVerdict:
    """What the memory says about an entry of this model in this symbol at this market time."""
    add = 0.0
    if _rate_below(memory.wins, rules.win_pct_min, rules.trades_min):
        add += rules.threshold_step
    if _rate_below(memory.wins_by_symbol.get(symbol, ()), rules.symbol_win_pct_min, rules.symbol_trades_min):
        add += rules.threshold_step
    drawdown = drawdown_pct(memory, rules)
    of_continuation = memory.wins_by_model.get(CONTINUATION, ())
    return MemoryVerdict(
        threshold_add=add,
        signals_per_day_max=rules.few_signals if drawdown > rules.drawdown_few_pct else None,
        risk_pct_max=rules.small_risk_pct if drawdown > rules.drawdown_risk_pct else None,
        entries_off=_entries_off(memory, symbol, at_ms),
        model_off=_off("model", model, memory.model_until_ms.get(model, 0), at_ms),
        goes_first=model == CONTINUATION
        and len(of_continuation) >= rules.trades_min
        and _win_pct(of_continuation) > rules.continuation_win_pct_min,
        drawdown_pct=drawdown,
    )


def drawdown_pct(memory: Memory, rules: MemoryRules) -> float:
    """How far the balance lies below its peak, percent of the peak."""
    peak = rules.balance + memory.peak
    return round((memory.peak - memory.gained) / peak * 100, 9) if peak > 0 else 100.0


def trade_of(signal: Signal, model: str, rules: MemoryRules) -> ClosedTrade | None:
    """A closed signal as a trade, its gain that of its sizing, else of the whole balance; None while it is open."""
    if signal.exit is None:
        return None
    sign = 1 if signal.side is Direction.LONG else -1
    quantity = signal.sizing.quantity if signal.sizing is not None else rules.balance / signal.entry_price
    return ClosedTrade(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        model=model,
        closed_at_ms=signal.exit.closed_at_ms,
        gain=sign * (signal.exit.price - signal.entry_price) * quantity,
    )


def numbers(verdict: MemoryVerdict) -> Mapping[str, float | str | bool | None]:
    """The verdict as a Decision records it among its inputs."""
    return {f"memory.{name}": value for name, value in msgspec.structs.asdict(verdict).items()}


def _order(trade: ClosedTrade) -> tuple[int, str]:
    return trade.closed_at_ms, trade.signal_id


def _entries_off(memory: Memory, symbol: str, at_ms: int) -> str:
    return _off("pause", "all", memory.paused_until_ms, at_ms) or _off(
        "cooldown", symbol, memory.symbol_until_ms.get(symbol, 0), at_ms
    )


def _off(what: str, whom: str, until_ms: int, at_ms: int) -> str:
    return f"{what} of {whom} until {until_ms}" if at_ms < until_ms else ""


def _later(trade: ClosedTrade, hours: float) -> int:
    return trade.closed_at_ms + int(hours * HOUR_MS)


def _losses_in_a_row(wins: tuple[bool, ...]) -> int:
    count = 0
    for won in reversed(wins):
        if won:
            break
        count += 1
    return count


def _win_pct(wins: tuple[bool, ...]) -> float:
    return 100 * sum(wins) / len(wins)


def _rate_below(wins: tuple[bool, ...], pct: float, trades_min: int) -> bool:
    return len(wins) >= trades_min and _win_pct(wins) < pct
