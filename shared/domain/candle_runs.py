"""Runs of candles as exchanges publish them: what an absent interval is, and the higher timeframes over them."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from shared.domain.candles import Candle, CandleQuality
from shared.domain.rollup import roll_up
from shared.domain.timeframe import Timeframe, roll_ups_closing_at


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """So many absent intervals in a row, from this open time on."""

    open_time_ms: int
    count: int


def without_holes(candles: Sequence[Candle], *, absent_is_flat: bool) -> tuple[list[Candle], list[Hole]]:
    """The candles (one series, oldest first), each absent one flat at the close before it, and where those are.

    absent_is_flat: an absent interval had no trades, and is as good as the others (Kraken); else it is missing: `partial`,
    so that no window that holds it is usable.
    """
    found: list[Candle] = []
    holes: list[Hole] = []
    for candle in candles:
        if found and candle.open_time_ms > found[-1].close_time_ms:
            count = (candle.open_time_ms - found[-1].close_time_ms) // candle.timeframe.duration_ms
            holes.append(Hole(open_time_ms=found[-1].close_time_ms, count=count))
            found += _flats(found[-1], count, absent_is_flat=absent_is_flat)
        found.append(candle)
    return found, holes


def with_roll_ups(candles: Sequence[Candle], *, revision: int = 0) -> Iterator[tuple[Candle, ...]]:
    """Each candle (one series, no holes) with the whole higher candles that close with it, shortest first."""
    if not candles:
        return
    base = candles[0].timeframe
    children: dict[Timeframe, list[Candle]] = {timeframe: [] for timeframe in Timeframe}
    for candle in candles:
        closed = [candle]
        children[base].append(candle)
        for timeframe in roll_ups_closing_at(candle.close_time_ms):
            source = timeframe.source
            if source is None or timeframe.duration_ms <= base.duration_ms:
                continue
            parts = children[source]
            if len(parts) * source.duration_ms == timeframe.duration_ms:
                rolled = roll_up(parts, timeframe, revision=revision)
                closed.append(rolled)
                children[timeframe].append(rolled)
            parts.clear()  # what came before the first whole candle belongs to none
        yield tuple(closed)


def _flats(before: Candle, count: int, *, absent_is_flat: bool) -> Iterator[Candle]:
    price, step_ms = before.close, before.timeframe.duration_ms
    for number in range(count):
        yield msgspec.structs.replace(
            before,
            open_time_ms=before.close_time_ms + number * step_ms,
            open=price,
            high=price,
            low=price,
            volume=Decimal(0),
            quote_volume=Decimal(0),
            trade_count=0,
            first_trade_id=None,
            last_trade_id=None,
            quality=before.quality if absent_is_flat else CandleQuality.PARTIAL,
            missing_minutes=0 if absent_is_flat else before.timeframe.minutes,
        )
