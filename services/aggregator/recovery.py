"""Memory from the store: after a start, a take-over, or an error that left memory ahead of the store."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from services.aggregator.closing import closed_event
from services.aggregator.core.coverage import Coverage, SeriesKey
from services.aggregator.core.series import Series
from services.aggregator.state import CANDLES_TOPIC, State
from shared.domain.candles import Candle
from shared.domain.coverage import SessionCoverage
from shared.domain.events import CandleCorrected, CandlesClosed
from shared.domain.timeframe import MINUTE_MS, ROLL_UPS, Timeframe, minute_ms
from shared.store.coverage import CoverageStore
from shared.store.pending import MarkKind, MinuteKey

# How many minutes back a symbol's newest candle is looked for, in widening steps: after a short stop the first suffices.
_PROBES_MINUTES: Final = (70, 1_500)
_WEEKS_LOOKED_BACK: Final = 10
_STRANGE_MS: Final = 30 * MINUTE_MS  # how far back another owner's appends are looked for
_STRANGE_LATE_MS: Final = 10 * MINUTE_MS  # and how late his trades may have been
_AHEAD_MS: Final = 60 * MINUTE_MS  # a stored candle may be newer than what the coverage rows still say


class Recovery:
    """Reads coverage, marks, candles and the newest tape rows; everything it does may be done again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known_before: Coverage | None = None

    async def recover(self) -> None:
        """Forget the memory and read it again; announce what was stored but maybe not announced."""
        state = self._state
        before = self._known_before = self._known_before or state.coverage  # kept until an attempt succeeds
        state.reset()
        sessions = await state.coverage_store.load()
        for session in sessions:
            state.coverage.put(session)
        state.marked = await state.pending.load()
        by_key: defaultdict[SeriesKey, dict[int, MarkKind]] = defaultdict(dict)
        for minute, kind in state.marked.items():
            by_key[SeriesKey(minute.exchange, minute.symbol)][minute.minute_ms] = kind
        again: list[MinuteKey] = []
        for key in sorted({*state.coverage.symbols(), *by_key}):
            series = state.builder.of(key)
            if state.coverage.watermark_ms(key):  # else its coverage is gone with age: hydrated when it is seen again
                await self.hydrate(series)
            await self._read_tape(series, by_key[key])
            again += await self._take_up(series, by_key[key])
        await self._take_up_strangers(_strangers(sessions, before))
        # All in one list: one by one, a bus or store that fails now and then would send a long recovery back to its
        # beginning each time. Before any new fold, so that no consumer sees a correction of a candle it was never told of.
        if told := await self._announcements(again):
            await state.bus.publish(CANDLES_TOPIC, told)
        self._known_before = None
        state.log.info("recovered", symbols=len(state.builder.series), marks=len(state.marked))

    async def has_strangers(self) -> bool:
        """Whether stored coverage says more than memory does."""
        return bool(_strangers(await CoverageStore(self._state.store).load(), self._state.coverage))

    async def _take_up_strangers(self, sessions: Sequence[SessionCoverage]) -> None:
        """Another owner appended while we were active. He set no marks where he knew of some, and we had cleared them since:
        the closed minutes that he may have touched are folded again.
        """
        state = self._state
        touched: list[MinuteKey] = []
        for session in sessions:
            starts = [start for run in session.runs for start, _ in run.spans]
            newest_ms = session.watermark_ms
            first_ms = max(min(starts, default=newest_ms), newest_ms - _STRANGE_MS) - _STRANGE_LATE_MS
            for symbol in session.symbols:
                series = state.builder.of(SeriesKey(session.exchange, symbol))
                first_foldable_ms = state.first_foldable_ms(series.key, newest_ms)
                for minute in range(minute_ms(max(first_ms, first_foldable_ms)), newest_ms, MINUTE_MS):
                    if series.is_closed(minute):
                        series.late.add(minute)
                        touched.append(MinuteKey(minute, *series.key))
        await state.ensure_marks(touched)

    async def hydrate(self, series: Series) -> None:
        """Find the symbol's newest stored candle; without one the symbol waits for its backfill, where klines exist."""
        state = self._state
        watermark_ms = state.coverage.watermark_ms(series.key)
        found = await self._last_candles(series.key, watermark_ms)
        if found:
            series.begin_at(found[-1].close_time_ms, found[-1])
            numbered = [candle for candle in found if isinstance(candle.last_trade_id, int)]
            if numbered and isinstance(numbered[-1].last_trade_id, int):
                series.last_id, series.last_id_ms = numbered[-1].last_trade_id, numbered[-1].open_time_ms
            series.ready = True
            if series.key.exchange in state.rest and not await self._has_history(series.key, watermark_ms):
                state.histories.add(series.key)
        elif series.key.exchange in state.rest:
            state.backfills.add(series.key)
        else:
            series.ready = True

    async def _has_history(self, key: SeriesKey, watermark_ms: int) -> bool:
        """Weeks are loaded last: where one is stored, the loading was not cut short."""
        weeks = await self._state.candles.last(*key, Timeframe.W1, count=_WEEKS_LOOKED_BACK, before_ms=watermark_ms)
        return bool(weeks)

    async def _last_candles(self, key: SeriesKey, watermark_ms: int) -> list[Candle]:
        before_ms = minute_ms(watermark_ms) + _AHEAD_MS
        for minutes in (*_PROBES_MINUTES, self._state.limits.repair_minutes_max):
            count = minutes + _AHEAD_MS // MINUTE_MS
            found = await self._state.candles.last(*key, Timeframe.M1, count=count, before_ms=before_ms)
            if found:
                return found
        return []

    async def _read_tape(self, series: Series, marks: dict[int, MarkKind]) -> None:
        """Pieces of open minutes, and the ids of the newest ones."""
        state, key = self._state, series.key
        now_ms = minute_ms(state.coverage.watermark_ms(key))
        unfinished = [minute for minute in marks if not series.is_closed(minute)]
        start_ms = min([now_ms - state.limits.identity_minutes * MINUTE_MS, *unfinished])
        end_ms = max([now_ms + state.limits.future_max_ms, *unfinished]) + MINUTE_MS
        for minute, kept in (await state.tape.load(*key, max(0, start_ms), end_ms)).items():
            state.identities.add(kept.pieces)
            if not series.is_closed(minute):
                for piece in kept.pieces:
                    series.add(piece)
                for exclusion in kept.exclusions:
                    series.exclude(minute, exclusion)

    async def _take_up(self, series: Series, marks: dict[int, MarkKind]) -> list[MinuteKey]:
        """Closed minutes with a mark are folded again; returns them, for what is stored of them is announced first."""
        again = []
        horizon_ms = self._state.first_foldable_ms(series.key, self._state.coverage.watermark_ms(series.key))
        given_up = []
        for minute in sorted(minute for minute in marks if series.is_closed(minute)):
            key = MinuteKey(minute, *series.key)
            if marks[minute] is not MarkKind.HOLE:
                again.append(key)
                series.late.add(minute)
            elif minute >= horizon_ms:
                series.holes.add(minute)
            else:
                given_up.append(key)
        await self._state.pending.clear(given_up)
        for mark in given_up:
            del self._state.marked[mark]
        return again

    async def _announcements(self, minutes: Sequence[MinuteKey]) -> list[CandlesClosed | CandleCorrected]:
        """A mark says: stored, maybe not announced. The event id is the same as the first time, if there was one."""
        candles = self._state.candles
        found: dict[MinuteKey, list[Candle]] = {}
        for one in await candles.some(Timeframe.M1, [(key.exchange, key.symbol, key.minute_ms) for key in minutes]):
            found[MinuteKey(one.open_time_ms, one.exchange, one.symbol)] = [one]
        for timeframe in ROLL_UPS:
            closing = {
                (key.exchange, key.symbol, key.minute_ms + MINUTE_MS - timeframe.duration_ms): key
                for key in found
                if timeframe.closes_at(key.minute_ms + MINUTE_MS)
            }
            for higher in await candles.some(timeframe, list(closing)) if closing else ():
                found[closing[higher.exchange, higher.symbol, higher.open_time_ms]].append(higher)
        return [_announcement(key, stored) for key, stored in found.items()]


def _announcement(key: MinuteKey, stored: Sequence[Candle]) -> CandlesClosed | CandleCorrected:
    if stored[0].revision > 1:
        return CandleCorrected(exchange=key.exchange, symbol=key.symbol, candles=tuple(stored))
    return closed_event(SeriesKey(key.exchange, key.symbol), stored)


def _strangers(stored: Sequence[SessionCoverage], known: Coverage) -> list[SessionCoverage]:
    """Recent sessions of which more is stored than known; none where nothing is known yet: then everything is new."""
    newest_ms = max((session.watermark_ms for session in known.sessions()), default=None)
    if newest_ms is None:
        return []
    found = []
    for session in stored:
        mine = known.session(session.exchange, session.session)
        if session.watermark_ms >= newest_ms - _STRANGE_MS and (mine is None or mine.runs != session.runs):
            found.append(session)
    return found
