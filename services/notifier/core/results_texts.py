"""How the closed signals went, as /status tells it: win rates, losses in a row, and what the adaptive memory makes of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.notifier.core.languages import Words
from services.notifier.core.texts import NAME_MAX, clipped, figure, signed_percent
from services.notifier.core.voice import Voice
from shared.domain.models import SCORE_MIN, SIGNALS_PER_DAY_MAX
from shared.domain.signals import Signal
from shared.domain.timeframe import DAY_MS
from shared.portfolio.memory import (
    CONTINUATION,
    REVERSAL,
    THRESHOLD_MAX,
    ClosedTrade,
    Memory,
    MemoryRules,
    memory_says,
    remembered,
    trade_of,
)

_LAST: Final = 20
_MODELS_SHOWN_MAX: Final = 12
REMEMBERED: Final = frozenset({CONTINUATION, REVERSAL})  # the kinds that pass the adaptive memory


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy as configured. kind: which strategy it is; score_min, per_day_max: read of those in REMEMBERED alone."""

    kind: str
    enabled: bool = True
    score_min: float = SCORE_MIN
    per_day_max: int = SIGNALS_PER_DAY_MAX


def results_text(voice: Voice, signals: Sequence[Signal], strategies: Mapping[str, Running], now_ms: int) -> str:
    """Of all signals stored; empty while none has closed and no strategy passes the memory.

    strategies: by the name each runs under. now_ms: market time; days are UTC. A win is a gain above 0.
    """
    ended = sorted(
        (signal for signal in signals if signal.exit is not None), key=lambda one: (_closed_at_ms(one), one.signal_id)
    )
    told = _closed_lines(voice, ended, signals, strategies, now_ms) if ended else []
    return "\n".join([*told, *_memory_lines(voice, ended, signals, strategies, now_ms)])


def _closed_lines(
    voice: Voice, ended: Sequence[Signal], signals: Sequence[Signal], strategies: Mapping[str, Running], now_ms: int
) -> list[str]:
    words, last = voice.words, ended[-_LAST:]
    lines = [
        words.results.format(
            count=len(last),
            won=_won_pct(last),
            pnl=signed_percent(sum(signal.exit.pnl_pct for signal in last if signal.exit is not None)),
            losses=_losses_in_a_row(ended),
            today=_opened_today(signals, now_ms),
        )
    ]
    by_strategy: dict[str, list[Signal]] = {}
    for signal in ended:
        by_strategy.setdefault(signal.strategy, []).append(signal)
    for strategy, of_strategy in sorted(by_strategy.items())[:_MODELS_SHOWN_MAX]:
        newest = of_strategy[-_LAST:]
        name = _name(words, strategy, _kind(strategies, strategy))
        lines.append(words.results_line.format(name=name, won=_won_pct(newest), count=len(newest)))
    if len(by_strategy) > _MODELS_SHOWN_MAX:
        lines.append(words.more.format(count=len(by_strategy) - _MODELS_SHOWN_MAX))
    return lines


def _memory_lines(
    voice: Voice, ended: Sequence[Signal], signals: Sequence[Signal], strategies: Mapping[str, Running], now_ms: int
) -> list[str]:
    """What the logic engine folds from the same signals with the same rules, and what it asks of the next entry."""
    rules, words = MemoryRules(), voice.words
    memory = remembered(_trades(ended, strategies, rules), rules)
    judged = {name: one for name, one in strategies.items() if one.enabled and one.kind in REMEMBERED}
    if not memory.trades and not judged:
        return []
    said = memory_says(memory, rules, symbol="", model="", at_ms=now_ms)
    capital = f"{rules.balance + memory.gained:,.2f}"
    lines = [words.results_memory.format(capital=capital, drawdown=figure(said.drawdown_pct))]
    today = _opened_today([one for one in signals if _kind(strategies, one.strategy) in REMEMBERED], now_ms)
    for name, one in sorted(judged.items())[:_MODELS_SHOWN_MAX]:
        lines.append(_model_line(voice, _name(words, name, one.kind), one, memory, today=today, now_ms=now_ms))
    if memory.paused_until_ms > now_ms:
        lines.append(words.results_pause.format(time=voice.time(memory.paused_until_ms)))
    return lines


def _model_line(voice: Voice, name: str, running: Running, memory: Memory, *, today: int, now_ms: int) -> str:
    """As the gates `model`, `score` and `daily_cap` would judge an entry of a symbol without a past."""
    said = memory_says(memory, MemoryRules(), symbol="", model=running.kind, at_ms=now_ms)
    if said.model_off:
        return voice.words.results_model_off.format(name=name, time=voice.time(memory.model_until_ms[running.kind]))
    most = running.per_day_max
    if said.signals_per_day_max is not None:
        most = min(most, said.signals_per_day_max)
    return voice.words.results_model.format(
        name=name,
        threshold=f"{min(running.score_min + said.threshold_add, THRESHOLD_MAX):g}",
        added=f"+{said.threshold_add:g}",
        today=today,
        most=most,
    )


def _trades(ended: Sequence[Signal], strategies: Mapping[str, Running], rules: MemoryRules) -> list[ClosedTrade]:
    kinds = ((signal, _kind(strategies, signal.strategy)) for signal in ended)
    trades = [trade_of(signal, kind, rules) for signal, kind in kinds if kind in REMEMBERED]
    return [trade for trade in trades if trade is not None]


def _opened_today(signals: Sequence[Signal], now_ms: int) -> int:
    """Counted as the daily cap counts: what opens at midnight sharp is of the day that ends there."""
    return sum((now_ms - 1) // DAY_MS == (signal.opened_at_ms - 1) // DAY_MS for signal in signals)


def _kind(strategies: Mapping[str, Running], name: str) -> str:
    return strategies[name].kind if name in strategies else ""


def _name(words: Words, strategy: str, kind: str) -> str:
    model = words.model.get(kind)
    return clipped(strategy, NAME_MAX) + (f" ({model})" if model and model != strategy else "")


def _closed_at_ms(signal: Signal) -> int:
    return signal.exit.closed_at_ms if signal.exit is not None else 0


def _won(signal: Signal) -> bool:
    return signal.exit is not None and signal.exit.pnl_pct > 0


def _won_pct(signals: Sequence[Signal]) -> str:
    return f"{100 * sum(map(_won, signals)) / len(signals):.0f}"


def _losses_in_a_row(ended: Sequence[Signal]) -> int:
    return next((count for count, signal in enumerate(reversed(ended)) if _won(signal)), len(ended))
