"""Which closed minutes are compared with the venue's klines next: the oldest first, in few requests. Pure."""

from collections.abc import Iterable

import msgspec

from services.aggregator.core.candle_builder import KlineRange
from services.aggregator.core.coverage import SeriesKey
from shared.domain.timeframe import MINUTE_MS


class AuditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All in market time.

    settle_ms:    a kline is believed so long after its close, when the venue's late trades are in it.
    span_minutes: so many minutes are asked for together at least; at most minutes_max.
    lookback_minutes: what is looked at again after a start; marks that are there are not made anew.
    requests_max: klines asked for in one round, over all symbols.
    """

    settle_ms: int = 120_000
    span_minutes: int = 10
    minutes_max: int = 500
    lookback_minutes: int = 60
    requests_max: int = 10


class AuditPlan:
    """How far each symbol has been compared."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = limits
        self._through_ms: dict[SeriesKey, int] = {}

    def next_ranges(self, closed: Iterable[tuple[SeriesKey, int, int]]) -> list[KlineRange]:
        """The ranges of this round, those furthest behind first.

        closed: per symbol the end of its closed minutes and its watermark.
        """
        limits, found = self._limits, []
        for key, next_ms, watermark_ms in closed:
            start_ms = self._through_ms.setdefault(key, max(0, next_ms - limits.lookback_minutes * MINUTE_MS))
            settled_ms = (watermark_ms - limits.settle_ms) // MINUTE_MS * MINUTE_MS
            end_ms = min(next_ms, settled_ms, start_ms + limits.minutes_max * MINUTE_MS)
            if end_ms - start_ms >= limits.span_minutes * MINUTE_MS:
                found.append(KlineRange(key, start_ms, end_ms))
        found.sort(key=lambda one: (one.start_ms, one.key))
        return found[: limits.requests_max]

    def done(self, compared: KlineRange) -> None:
        """It was compared."""
        self._through_ms[compared.key] = max(self._through_ms.get(compared.key, 0), compared.end_ms)

    def again(self, key: SeriesKey, minute_ms: int) -> None:
        """A minute changed, or differed: what follows it is compared again."""
        if key in self._through_ms:
            self._through_ms[key] = min(self._through_ms[key], minute_ms)
