"""Closed candles beside the venue's klines: equal is a mark, a difference is folded again and then told. Never silence."""

from collections.abc import Mapping, Sequence

from services.aggregator.core.audit_plan import AuditLimits, AuditPlan
from services.aggregator.core.candle_builder import KlineRange
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
_COMPARED = frozenset({CandleQuality.COMPLETE, CandleQuality.REPAIRED, CandleQuality.VERIFIED})


class Auditor:
    """Compares what `AuditPlan` chooses. A difference is first folded again from the tape; what differs then is told."""

    def __init__(self, state: State, limits: AuditLimits) -> None:
        self._state = state
        self._plan = AuditPlan(limits)
        self._store = AuditStore(state.store)
        self._suspects: set[tuple[SeriesKey, int, int]] = set()
        self.verified = self.differing = 0

    async def audit(self) -> None:
        """One round. A venue that does not answer is asked again in the next."""
        state = self._state
        for key, minute_ms in state.take_corrected():
            self._plan.again(key, minute_ms)
        closed = [
            (key, series.next_ms, state.coverage.watermark_ms(key))
            for key, series in state.builder.series.items()
            if key.exchange in state.rest and series.ready and series.next_ms is not None
        ]
        for wanted in self._plan.next_ranges(closed):
            rest = state.rest[wanted.key.exchange]
            try:
                klines = await rest.klines(
                    wanted.key.symbol, Timeframe.M1, start_ms=wanted.start_ms, end_ms=wanted.end_ms
                )
            except (TransientError, PermanentError) as error:
                state.log.warning("audit_not_possible", symbol=wanted.key.symbol, error=str(error))
                continue
            self._plan.done(wanted)
            await self._compare(wanted, {kline.open_time_ms: kline for kline in klines})

    async def _compare(self, wanted: KlineRange, klines: Mapping[int, Kline]) -> None:
        key, state = wanted.key, self._state
        candles = await state.candles.between(*key, Timeframe.M1, max(0, wanted.start_ms - MINUTE_MS), wanted.end_ms)
        known = await self._store.between(*key, wanted.start_ms, wanted.end_ms)
        closes = {candle.close_time_ms: candle.close for candle in candles}
        rule = state.rest[key.exchange].rules.kline_opens_at_previous_close
        marks: list[AuditMark] = []
        for candle in candles:
            kline, mark = klines.get(candle.open_time_ms), known.get(candle.open_time_ms)
            is_new = mark is None or mark.revision != candle.revision
            if candle.open_time_ms < wanted.start_ms or kline is None or candle.quality not in _COMPARED or not is_new:
                continue
            before = closes.get(candle.open_time_ms)
            found = differences(candle, kline, opens_at_previous_close=rule, previous_close=before)
            if not found:
                marks.append(AuditMark(*key, candle.open_time_ms, candle.revision))
            elif await self._is_sure(key, candle):
                marks.append(AuditMark(*key, candle.open_time_ms, candle.revision, tuple(found)))
                await self._tell(key, candle, found)
        await self._store.mark(marks, fence=state.fence)
        self.verified += sum(mark.is_verified for mark in marks)

    async def _is_sure(self, key: SeriesKey, candle: Candle) -> bool:
        """Whether the revision differed before; else it is folded again from the tape and compared once more."""
        suspect = (key, candle.open_time_ms, candle.revision)
        if suspect in self._suspects:
            self._suspects.discard(suspect)
            return True
        self._suspects.add(suspect)
        state = self._state
        await state.ensure_marks([MinuteKey(candle.open_time_ms, *key)])
        state.builder.of(key).late.add(candle.open_time_ms)
        self._plan.again(key, candle.open_time_ms)
        return False

    async def _tell(self, key: SeriesKey, candle: Candle, found: Sequence[Difference]) -> None:
        self.differing += 1
        told = "; ".join(str(difference) for difference in found)
        text = f"{key.symbol}: the candle of {candle.open_time_ms} (revision {candle.revision}) differs from {key.exchange}: {told}"
        await self._state.announce_system(
            "candle_differs", key, version=candle.open_time_ms, text=text, severity=Severity.ERROR
        )
        self._state.log.error("candle_differs", symbol=key.symbol, open_time_ms=candle.open_time_ms, reason=told)
