"""A signal: an entry that was announced, followed to its end."""

from enum import StrEnum

import msgspec

from shared.domain.bias import Direction
from shared.domain.checks import check_name, check_price, check_time_ms, require
from shared.domain.decisions import Condition, Sizing
from shared.domain.identity import signal_id
from shared.domain.timeframe import Timeframe


class SignalStatus(StrEnum):
    """Whether the signal still runs."""

    OPEN = "open"
    CLOSED = "closed"


class ExitReason(StrEnum):
    """How a signal ended."""

    TAKE_PROFIT = "tp"
    STOP_LOSS = "sl"
    EXPIRED = "expired"
    REVERSED = "reversed"


class Resolution(StrEnum):
    """What decided an exit: the candle alone, the tape (both levels lay in it), or caution (no tape: the stop)."""

    CANDLE = "candle"
    TAPE = "tape"
    PESSIMISTIC = "pessimistic"


class SignalExit(msgspec.Struct, frozen=True, kw_only=True):
    """The end. price: quote currency; closed_at_ms: close of the deciding 1m candle; pnl_pct: of the entry, no costs."""

    reason: ExitReason
    price: float
    closed_at_ms: int
    pnl_pct: float
    resolution: Resolution


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """Full snapshot; every signal event carries one, so that Closed may arrive before Opened.

    candle_open_time_ms: of the Decision's candle; with strategy, exchange, symbol, timeframe it names the Decision.
    opened_at_ms:        close of that candle.
    price_decimals:      decimals of the instrument's price step, for display.
    version:             1 when opened; each event of the signal adds one.
    score:               of its Decision, 0-100; None where the strategy gives none.
    sizing:              how large the strategy would make the position; None where it does not say.
    trail_pct:           a stop follows the best price at this distance, percent of it; None for none.
    time_exit_ms:        so long after the entry the signal ends at a close with a gain below time_exit_below_pct.
    prev_hash:           hash of the signal before it in its slot's chain; empty for the first.
    """

    signal_id: str
    version: int
    status: SignalStatus
    strategy: str
    trigger: str
    exchange: str
    symbol: str
    timeframe: Timeframe
    side: Direction
    candle_open_time_ms: int
    opened_at_ms: int
    entry_price: float
    take_profit: float | None
    stop_loss: float | None
    max_age_candles: int | None
    price_decimals: int
    conditions: tuple[Condition, ...]
    bias: str
    window_digest: str
    prev_hash: str
    exit: SignalExit | None = None
    score: float | None = None
    sizing: Sizing | None = None
    trail_pct: float | None = None
    time_exit_ms: int | None = None
    time_exit_below_pct: float = 0.0

    def __post_init__(self) -> None:
        place = f"signal {self.signal_id} {self.symbol}"
        check_name(self.strategy, "strategy", place)
        check_name(self.symbol, "symbol", place)
        check_price(self.entry_price, "entry_price", place)
        check_time_ms(self.opened_at_ms, "opened_at_ms", place)
        require(self.side is not Direction.NEUTRAL, "side must be LONG or SHORT", self.side, place)
        expected = signal_id(
            strategy=self.strategy,
            trigger=self.trigger,
            exchange=self.exchange,
            symbol=self.symbol,
            timeframe=self.timeframe,
            candle_open_time_ms=self.candle_open_time_ms,
            side=self.side,
        )
        require(self.signal_id == expected, f"signal_id must be {expected}", self.signal_id, place)
        closed = self.status is SignalStatus.CLOSED
        require(closed == (self.exit is not None), "a closed signal, and only that, has an exit", self.exit, place)
        self._check_levels(place)

    def _check_levels(self, place: str) -> None:
        sign = 1 if self.side is Direction.LONG else -1
        for name, level, direction in (("take_profit", self.take_profit, sign), ("stop_loss", self.stop_loss, -sign)):
            if level is not None:
                check_price(level, name, place)
                right_side = (level - self.entry_price) * direction > 0
                require(right_side, f"{name} must lie on its side of entry {self.entry_price}", level, place)
