"""Closed candles beside the venue's klines: equal is a mark, a difference is folded again and then told. Never silence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from services.aggregator.core.audit_plan import AuditLimits, AuditPlan, AuditRange
from services.aggregator.core.coverage import SeriesKey
from services.aggregator.state import State
from shared.domain.candles import Candle, CandleQuality
from shared.domain.errors import PermanentError, TransientError
from shared.domain.events import Severity
from shared.domain.kline_rules import Difference, differences
from shared.domain.klines import Kline
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.store.audits import AuditMark, AuditStore
from shared.store.pending import MinuteKey

# A partial candle is repaired from klines anyway, and a kline equals itself.
_COMPARED: Final = frozenset({CandleQuality.COMPLETE, CandleQuality.REPAIRED, CandleQuality.VERIFIED})
_SUSPECTS_KEPT: Final = 10_000
_Place = tuple[SeriesKey, Timeframe, int, int]  # series, timeframe, open time, revision (0: no candle)


class Auditor:
    """Compares what `AuditPlan` chooses, roll-ups too. A difference is first folded again from the tape; what differs then
    is told, and so is what stands on one side only.
    """

    def __init__(self, state: State, limits: AuditLimits) -> None:
        self._state = state
        self._limits = limits
        self._plan = AuditPlan(limits)
        self._store = AuditStore(state.store)
        self._rounds: Counter[_Place] = Counter()  # how often each suspect was looked at
        self.verified = self.differing = self.unconfirmed = 0

    async def audit(self) -> None:
        """One round. A venue that does not answer is asked again in the next."""
        state = self._state
        for key, minute_ms in state.take_corrected():
            for timeframe in Timeframe:
                self._plan.again(key, timeframe, minute_ms)
        closed = [
            (key, series.next_ms, state.coverage.watermark_ms(key))
            for key, series in state.builder.series.items()
            if key.exchange in state.rest and series.ready and series.next_ms is not None
        ]
        for wanted in self._plan.next_ranges(closed):
            key, timeframe = wanted.key, wanted.timeframe
            before_ms = max(0, wanted.start_ms - timeframe.duration_ms)
            candles = await state.candles.between(*key, timeframe, before_ms, wanted.end_ms)
            due = await self._due(wanted, candles)
            if not due and not _lacks_minutes(wanted, candles):
                self._plan.done(wanted)  # nothing to ask for
                continue
            try:
                klines = await state.rest[key.exchange].klines(
                    key.symbol, timeframe, start_ms=wanted.start_ms, end_ms=wanted.end_ms
                )
            except (TransientError, PermanentError) as error:
                state.log.warning("audit_not_possible", symbol=key.symbol, error=str(error))
                continue
            self._plan.done(wanted)
            theirs = {kline.open_time_ms: kline for kline in klines}
            await self._compare(key, due, {candle.close_time_ms: candle.close for candle in candles}, theirs)
            if timeframe is Timeframe.M1:
                await self._look_for_missing(key, candles, theirs)

    async def _due(self, wanted: AuditRange, candles: Sequence[Candle]) -> list[Candle]:
        """Those of the range whose revision was not compared yet."""
        known = await self._store.between(*wanted.key, wanted.start_ms, wanted.end_ms, timeframe=wanted.timeframe)
        marked = {(mark.open_time_ms, mark.revision) for mark in known.values()}
        return [
            candle
            for candle in candles
            if candle.open_time_ms >= wanted.start_ms
            and candle.quality in _COMPARED
            and (candle.open_time_ms, candle.revision) not in marked
        ]

    async def _compare(
        self, key: SeriesKey, candles: Sequence[Candle], closes: Mapping[int, float], klines: Mapping[int, Kline]
    ) -> None:
        """closes: of the candles before, by the time at which they closed."""
        rule = self._state.rest[key.exchange].rules.kline_opens_at_previous_close
        marks: list[AuditMark] = []
        for candle in candles:
            kline, before = klines.get(candle.open_time_ms), closes.get(candle.open_time_ms)
            found: list[Difference] | None
            if kline is None:
                found = self._without_kline(key, candle)
            else:
                found = differences(candle, kline, opens_at_previous_close=rule, previous_close=before)
                if found and not await self._is_sure(key, candle.timeframe, candle.open_time_ms, candle.revision):
                    found = None
            if found is None:
                continue
            place = (candle.open_time_ms, candle.revision)
            marks.append(AuditMark(*key, *place, tuple(found), timeframe=candle.timeframe))
            if found:
                await self._tell(key, candle, found)
        await self._store.mark(marks, fence=self._state.fence)
        self.verified += sum(mark.is_verified for mark in marks)

    def _without_kline(self, key: SeriesKey, candle: Candle) -> list[Difference] | None:
        """The venue gives no kline for the candle: asked for again, and told when it still does not. None: not yet."""
        place = (key, candle.timeframe, candle.open_time_ms, candle.revision)
        if self._looked_at(place) < self._limits.missing_rounds:
            self._plan.again(key, candle.timeframe, candle.open_time_ms)
            return None
        del self._rounds[place]
        self.unconfirmed += 1
        return [Difference("kline", "there", "missing")]

    async def _look_for_missing(self, key: SeriesKey, candles: Sequence[Candle], klines: Mapping[int, Kline]) -> None:
        """Minutes that the venue has and we lack, after our first candle: they are folded again, then told."""
        ours = {candle.open_time_ms for candle in candles}
        for open_time_ms in sorted(klines.keys() - ours):
            if ours and open_time_ms > min(ours) and await self._is_sure(key, Timeframe.M1, open_time_ms, 0):
                text = f"{key.symbol}: the venue has a kline of {open_time_ms}, and no candle of it is stored"
                await self._state.announce_system(
                    "candle_differs", key, version=open_time_ms, text=text, severity=Severity.ERROR
                )
                self.differing += 1

    async def _is_sure(self, key: SeriesKey, timeframe: Timeframe, open_time_ms: int, revision: int) -> bool:
        """Whether the revision differed before; else it is folded again from the tape and compared once more."""
        place = (key, timeframe, open_time_ms, revision)
        if self._looked_at(place) > 1:
            del self._rounds[place]
            return True
        state = self._state
        # A roll-up is made again with any minute of it that is folded again.
        minute_ms = open_time_ms + timeframe.duration_ms - MINUTE_MS
        await state.ensure_marks([MinuteKey(minute_ms, *key)])
        state.builder.of(key).late.add(minute_ms)
        self._plan.again(key, timeframe, open_time_ms)
        return False

    def _looked_at(self, place: _Place) -> int:
        """How often, this time included. Bounded: where too many differ at once, they are simply looked at once more."""
        if len(self._rounds) >= _SUSPECTS_KEPT and place not in self._rounds:
            self._rounds.clear()
        self._rounds[place] += 1
        return self._rounds[place]

    async def _tell(self, key: SeriesKey, candle: Candle, found: Sequence[Difference]) -> None:
        self.differing += 1
        told = "; ".join(str(difference) for difference in found)
        which = f"{candle.timeframe.value} candle of {candle.open_time_ms} (revision {candle.revision})"
        await self._state.announce_system(
            "candle_differs",
            key,
            version=candle.open_time_ms + candle.timeframe.minutes - 1,  # two timeframes' candles may open together
            text=f"{key.symbol}: the {which} differs from {key.exchange}: {told}",
            severity=Severity.ERROR,
        )
        self._state.log.error("candle_differs", symbol=key.symbol, open_time_ms=candle.open_time_ms, reason=told)


def _lacks_minutes(wanted: AuditRange, candles: Sequence[Candle]) -> bool:
    """Whether a minute after our first candle of the range has no candle."""
    if wanted.timeframe is not Timeframe.M1 or not candles:
        return False
    return (wanted.end_ms - candles[0].open_time_ms) // MINUTE_MS > len(candles)
