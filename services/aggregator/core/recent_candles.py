"""The newest candles of every series, so that roll-ups and corrections seldom read the store."""

from collections.abc import Iterable, Sequence

from services.aggregator.core.coverage import SeriesKey
from shared.domain.candles import Candle
from shared.domain.timeframe import Timeframe

_KEPT = 16  # above the most children a roll-up has (12 of 5m in... 4h of 1d: 6; 1d of 1w: 7)


class RecentCandles:
    """Newest known revision of the last few candles per series and timeframe."""

    def __init__(self) -> None:
        self._candles: dict[Timeframe, dict[tuple[str, str], dict[int, Candle]]] = {item: {} for item in Timeframe}

    def put(self, candles: Iterable[Candle]) -> None:
        """Take over candles, in time order per series."""
        for candle in candles:
            self.put_one(candle)

    def put_one(self, candle: Candle) -> None:
        """Take over one candle."""
        of_timeframe, place = self._candles[candle.timeframe], (candle.exchange, candle.symbol)
        series = of_timeframe.get(place)
        if series is None:
            series = of_timeframe[place] = {}
        series[candle.open_time_ms] = candle
        if len(series) > _KEPT:
            del series[next(iter(series))]  # the one put first; what is not remembered is read again

    def get(self, key: SeriesKey, timeframe: Timeframe, open_time_ms: int) -> Candle | None:
        """The candle where it is remembered."""
        series = self._candles[timeframe].get(key)
        return None if series is None else series.get(open_time_ms)

    def missing(self, key: SeriesKey, timeframe: Timeframe, times_ms: Iterable[int]) -> list[int]:
        """Those of the open times whose candle is not remembered."""
        series = self._candles[timeframe].get(key, {})
        return [time_ms for time_ms in times_ms if time_ms not in series]

    def children(self, key: SeriesKey, timeframe: Timeframe, open_time_ms: int) -> Sequence[Candle] | None:
        """All candles that roll up to this one, oldest first; None where one is not remembered."""
        source = timeframe.source
        series = self._candles[source].get(key) if source else None
        if source is None or series is None:
            return None
        step_ms = source.duration_ms
        found = [series.get(time_ms) for time_ms in range(open_time_ms, open_time_ms + timeframe.duration_ms, step_ms)]
        return [candle for candle in found if candle is not None] if None not in found else None
