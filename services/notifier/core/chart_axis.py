"""Axes of a chart: their range, their round ticks, and labels that keep out of each other's way."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from services.notifier.core.chart_values import Tick
from shared.domain.timeframe import DAY_MS, FIRST_MONDAY_MS, MINUTE_MS

_CANDLES_SHARE: Final = 0.18  # of the price axis at least; a level farther away is named at the edge instead
_RANGE_MIN: Final = 0.004  # of the price: below it, a market counts as flat
_MARGIN: Final = 0.06
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 7200, 10080, 20160)
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120)
_MONTH_MS: Final = 30 * DAY_MS
_TIME_TICKS: Final = 5
_NEARER: Final = 0.75  # a round step a little shorter than wanted is better than one twice as long


def price_range(low: float, high: float, levels: Sequence[float]) -> tuple[float, float]:
    """The price axis: the candles and as many levels as fit, nearest first, without pressing the candles flat."""
    span = max(high - low, low * _RANGE_MIN)
    span_max = span / _CANDLES_SHARE
    middle = (low + high) / 2
    for level in sorted(levels, key=lambda price: abs(price - middle)):
        wider = min(low, level), max(high, level)
        if wider[1] - wider[0] <= span_max:
            low, high = wider
    margin = (high - low) * _MARGIN or high * 0.001
    return low - margin, high + margin


def round_ticks(low: float, high: float, *, count: int, decimals: int) -> tuple[Tick, ...]:
    """About `count` round values inside low..high, with as many decimals as they need and at most `decimals`."""
    if not high > low:
        return ()
    step = max(_round_step((high - low) / count), 10.0**-decimals)
    shown = min(decimals, max(0, -math.floor(math.log10(step) + 1e-9)))
    if not math.isclose(step, round(step, shown), rel_tol=1e-6):
        shown = min(decimals, shown + 1)  # steps of 2.5
    first, last = math.ceil(low / step), math.floor(high / step)
    return tuple(Tick(index * step, f"{index * step:.{shown}f}") for index in range(first, last + 1))


def volume_ticks(high: float) -> tuple[Tick, ...]:
    """Two round volumes below the greatest."""
    ticks = round_ticks(0.0, high, count=3, decimals=8)[1:]
    return tuple(Tick(tick.at, short_number(tick.at)) for tick in ticks)


def time_ticks(open_time_ms: Sequence[int], *, duration_ms: int, bars: float, zone: tzinfo = UTC) -> tuple[Tick, ...]:
    """About five round times as (bar, text), in the zone; `bars`: length of the axis."""
    apart_ms = bars / _TIME_TICKS * duration_ms * _NEARER
    if apart_ms >= _MONTH_MS:
        ticks = _month_ticks(open_time_ms, apart_ms, zone)
    else:
        ticks = _round_times(open_time_ms, apart_ms, zone)
    kept: list[Tick] = []
    for tick in ticks or [Tick(0, _time_text(open_time_ms[0], zone))]:
        if not kept or tick.at - kept[-1].at >= bars / (_TIME_TICKS + 3):
            kept.append(tick)
    return tuple(kept)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places in low..high at least `gap` apart, in the order wanted and as near to it as the order allows.

    wanted: ascending. Where there is no room for all gaps, they shrink evenly.
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    clusters: list[list[float]] = []  # each: sum of (wanted - offset), members
    for value in wanted:
        clusters.append([value, 1])
        while len(clusters) > 1 and _start(clusters[-2]) + clusters[-2][1] * gap > _start(clusters[-1]):
            total, members = clusters.pop()
            clusters[-1][0] += total - members * clusters[-1][1] * gap
            clusters[-1][1] += members
    places = [_start(cluster) + place * gap for cluster in clusters for place in range(int(cluster[1]))]
    for index in range(len(places)):  # inside from below ...
        places[index] = max(places[index], low + index * gap)
    for index in range(len(places)):  # ... and from above
        places[-1 - index] = min(places[-1 - index], high - index * gap)
    return places


def short_number(value: float) -> str:
    """1250000 -> 1.25M; 0.00031 stays as it is."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _start(cluster: list[float]) -> float:
    """Where the cluster's first label sits so that its labels are nearest to their wanted places on average."""
    return cluster[0] / cluster[1]


def _round_step(span: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `span`."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(step for factor in _STEPS if (step := factor * power) >= span * (1 - 1e-9))


def _round_times(open_time_ms: Sequence[int], apart_ms: float, zone: tzinfo) -> list[Tick]:
    """The first bar of every round span of time, named by where the span begins: its own candle may be missing."""
    step_ms = next(
        (step for minutes in _MINUTES if (step := minutes * MINUTE_MS) >= apart_ms), _MINUTES[-1] * MINUTE_MS
    )
    anchor_ms = FIRST_MONDAY_MS if step_ms >= 7 * DAY_MS else 0
    offsets = [_offset_ms(time_ms, zone) - anchor_ms for time_ms in open_time_ms]
    spans = [(time_ms + offset) // step_ms for time_ms, offset in zip(open_time_ms, offsets, strict=True)]
    return [
        Tick(bar, _time_text(spans[bar] * step_ms - offsets[bar], zone))
        for bar, time_ms in enumerate(open_time_ms)
        if (spans[bar] != spans[bar - 1] if bar else time_ms + offsets[0] == spans[0] * step_ms)
    ]


def _month_ticks(open_time_ms: Sequence[int], apart_ms: float, zone: tzinfo) -> list[Tick]:
    """Where a month (a quarter, a year) begins."""
    months = next((months for months in _MONTHS if months * _MONTH_MS >= apart_ms), _MONTHS[-1])
    dates = [datetime.fromtimestamp(time_ms / 1000, zone) for time_ms in open_time_ms]
    periods = [(date.year * 12 + date.month - 1) // months for date in dates]
    return [
        Tick(bar, f"{dates[bar]:%Y-%m}")
        for bar in range(len(dates))
        if (periods[bar] != periods[bar - 1] if bar else dates[bar].day == 1)
    ]


def _time_text(time_ms: int, zone: tzinfo) -> str:
    """The time of day; the date at midnight."""
    date = datetime.fromtimestamp(time_ms / 1000, zone)
    return f"{date:%m-%d}" if (date.hour, date.minute) == (0, 0) else f"{date:%H:%M}"


def _offset_ms(time_ms: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(time_ms / 1000, zone).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0
