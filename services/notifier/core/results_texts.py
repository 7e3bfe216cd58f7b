"""How the closed signals went, as /status tells it: win rates, losses in a row, and what the adaptive memory makes of them."""

from collections.abc import Mapping, Sequence
from typing import Final

from services.notifier.core.languages import Words
from services.notifier.core.texts import NAME_MAX, clipped, figure, signed_percent
from services.notifier.core.voice import Voice
from shared.domain.signals import Signal
from shared.domain.timeframe import DAY_MS
from shared.portfolio.memory import CONTINUATION, REVERSAL, MemoryRules, memory_says, remembered, trade_of

_LAST: Final = 20
_MODELS_SHOWN_MAX: Final = 12
_REMEMBERED: Final = frozenset({CONTINUATION, REVERSAL})  # the kinds that pass the adaptive memory


def results_text(voice: Voice, signals: Sequence[Signal], kinds: Mapping[str, str], now_ms: int) -> str:
    """Of all signals stored; empty while none has closed.

    kinds: which strategy runs under a name. now_ms: market time; days are UTC. A win is a gain above 0.
    """
    ended = sorted(
        (signal for signal in signals if signal.exit is not None), key=lambda one: (_closed_at_ms(one), one.signal_id)
    )
    if not ended:
        return ""
    words, last = voice.words, ended[-_LAST:]
    lines = [
        words.results.format(
            count=len(last),
            won=_won_pct(last),
            pnl=signed_percent(sum(signal.exit.pnl_pct for signal in last if signal.exit is not None)),
            losses=_losses_in_a_row(ended),
            today=sum(now_ms // DAY_MS == signal.opened_at_ms // DAY_MS for signal in signals),
        )
    ]
    by_strategy: dict[str, list[Signal]] = {}
    for signal in ended:
        by_strategy.setdefault(signal.strategy, []).append(signal)
    for strategy, of_strategy in sorted(by_strategy.items())[:_MODELS_SHOWN_MAX]:
        newest = of_strategy[-_LAST:]
        name = _name(words, strategy, kinds.get(strategy, ""))
        lines.append(words.results_line.format(name=name, won=_won_pct(newest), count=len(newest)))
    if len(by_strategy) > _MODELS_SHOWN_MAX:
        lines.append(words.more.format(count=len(by_strategy) - _MODELS_SHOWN_MAX))
    return "\n".join([*lines, *_memory(voice, ended, kinds, now_ms)])


def _memory(voice: Voice, ended: Sequence[Signal], kinds: Mapping[str, str], now_ms: int) -> list[str]:
    """What the logic engine folds from the same signals, with the same rules."""
    rules = MemoryRules()
    own = [(signal, kinds.get(signal.strategy, "")) for signal in ended]
    trades = [trade_of(signal, kind, rules) for signal, kind in own if kind in _REMEMBERED]
    memory = remembered([trade for trade in trades if trade is not None], rules)
    if not memory.trades:
        return []
    said = memory_says(memory, rules, symbol="", model="", at_ms=now_ms)
    values = {
        "capital": f"{rules.balance + memory.gained:,.2f}",
        "drawdown": figure(said.drawdown_pct),
        "threshold": f"+{said.threshold_add:g}",
    }
    lines = [voice.words.results_memory.format(**values)]
    if memory.paused_until_ms > now_ms:
        lines.append(voice.words.results_pause.format(time=voice.time(memory.paused_until_ms)))
    return lines


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
