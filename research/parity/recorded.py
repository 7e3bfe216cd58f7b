"""Windows as a Decision read them: the very revisions it recorded, from the store."""

from collections.abc import Sequence

from shared.domain.candles import Candle
from shared.domain.decisions import Decision, WindowRecord
from shared.domain.timeframe import Timeframe
from shared.store.candles import CandleStore
from shared.strategies.base import WindowNeed
from shared.strategies.windows import Windows, rows_or_missing, windows_of_candles


class RecordedCandles:
    """Candles of one symbol by timeframe and open time, read once in bulk; older revisions where a Decision names them."""

    def __init__(self, candles: CandleStore, exchange: str, symbol: str) -> None:
        self._store = candles
        self._place = (exchange, symbol)
        self._newest: dict[Timeframe, dict[int, Candle]] = {}
        self._older: dict[tuple[Timeframe, int], dict[int, Candle]] = {}

    async def load(self, decisions: Sequence[Decision]) -> None:
        """Read every candle that one of these Decisions read."""
        spans: dict[Timeframe, tuple[int, int]] = {}
        for decision in decisions:
            for window in decision.windows:
                begin, end = spans.get(window.timeframe, (window.first_open_time_ms, 0))
                last = window.first_open_time_ms + window.length * window.timeframe.duration_ms
                spans[window.timeframe] = (min(begin, window.first_open_time_ms), max(end, last))
        self._newest.clear()
        for timeframe, (begin, end) in spans.items():
            found = await self._store.between(*self._place, timeframe, begin, end)
            self._newest[timeframe] = {candle.open_time_ms: candle for candle in found}

    async def windows(self, needs: Sequence[WindowNeed], decision: Decision) -> dict[Timeframe, Windows] | None:
        """As they were read; None where a candle or its revision is no longer stored."""
        records = {record.timeframe: record for record in decision.windows}
        found: dict[Timeframe, Windows] = {}
        for need in needs:
            record = records.get(need.timeframe)
            if record is None:
                found[need.timeframe] = rows_or_missing(None, [None], need.timeframe, need.length)
                continue
            candles = await self._candles(record)
            if candles is None:
                return None
            found[need.timeframe] = windows_of_candles(candles, record.length)
        return found

    async def _candles(self, record: WindowRecord) -> list[Candle] | None:
        newest, step_ms = self._newest.get(record.timeframe, {}), record.timeframe.duration_ms
        revisions = [revision for revision, count in record.revisions for _ in range(count)]
        candles: list[Candle] = []
        for place, revision in enumerate(revisions):
            open_time_ms = record.first_open_time_ms + place * step_ms
            candle = newest.get(open_time_ms)
            if candle is not None and candle.revision != revision:
                candle = (await self._revisions(record.timeframe, open_time_ms)).get(revision)
            if candle is None:
                return None
            candles.append(candle)
        return candles

    async def _revisions(self, timeframe: Timeframe, open_time_ms: int) -> dict[int, Candle]:
        known = self._older.get((timeframe, open_time_ms))
        if known is None:
            found = await self._store.revisions(*self._place, timeframe, open_time_ms)
            known = self._older[timeframe, open_time_ms] = {candle.revision: candle for candle in found}
        return known
