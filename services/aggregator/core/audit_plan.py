"""Which closed candles are compared with the venue's klines next: the oldest first, in few requests. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from services.aggregator.core.coverage import SeriesKey
from shared.domain.timeframe import MINUTE_MS, Timeframe


class AuditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All in market time.

    settle_ms:    a kline is believed so long after its close, when the venue's late trades are in it.
    span_minutes: so many minutes are asked for together at least; at most minutes_max.
    roll_up_span_minutes: the same of longer timeframes, of which none is asked for before one candle closed.
    lookback_minutes: what is looked at again after a start; marks that are there are not made anew.
    requests_max: klines asked for in one round, over all symbols and timeframes.
    missing_rounds: how often a kline that the venue does not give is asked for until its lack is told.
    """

    settle_ms: int = 120_000
    span_minutes: int = 10
    minutes_max: int = 500
    roll_up_span_minutes: int = 60
    lookback_minutes: int = 60
    requests_max: int = 10
    missing_rounds: int = 3


class AuditRange(NamedTuple):
    """Candles with start <= open time < end of one series."""

    key: SeriesKey
    timeframe: Timeframe
    start_ms: int
    end_ms: int


class AuditPlan:
    """How far each series has been compared."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = limits
        self._through_ms: dict[tuple[SeriesKey, Timeframe], int] = {}

    def next_ranges(self, closed: Iterable[tuple[SeriesKey, int, int]]) -> list[AuditRange]:
        """The ranges of this round, those furthest behind first.

        closed: per symbol the end of its closed minutes and its watermark.
        """
        found: list[AuditRange] = []
        for key, next_ms, watermark_ms in closed:
            end_ms = min(next_ms, watermark_ms - self._limits.settle_ms)
            for timeframe in Timeframe:
                found += self._due(key, timeframe, next_ms, end_ms)
        # What has been waiting for longest, measured by when it became due: a week behind on a week's candle is no delay.
        found.sort(key=lambda one: (one.start_ms + self._span_ms(one.timeframe), one.key, one.timeframe.minutes))
        return found[: self._limits.requests_max]

    def _due(self, key: SeriesKey, timeframe: Timeframe, next_ms: int, settled_ms: int) -> list[AuditRange]:
        limits = self._limits
        first_ms = timeframe.open_time_ms(max(0, next_ms - limits.lookback_minutes * MINUTE_MS))
        start_ms = self._through_ms.setdefault((key, timeframe), max(0, first_ms))
        end_ms = timeframe.open_time_ms(min(settled_ms, start_ms + limits.minutes_max * timeframe.duration_ms))
        due = end_ms - start_ms >= self._span_ms(timeframe)
        return [AuditRange(key, timeframe, start_ms, end_ms)] if due else []

    def _span_ms(self, timeframe: Timeframe) -> int:
        limits = self._limits
        if timeframe is Timeframe.M1:
            return limits.span_minutes * MINUTE_MS
        return max(timeframe.minutes, limits.roll_up_span_minutes) * MINUTE_MS

    def done(self, compared: AuditRange) -> None:
        """It was compared."""
        place = compared.key, compared.timeframe
        self._through_ms[place] = max(self._through_ms.get(place, 0), compared.end_ms)

    def again(self, key: SeriesKey, timeframe: Timeframe, open_time_ms: int) -> None:
        """A candle changed, differed or has no kline yet: what follows it is compared again."""
        place = key, timeframe
        if place in self._through_ms:
            self._through_ms[place] = min(self._through_ms[place], timeframe.open_time_ms(open_time_ms))
