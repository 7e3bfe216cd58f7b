"""What a chart shows: plain values, decided here so that drawing decides nothing."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from services.notifier.core.texts import price_text, signed_percent, utc_text
from shared.domain.bias import Direction
from shared.domain.candles import Candle
from shared.domain.decisions import WindowRecord
from shared.domain.errors import InvalidValueError
from shared.domain.identity import digest_text
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.indicators.plain import wilder_rsi

BARS_MAX: Final = 120
RSI_PERIOD: Final = 14
_SUBTITLE_MAX: Final = 60  # what fits beside the result
DRAWING_VERSION: Final = 1  # raise it when the drawing changes: cached pictures are then drawn anew


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A horizontal line with its label. kind: entry, take_profit, stop_loss or exit.

    label_price: where the label sits on the price axis; moved off `price` where labels would overlap.
    """

    kind: str
    price: float
    label: str
    label_price: float


class ChartModel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything drawn. Columns have one entry per bar, oldest first; rsi is None while it warms up.

    price_low, price_high: the price axis, every candle and level inside.
    ticks: (bar, text) on the time axis, UTC. won: whether a closed signal gained; None while it is open.
    """

    title: str
    subtitle: str
    result: str
    footer: str
    long: bool
    won: bool | None
    open_time_ms: tuple[int, ...]
    open: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...]
    close: tuple[float, ...]
    volume: tuple[float, ...]
    rsi: tuple[float | None, ...]
    price_decimals: int
    price_low: float
    price_high: float
    levels: tuple[Level, ...]
    entry_price: float
    exit_price: float | None
    ticks: tuple[tuple[int, str], ...]

    @property
    def digest(self) -> str:
        """Over everything drawn: equal models give equal pictures."""
        return digest_text((DRAWING_VERSION, msgspec.json.encode(self).decode()))


def window_revisions(window: WindowRecord) -> list[int]:
    """The recorded revision of each candle of the window, oldest first. Raises InvalidValueError where they do not add up."""
    revisions = [revision for revision, count in window.revisions for _ in range(count)]
    if len(revisions) != window.length:
        raise InvalidValueError(
            f"run lengths must add up to {window.length}, was {len(revisions)} (window {window.digest})"
        )
    return revisions


def build_chart_model(signal: Signal, candles: Sequence[Candle]) -> ChartModel:
    """The chart of a signal over its Decision's window (the newest 120 bars of it). Raises InvalidValueError without candles."""
    if not candles:
        raise InvalidValueError(f"a chart needs at least one candle, was none (signal {signal.signal_id})")
    shown = candles[-BARS_MAX:]
    # From the whole window: a longer warm-up than what is shown gives the figure the strategy saw.
    strength = wilder_rsi(np.array([candle.close for candle in candles]), RSI_PERIOD)[-len(shown) :]
    lines = _lines(signal)
    prices = [*(candle.low for candle in shown), *(candle.high for candle in shown), *(line[1] for line in lines)]
    low, high = _axis(min(prices), max(prices))
    end = signal.exit
    return ChartModel(
        title=f"{signal.symbol}  {signal.timeframe.value}",
        subtitle=_subtitle(signal),
        result="" if end is None else f"{end.reason.value.upper()}  {signed_percent(end.pnl_pct)} %",
        footer=_footer(signal),
        long=signal.side is Direction.LONG,
        won=None if end is None else end.pnl_pct > 0,
        open_time_ms=tuple(candle.open_time_ms for candle in shown),
        open=tuple(candle.open for candle in shown),
        high=tuple(candle.high for candle in shown),
        low=tuple(candle.low for candle in shown),
        close=tuple(candle.close for candle in shown),
        volume=tuple(float(candle.volume) for candle in shown),
        rsi=tuple(None if np.isnan(value) else float(value) for value in strength),
        price_decimals=signal.price_decimals,
        price_low=low,
        price_high=high,
        levels=_levels(lines, low, high),
        entry_price=signal.entry_price,
        exit_price=None if end is None else end.price,
        ticks=_ticks(shown, signal.timeframe),
    )


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


def _start(cluster: list[float]) -> float:
    """Where the cluster's first label sits so that its labels are nearest to their wanted places on average."""
    return cluster[0] / cluster[1]


def _lines(signal: Signal) -> list[tuple[str, float, str]]:
    """(kind, price, name) of each line."""
    lines = [("entry", signal.entry_price, "Entry")]
    if signal.take_profit is not None:
        lines.append(("take_profit", signal.take_profit, "TP"))
    if signal.stop_loss is not None:
        lines.append(("stop_loss", signal.stop_loss, "SL"))
    if signal.exit is not None:
        lines.append(("exit", signal.exit.price, "Exit"))
    return lines


def _axis(low: float, high: float) -> tuple[float, float]:
    margin = (high - low) * 0.06 or high * 0.001
    return low - margin, high + margin


def _levels(lines: list[tuple[str, float, str]], low: float, high: float) -> tuple[Level, ...]:
    """Labels are two lines of text; on the price pane they need about 10 % of its height each."""
    ordered = sorted(lines, key=lambda line: line[1])
    height = high - low
    places = spread([line[1] for line in ordered], height * 0.105, low + height * 0.045, high - height * 0.045)
    return tuple(
        Level(kind=kind, price=price, label=name, label_price=place)
        for (kind, price, name), place in zip(ordered, places, strict=True)
    )


def _subtitle(signal: Signal) -> str:
    text = " · ".join(part for part in (signal.strategy, signal.trigger, signal.exchange) if part)
    return text if len(text) <= _SUBTITLE_MAX else text[: _SUBTITLE_MAX - 1] + "…"


def _footer(signal: Signal) -> str:
    opened = utc_text(signal.opened_at_ms)
    text = f"{signal.signal_id}  ·  entry {price_text(signal.entry_price, signal.price_decimals)} at {opened}"
    return text if signal.exit is None else f"{text}  ·  exit at {utc_text(signal.exit.closed_at_ms)[11:]}"


def _ticks(candles: Sequence[Candle], timeframe: Timeframe) -> tuple[tuple[int, str], ...]:
    """About five round times."""
    step = max(1, len(candles) // 4)
    daily = timeframe.duration_ms >= Timeframe.H4.duration_ms
    round_ms = _round_step_ms(step * timeframe.duration_ms)
    on_grid = [index for index, candle in enumerate(candles) if candle.open_time_ms % round_ms == 0]
    return tuple((index, _tick_text(candles[index].open_time_ms, daily=daily)) for index in on_grid)


def _round_step_ms(span_ms: int) -> int:
    minutes = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 7200, 10080, 20160, 40320)
    fitting = [step * 60_000 for step in minutes if step * 60_000 <= span_ms]
    return fitting[-1] if fitting else 60_000


def _tick_text(time_ms: int, *, daily: bool) -> str:
    text = utc_text(time_ms)
    return text[5:10] if daily else text[11:16]
