"""Minutes that close: candles stored, announced, marks cleared, in this order, so that a kill at any point is repaired."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from services.aggregator.conflicts import report_in_minute
from services.aggregator.core.candle_builder import Built, MinuteClose
from services.aggregator.core.coverage import SeriesKey
from services.aggregator.state import CANDLES_TOPIC, State
from shared.domain.candles import Candle, CandleQuality
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe, roll_ups_closing_at
from shared.runtime.crash import crash_point
from shared.store.pending import MinuteKey

_closing_at = lru_cache(maxsize=4096)(roll_ups_closing_at)


class Closer:
    """Closes what the builder says can close."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def close_some(self, *, through_ms: int | None = None, before_ms: int | None = None) -> bool:
        """Close one chunk of minutes; False when none is left that can close."""
        state = self._state
        closes = state.builder.plan_closes(through_ms=through_ms, before_ms=before_ms)
        if not closes:
            return False
        # Also for minutes without trades: a candle stored but not announced must be found again after a kill.
        touched, state.builder.touched = state.builder.touched, []
        marked = [MinuteKey(close.minute_ms, *close.series.key) for close in closes]
        also = [MinuteKey(minute, *series.key) for series, minute in touched]
        await state.ensure_marks(marked + also)
        built = state.builder.build(closes)
        await self._remember_children(built)
        groups = []
        for one in built:
            state.recent.put_one(one.candle)
            rolls_up = _closing_at(one.minute_ms + MINUTE_MS)
            groups.append(await self._with_roll_ups(one) if rolls_up else [one.candle])
        saved = await self._save(groups)
        crash_point("aggregator.stored")
        await self._announce(built, saved)
        crash_point("aggregator.announced")
        await self._note_holes(closes, built)
        await state.finish_marks(zip((close.series for close in closes), marked, strict=True))
        return state.builder.more

    async def _remember_children(self, built: Sequence[Built]) -> None:
        """Bring to memory what the roll-ups of all symbols need, in one read per timeframe instead of one per symbol."""
        recent = self._state.recent
        wanted: defaultdict[Timeframe, list[tuple[str, str, int]]] = defaultdict(list)
        for one in built:
            key, end_ms = one.series.key, one.minute_ms + MINUTE_MS
            for timeframe in _closing_at(end_ms):
                source = timeframe.source or timeframe
                # The last child closes with this very minute: it is about to be made.
                times_ms = range(end_ms - timeframe.duration_ms, end_ms - source.duration_ms, source.duration_ms)
                wanted[source] += [(*key, time_ms) for time_ms in recent.missing(key, source, times_ms)]
        for source, places in wanted.items():
            if places:
                recent.put(await self._state.candles.some(source, places))

    async def _with_roll_ups(self, one: Built) -> list[Candle]:
        """The minute's candle and every higher one that closes with it, shortest first."""
        state = self._state
        candles = [one.candle]
        end_ms = one.minute_ms + MINUTE_MS
        for timeframe in _closing_at(end_ms):
            higher = await state.rolled_up(one.series.key, timeframe, end_ms - timeframe.duration_ms, revision=1)
            if higher is None:
                break  # a longer one needs this one
            state.recent.put_one(higher)
            candles.append(higher)
        return candles

    async def _save(self, groups: list[list[Candle]]) -> list[list[Candle]]:
        flat = [candle for group in groups for candle in group]
        saved = await self._state.candles.save(flat, fence=self._state.fence)
        others = [now for now, made in zip(saved, flat, strict=True) if now is not made]
        if not others:
            return groups
        self._state.recent.put(others)
        result, start = [], 0
        for group in groups:
            result.append(saved[start : start + len(group)])
            start += len(group)
        return result

    async def _announce(self, built: Sequence[Built], saved: Sequence[list[Candle]]) -> None:
        """One publish per minute with all its symbols."""
        by_minute: defaultdict[int, list[CandlesClosed]] = defaultdict(list)
        for one, candles in zip(built, saved, strict=True):
            by_minute[one.minute_ms].append(closed_event(one.series.key, candles))
        for minute_ms in sorted(by_minute):
            await self._state.bus.publish(CANDLES_TOPIC, by_minute[minute_ms])
        self._state.counters["closed"] += len(built)
        if by_minute:
            self._state.last_close_ms = max(by_minute) + MINUTE_MS

    async def _note_holes(self, closes: Sequence[MinuteClose], built: Sequence[Built]) -> None:
        holes: defaultdict[SeriesKey, list[int]] = defaultdict(list)
        for close in closes:
            if close.quality is CandleQuality.PARTIAL:
                close.series.holes.add(close.minute_ms)
                holes[close.series.key].append(close.minute_ms)
        for key, minutes in holes.items():
            await announce_partial(self._state, key, minutes)
        for one in built:
            if one.conflicts:
                await report_in_minute(self._state, one.series.key, one.minute_ms, one.conflicts)


def closed_event(key: SeriesKey, candles: Sequence[Candle]) -> CandlesClosed:
    """Everything that closed with the minute, 1m first."""
    close_time_ms = candles[0].open_time_ms + Timeframe.M1.duration_ms
    return CandlesClosed(exchange=key.exchange, symbol=key.symbol, close_time_ms=close_time_ms, candles=tuple(candles))


async def announce_partial(state: State, key: SeriesKey, minutes: Sequence[int]) -> None:
    """Minutes closed without proof that all their trades are there."""
    state.counters["partial"] += len(minutes)
    text = (
        f"{key.symbol}: {len(minutes)} minute(s) from {minutes[0]} to {minutes[-1]} are partial: trades may be missing"
    )
    await state.announce_system("candle_partial", key, version=minutes[-1], text=text)
    state.log.warning("candles_partial", symbol=key.symbol, count=len(minutes), first_minute_ms=minutes[0])
