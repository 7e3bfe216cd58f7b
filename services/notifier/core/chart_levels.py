"""The position in a chart: its levels with labels that do not overlap, and the marks of entry and exit."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from services.notifier.core.chart_axis import spread
from services.notifier.core.chart_layout import LABEL_HEIGHT, price_height
from services.notifier.core.chart_values import Level, Mark
from services.notifier.core.chart_words import ChartWords
from services.notifier.core.texts import signed_percent
from shared.domain.candles import Candle
from shared.domain.signals import Signal

Line = tuple[str, float, str]  # kind, price, name
_EXIT_FROM_EDGE: Final = 0.2  # of the room beside the candles: where an exit stands whose candle is not shown


def signal_levels(signal: Signal, words: ChartWords) -> list[Line]:
    """Entry, take profit and stop with their distance from the entry; an exit between them as a line of its own."""
    lines: list[Line] = [("entry", signal.entry_price, words.entry)]
    end = None if signal.exit is None else signal.exit.price
    levels = (("take_profit", signal.take_profit, words.take_profit), ("stop_loss", signal.stop_loss, words.stop_loss))
    for kind, price, name in levels:
        if price is not None:
            reached = "✓ " if price == end else ""
            lines.append((kind, price, f"{reached}{name} {_distance(price, signal.entry_price)}"))
    if end is not None and all(end != price for _, price, _ in lines[1:]):
        lines.append(("exit", end, f"{words.exit} {_distance(end, signal.entry_price)}"))
    return lines


def level_labels(lines: Sequence[Line], low: float, high: float, *, pane_count: int) -> tuple[Level, ...]:
    """The lines with their labels spread so that none covers another; those beyond the axis at its edge, with an arrow."""
    ordered = sorted(lines, key=lambda line: line[1])
    height = high - low
    share = LABEL_HEIGHT / price_height(pane_count, bias=True)
    wanted = [min(max(line[1], low), high) for line in ordered]
    places = spread(wanted, height * (share * 1.06), low + height * share * 0.5, high - height * share * 0.5)
    return tuple(
        Level(
            kind=kind,
            price=price,
            label=name + (" ↑" if price > high else " ↓" if price < low else ""),
            label_price=place,
            outside=not low <= price <= high,
        )
        for (kind, price, name), place in zip(ordered, places, strict=True)
    )


def position_marks(signal: Signal, shown: Sequence[Candle], bar_right: float) -> tuple[Mark, ...]:
    """Entry where the Decision's candle closed, exit where it happened or, if that candle is not shown, at the right."""
    marks = [Mark(kind="entry", bar=bar_at(shown, signal.opened_at_ms), price=signal.entry_price)]
    if signal.exit is not None:
        last = len(shown) - 1
        bar = bar_at(shown, signal.exit.closed_at_ms)
        if signal.exit.closed_at_ms > shown[-1].close_time_ms:
            bar = bar_right - (bar_right - last) * _EXIT_FROM_EDGE
        marks.append(Mark(kind="exit", bar=bar, price=signal.exit.price))
    return tuple(marks)


def bar_at(shown: Sequence[Candle], time_ms: int) -> float:
    """The place of a moment on the time axis: candle i covers i - 0.5 .. i + 0.5; clamped to what is shown."""
    bar = bisect_right([candle.open_time_ms for candle in shown], time_ms - 1) - 1
    if bar < 0:
        return -0.5
    candle = shown[bar]
    share = min(1.0, (time_ms - candle.open_time_ms) / candle.timeframe.duration_ms)
    return bar - 0.5 + share


def _distance(price: float, entry: float) -> str:
    return f"{signed_percent((price / entry - 1) * 100)}%"
