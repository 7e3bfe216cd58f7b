"""Closed minutes that new evidence touched: folded again from the tape, announced as corrections where they differ."""

import heapq
from collections import defaultdict
from typing import Final

import msgspec

from services.aggregator.conflicts import report_in_minute
from services.aggregator.core.candle_builder import MinuteClose, make_candle
from services.aggregator.core.series import NOTHING, Series, Taken
from services.aggregator.state import CANDLES_TOPIC, State
from shared.domain.candles import Candle, CandleQuality
from shared.domain.events import CandleCorrected
from shared.domain.fold import FoldedMinute, fold_minutes
from shared.domain.timeframe import MINUTE_MS, ROLL_UPS, Timeframe
from shared.runtime.crash import crash_point
from shared.store.pending import MinuteKey

_SPAN_MS: Final = 60 * MINUTE_MS  # minutes of one symbol that are read together
_REACH_MINUTES: Final = 1_500  # how far the neighbours of a minute are looked for: over a day without a trade


class Corrector:
    """Folds late minutes again."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def correct_some(self) -> bool:
        """Correct one bounded part of what is late; False when nothing was."""
        left = self._state.limits.correct_chunk
        for key in sorted(key for key, series in self._state.builder.series.items() if series.ready and series.late):
            if left <= 0:
                break
            left -= await self._correct(self._state.builder.series[key], left)
        return left < self._state.limits.correct_chunk

    async def _correct(self, series: Series, count_max: int) -> int:
        first_ms = min(series.late)
        minutes = sorted(minute for minute in series.late if minute < first_ms + _SPAN_MS)[:count_max]
        series.late.difference_update(minutes)
        begins_ms = self._state.tape_begins_ms.get(series.key.exchange, 0)
        if gone := [minute for minute in minutes if minute < begins_ms]:
            # Trades of theirs have left the tape: what was folded from all of them stands.
            series.holes.difference_update(gone)
            await self._state.finish_marks((series, MinuteKey(minute, *series.key)) for minute in gone)
            minutes = [minute for minute in minutes if minute >= begins_ms]
            if not minutes:
                return len(gone)
        correction = await _Correction.read(self._state, series, minutes)
        await correction.refold(minutes)
        # A minute that follows from a corrected one has no mark yet.
        again = await correction.beside()
        await self._state.ensure_marks(MinuteKey(minute, *series.key) for minute in {*correction.changed, *again})
        await correction.save()
        crash_point("aggregator.stored")
        await correction.announce()
        crash_point("aggregator.announced")
        series.late.update(again)
        for minute_ms, ids in correction.conflicts.items():
            await report_in_minute(self._state, series.key, minute_ms, ids)
        settled = [MinuteKey(minute, *series.key) for minute in sorted({*minutes, *correction.changed})]
        await self._state.finish_marks((series, minute) for minute in settled)
        return len(minutes)


class _Correction:
    """The minutes of one symbol under correction. changed: new 1m candles; higher: changed roll-ups."""

    def __init__(self, state: State, series: Series) -> None:
        self._state = state
        self._series = series
        self._current: dict[int, Candle | None] = {}
        self._closes: dict[int, MinuteClose] = {}
        self._folded: dict[int, FoldedMinute] = {}
        self._seen: set[int] = set()
        self.changed: dict[int, Candle] = {}
        self.higher: dict[int, list[Candle]] = defaultdict(list)
        self.conflicts: dict[int, tuple[str, ...]] = {}

    @classmethod
    async def read(cls, state: State, series: Series, minutes: list[int]) -> "_Correction":
        """With the tape and the stored candles of the minutes."""
        correction = cls(state, series)
        tape = await state.tape.load(*series.key, minutes[0], minutes[-1] + MINUTE_MS)
        pieces = {minute: tape[minute].counted() if minute in tape else [] for minute in minutes}
        with_trades = [minute for minute in minutes if pieces[minute]]
        folded = fold_minutes([pieces[minute] for minute in with_trades])
        correction._folded = dict(zip(with_trades, folded, strict=True))
        for minute, one in correction._folded.items():
            if (edges := _edges(one)) is not None:
                series.know_ids(minute, edges[1])
        for minute in minutes:
            current = await correction._stored(minute)
            is_joined = await correction._is_joined(minute)
            quality = state.builder.evidence_of_closed(series, minute, current, is_joined=is_joined)
            kline = series.klines.get(minute) if quality is CandleQuality.REPAIRED_KLINE else None
            vouched_by = state.coverage.vouched_by(series.key, minute)
            trades = Taken(pieces[minute], None)
            correction._closes[minute] = MinuteClose(minute, series, trades, quality, kline, vouched_by)
        correction.conflicts = {minute: one.conflicts for minute, one in correction._folded.items() if one.conflicts}
        return correction

    async def _stored(self, minute_ms: int) -> Candle | None:
        """The stored candle; neighbours are read along."""
        if minute_ms not in self._current:
            end_ms = minute_ms + _SPAN_MS
            found = await self._state.candles.between(*self._series.key, Timeframe.M1, minute_ms, end_ms)
            self._current.update(dict.fromkeys(range(minute_ms, end_ms, MINUTE_MS)))
            self._current.update({candle.open_time_ms: candle for candle in found})
        return self._current[minute_ms]

    async def _is_joined(self, minute: int) -> bool:
        """Whether the ids of the minute and of those around it leave no hole that touches it.

        A minute whose ids are not known (a kline's) proves nothing: the next known ids on both sides must meet.
        """
        if not self._state.builder.is_numbered(self._series):
            return True
        folded = self._folded.get(minute)
        if folded is not None and not folded.ids_are_consecutive:
            return False
        _, before = await self._known_ids(minute, -MINUTE_MS)
        _, after = await self._known_ids(minute, MINUTE_MS)
        own = _edges(folded) or (None, None)
        first, last = (own[0], own[1]) if folded is not None else (after and after[0], before and before[1])
        joined_before = before is None or first is None or first <= before[1] + 1
        joined_after = after is None or last is None or after[0] <= last + 1
        return joined_before and joined_after

    async def _known_ids(self, minute: int, step_ms: int) -> tuple[int, tuple[int, int] | None]:
        """The next closed minute in this direction with known ids, and the lowest and highest of them; None: none in reach."""
        for _ in range(_REACH_MINUTES):
            minute += step_ms
            if not self._series.is_closed(minute):
                break
            if step_ms < 0 and minute not in self._current:
                await self._stored(max(0, minute - _SPAN_MS + MINUTE_MS))  # what lies before comes along
            candle = await self._stored(minute)
            if minute in self._folded:
                return minute, _edges(self._folded[minute])
            if candle is None:
                break
            if isinstance(candle.first_trade_id, int) and isinstance(candle.last_trade_id, int):
                return minute, (candle.first_trade_id, candle.last_trade_id)
        return minute, None

    async def beside(self) -> set[int]:
        """Closed minutes to look at again, because the ids of one between them and the next known ones are new."""
        found: set[int] = set()
        if not self._state.builder.is_numbered(self._series):
            return found
        for minute, folded in self._folded.items():
            if minute not in self.changed:
                continue  # a kline that stands keeps its trades' ids to itself: its neighbours would learn nothing, again and again
            current = await self._stored(minute)
            edges = _edges(folded)
            known = current and (current.first_trade_id, current.last_trade_id)
            if current is not None and edges == known and current.trade_count == folded.trade_count:
                continue
            for step_ms in (-MINUTE_MS, MINUTE_MS):
                reached, ids = await self._known_ids(minute, step_ms)
                if ids is not None:
                    found.update(range(min(minute, reached), max(minute, reached) + 1, MINUTE_MS))
        found -= self._closes.keys()
        good = [minute for minute in found if self._series.is_closed(minute)]
        return {minute for minute in good if (await self._stored(minute)) is not None}

    async def refold(self, minutes: list[int]) -> None:
        """Decide each minute anew, oldest first, and the flat or missing minutes that follow from a changed one."""
        queue = list(minutes)
        heapq.heapify(queue)
        while queue:
            minute = heapq.heappop(queue)
            if minute in self._seen or not self._series.is_closed(minute):
                continue
            self._seen.add(minute)
            candle = await self._decide(minute)
            if candle is None:
                continue
            self.changed[minute] = candle
            following = minute + MINUTE_MS
            if self._series.is_closed(following):
                after = await self._stored(following)
                if after is None or after.trade_count == 0:
                    heapq.heappush(queue, following)
            else:
                self._series.previous = candle

    async def _decide(self, minute: int) -> Candle | None:
        """The minute's candle where it differs from the stored one."""
        current = await self._stored(minute)
        close = self._closes.get(minute)
        if close is None:
            quality = self._state.builder.evidence_of_closed(self._series, minute, current)
            vouched_by = self._state.coverage.vouched_by(self._series.key, minute)
            close = MinuteClose(minute, self._series, NOTHING, quality, None, vouched_by)
        if close.quality is CandleQuality.REPAIRED_KLINE and close.kline is None:
            return None  # the venue's own candle stands until coverage proves better
        previous = self.changed.get(minute - MINUTE_MS) or await self._stored(minute - MINUTE_MS)
        candle = make_candle(close, self._folded.get(minute), previous)
        self._series.klines.pop(minute, None)
        if candle is None:
            return None
        if candle.quality is CandleQuality.PARTIAL:
            self._series.holes.add(minute)
        else:
            self._series.holes.discard(minute)
        return None if current is not None and _same(candle, current) else candle

    async def save(self) -> None:
        """Store the changed minutes, then level by level the roll-ups over every minute looked at.

        Over every one, since a kill may have come between a minute's candle and its roll-ups.
        """
        state, key = self._state, self._series.key
        saved = await state.candles.save([self.changed[minute] for minute in sorted(self.changed)], fence=state.fence)
        state.recent.put(saved)
        self.changed = {candle.open_time_ms: candle for candle in saved}
        for timeframe in ROLL_UPS:
            opens = sorted({timeframe.open_time_ms(minute) for minute in self._seen})
            for open_time_ms in opens:
                if not self._series.is_closed(open_time_ms + timeframe.duration_ms - MINUTE_MS):
                    continue
                higher = await state.rolled_up(key, timeframe, open_time_ms)
                if higher is None:
                    continue
                stored = await state.candles.between(*key, timeframe, open_time_ms, open_time_ms + 1)
                if stored and stored[0].same_market(higher):
                    continue
                [higher] = await state.candles.save([higher], fence=state.fence)
                state.recent.put((higher,))
                self.higher[self._carrier(higher)].append(higher)

    def _carrier(self, higher: Candle) -> int:
        """The minute whose event names the roll-up: the last one looked at inside it."""
        return max(minute for minute in self._seen if higher.open_time_ms <= minute < higher.close_time_ms)

    async def announce(self) -> None:
        """One event per minute that changed, itself or its roll-ups, oldest first."""
        key, events = self._series.key, []
        for minute in sorted({*self.changed, *self.higher}):
            first = self.changed.get(minute) or await self._stored(minute)
            if first is None:
                continue
            candles = (first, *self.higher.get(minute, ()))
            events.append(CandleCorrected(exchange=key.exchange, symbol=key.symbol, candles=candles))
        self._state.note_corrected(key, self.changed)
        if events:
            await self._state.bus.publish(CANDLES_TOPIC, events)
            self._state.counters["corrected"] += len(events)
            self._state.log.info("candles_corrected", symbol=key.symbol, count=len(events))


def _edges(folded: FoldedMinute | None) -> tuple[int, int] | None:
    if folded is None or not isinstance(folded.first_trade_id, int) or not isinstance(folded.last_trade_id, int):
        return None
    return folded.first_trade_id, folded.last_trade_id


def _same(candle: Candle, current: Candle) -> bool:
    """Whether nothing is new; `verified` is a mark on a complete candle and stays."""
    if current.quality is CandleQuality.VERIFIED and candle.quality.rank == CandleQuality.COMPLETE.rank:
        candle = msgspec.structs.replace(candle, quality=CandleQuality.VERIFIED)
    return candle.same_market(current)
