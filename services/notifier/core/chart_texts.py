"""What is written in a chart about a signal: its outcome, its times, the bias its Decision recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

import msgspec

from services.notifier.core.chart_values import BiasSpan
from services.notifier.core.chart_words import ChartWords
from services.notifier.core.texts import signed_percent
from shared.domain.candles import Candle
from shared.domain.signals import Signal

_SUBTITLE_MAX: Final = 44
_BIAS_MAX: Final = 52


def won(signal: Signal) -> bool | None:
    """None while it is open, and where what is shown of the gain is zero."""
    gain_pct = 0.0 if signal.exit is None else round(signal.exit.pnl_pct, 2)
    return gain_pct > 0 if gain_pct else None


def named_parts(signal: Signal) -> list[str]:
    """Strategy, trigger and exchange; a trigger that only repeats the strategy is left out."""
    trigger = "" if signal.trigger == signal.strategy else signal.trigger
    return [part for part in (signal.strategy, trigger, signal.exchange) if part]


def result_text(signal: Signal, words: ChartWords) -> str:
    """How it ended; while it is open its score and what may be won for what may be lost."""
    if signal.exit is not None:
        reason = words.exit_reason[signal.exit.reason.value]
        return f"{reason}  {signed_percent(signal.exit.pnl_pct)} %"
    parts = [] if signal.score is None else [f"{signal.score:.0f} / 100"]
    if signal.take_profit is not None and signal.stop_loss is not None:
        reward, risk = abs(signal.take_profit - signal.entry_price), abs(signal.entry_price - signal.stop_loss)
        parts.append(f"RR 1 : {reward / risk:.2f}")
    return "   ".join(parts)


def times_text(signal: Signal, words: ChartWords, zone: tzinfo) -> str:
    """When it was entered and, if so, left."""
    opened = time_text(signal.opened_at_ms, zone)
    text = words.entered.format(time=opened)
    if signal.exit is not None:
        closed = time_text(signal.exit.closed_at_ms, zone)
        shown = closed[11:] if closed[:10] == opened[:10] else closed
        text = f"{text} · {words.ended.format(time=shown)}"
    return f"{text} {zone_name(signal.opened_at_ms, zone)}"


def bias_text(bias: str, words: ChartWords) -> str:
    """The recorded text without its version: Macro bias: LONG 85 (binding)."""
    text = bias.partition(", version")[0] + ")" if ", version" in bias else bias
    text = text.replace("binding", words.binding) if text != "none" else words.no_bias
    return clip(f"{words.bias}: {text}", _BIAS_MAX)


def bias_spans(signal: Signal, shown: Sequence[Candle], by_open_ms: Mapping[int, str]) -> tuple[BiasSpan, ...]:
    """Runs of equal recorded bias; bars without a record, and all after the Decision, are left out."""
    spans: list[BiasSpan] = []
    for bar, candle in enumerate(shown):
        text = by_open_ms.get(candle.open_time_ms)
        if candle.open_time_ms == signal.candle_open_time_ms and candle.timeframe is signal.timeframe:
            text = signal.bias
        if text is None or candle.close_time_ms > signal.opened_at_ms:
            continue
        kind = text.partition(" ")[0].lower()
        binding = "(binding" in text
        last = spans[-1] if spans else None
        if last is not None and (last.last, last.kind, last.binding) == (bar - 1, kind, binding):
            spans[-1] = msgspec.structs.replace(last, last=bar)
        else:
            spans.append(BiasSpan(first=bar, last=bar, kind=kind, binding=binding))
    return tuple(spans)


def clip(text: str, length_max: int = _SUBTITLE_MAX) -> str:
    """The text, cut with … where it is longer."""
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def time_text(time_ms: int, zone: tzinfo) -> str:
    """2026-11-20 13:53 in the zone."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")


def zone_name(time_ms: int, zone: tzinfo) -> str:
    """The zone's short name at that time: UTC, CET, +07."""
    return datetime.fromtimestamp(time_ms / 1000, zone).strftime("%Z")
