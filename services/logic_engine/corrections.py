"""What becomes of a corrected candle: windows take it, Decisions that read it get a shadow, signals one line each.

A correction that overtakes its candle waits in memory, although it is acknowledged. The stored revisions repeat it: the
engine of a new term looks at those of the last handled hour, and of every candle that closed before the term began.
Nothing decided is changed. A shadow is kept for the Decision on the corrected candle itself, and for every later one whose
verdict would have been another.
"""

from collections.abc import Sequence

import msgspec

from services.logic_engine.core.correction import (
    affected_closes,
    corrections_in,
    entry_note,
    exit_note,
    life_note,
    reopened,
)
from services.logic_engine.ports import Ports
from services.logic_engine.state import Series, State
from shared.deciding.active import ActiveStrategy
from shared.deciding.decide import shadow_of, verdict
from shared.deciding.opening import opened_signal_id
from shared.domain.candles import Candle
from shared.domain.decisions import Decision, DecisionKind
from shared.domain.errors import TransientError
from shared.domain.events import CandleCorrected, CandlesClosed, Event, SignalProgressed
from shared.domain.signals import Signal
from shared.domain.slots import SignalNote, SignalRecord
from shared.domain.timeframe import Timeframe
from shared.portfolio.signal_life import Life
from shared.strategies.windows import Windows, consecutive_tail, rows_or_missing, windows_of_candles

_EARLY_MAX = 1000
_LOOK_BACK_MINUTES = 60


class Corrections:
    """Handles CandleCorrected."""

    def __init__(self, ports: Ports, state: State) -> None:
        self._ports = ports
        self._state = state

    async def handle(self, event: CandleCorrected) -> None:
        """Take the new revisions; a correction that overtook its candle's first announcement waits for it."""
        series, minute = (event.exchange, event.symbol), event.candles[0]
        await self._state.open_slots({series: minute.close_time_ms})
        if self._is_early(series, minute.close_time_ms):
            early = self._state.early_corrections
            if len(early) >= _EARLY_MAX:
                raise TransientError(
                    f"at most {_EARLY_MAX} corrections wait for their candles ({series} {minute.close_time_ms})"
                )
            early[series, minute.close_time_ms] = event
            return
        for candle in event.candles:
            table = self._state.tables.get(candle.timeframe)
            newest_ms = table.newest_close_ms(series) if table else None
            if table is not None and newest_ms is not None and newest_ms >= candle.close_time_ms:
                table.push(candle)
        for active in self._state.strategies:
            for candle in event.candles:
                if any(need.timeframe is candle.timeframe for need in active.strategy.needs):
                    await self._shadow(active, candle)
            await self._judge_exits(active, minute)

    async def handle_early(self) -> None:
        """Handle the corrections whose candles have been handled meanwhile; each is forgotten when it is done."""
        for place, event in list(self._state.early_corrections.items()):
            series, close_time_ms = place
            await self._state.open_slots({series: close_time_ms})
            if not self._is_early(series, close_time_ms):
                await self.handle(event)
                del self._state.early_corrections[place]

    def _is_early(self, series: Series, close_time_ms: int) -> bool:
        """Its candle is not handled yet; or an entry waits, whose Decision is not stored yet and could get no shadow."""
        return self._state.handled_through_ms(series) < close_time_ms or self._state.waits(series)

    async def look_again(self, wave: Sequence[CandlesClosed]) -> None:
        """Candles just handled whose correction a predecessor may have been told of: take newer stored revisions."""
        places = [(event.exchange, event.symbol, event.candles[0].open_time_ms) for event in wave]
        announced = {place: event.candles[0].revision for place, event in zip(places, wave, strict=True)}
        for minute in await self._ports.candles.some(Timeframe.M1, places):
            if minute.revision > announced[minute.exchange, minute.symbol, minute.open_time_ms]:
                await self.handle(await self._correction_of(minute))

    async def look_back(self, series: Series) -> None:
        """The start of a term: the last handled hour's corrected candles are handled again, which changes nothing twice.

        A correction that overtook its candle was acknowledged but only remembered by the predecessor, which may be dead.
        """
        handled_ms = self._state.handled_through_ms(series)
        found = await self._ports.candles.last(*series, Timeframe.M1, count=_LOOK_BACK_MINUTES, before_ms=handled_ms)
        for minute in found:
            if minute.revision > 1:
                await self.handle(await self._correction_of(minute))

    async def _correction_of(self, minute: Candle) -> CandleCorrected:
        """The stored minute with the roll-ups over it that were corrected, as an announcement would bring them."""
        series = (minute.exchange, minute.symbol)
        candles = [minute]
        for timeframe in self._state.roll_ups:
            found = await self._ports.candles.some(timeframe, [(*series, timeframe.open_time_ms(minute.open_time_ms))])
            candles += [candle for candle in found if candle.revision > 1]
        return CandleCorrected(exchange=minute.exchange, symbol=minute.symbol, candles=tuple(candles))

    async def _shadow(self, active: ActiveStrategy, candle: Candle) -> None:
        first_decisions = await self._affected(active, candle)
        if not first_decisions:
            return
        own_close = candle.close_time_ms if candle.timeframe is active.timeframe else None
        kept: list[tuple[Decision, Decision]] = []
        for first, shadow in await self._evaluate(active, first_decisions):
            changed = verdict(first) != verdict(shadow)
            if first.windows != shadow.windows and (changed or first.close_time_ms == own_close):
                kept.append((first, shadow))
        if not kept:
            return
        shadows = [(shadow, corrections_in(shadow)) for _, shadow in kept]
        await self._ports.decisions.save_shadows(shadows, fence=self._ports.fence)
        for first, shadow in kept:
            name, text = opened_signal_id(first), entry_note(first, shadow, candle)
            if name is not None and text is not None:
                await self._note(name, f"entry#{corrections_in(shadow)}", text)

    async def _affected(self, active: ActiveStrategy, candle: Candle) -> list[Decision]:
        """The Decisions made on windows that hold the candle."""
        need = next(need for need in active.strategy.needs if need.timeframe is candle.timeframe)
        slot = self._state.slots[active.slot_key(candle.exchange, candle.symbol)]
        closes = affected_closes(
            candle, active.timeframe, length=need.length, handled_through_ms=slot.handled_through_ms
        )
        if not closes:
            return []
        start_ms, end_ms = (close - active.timeframe.duration_ms for close in (closes[0], closes[-1] + 1))
        series = (candle.exchange, candle.symbol, active.timeframe)
        found = await self._ports.decisions.between(active.name, *series, start_ms, end_ms)
        return [decision for decision in found if decision.kind is DecisionKind.FIRST]

    async def _evaluate(self, active: ActiveStrategy, firsts: Sequence[Decision]) -> list[tuple[Decision, Decision]]:
        """Each Decision with what the strategy says on the candles as they are stored now; all in one call."""
        needs = {need.timeframe: need for need in active.strategy.needs}
        sources: dict[Timeframe, Windows | None] = {}
        for need in needs.values():
            sources[need.timeframe] = await self._windows(need.timeframe, need.length, firsts)
        rows_of = {timeframe: _rows_by_open(loaded) for timeframe, loaded in sources.items()}
        known = [
            first
            for first in firsts
            if all(window.first_open_time_ms in rows_of[window.timeframe] for window in first.windows)
        ]
        if not known:
            return []
        windows: list[Windows] = []
        for timeframe, need in needs.items():
            opens = [_open_of(first, timeframe) for first in known]
            rows = [rows_of[timeframe].get(open_ms) for open_ms in opens]
            windows.append(rows_or_missing(sources[timeframe], rows, timeframe, need.length))
        columns = {timeframe: picked.columns for timeframe, picked in zip(needs, windows, strict=True)}
        outcomes = active.evaluate([first.symbol for first in known], columns)
        return [(first, shadow_of(first, outcomes[row], windows, row)) for row, first in enumerate(known)]

    async def _windows(self, timeframe: Timeframe, length: int, firsts: Sequence[Decision]) -> Windows | None:
        opens = [w.first_open_time_ms for first in firsts for w in first.windows if w.timeframe is timeframe]
        if not opens:
            return None
        start_ms, end_ms = min(opens), max(opens) + length * timeframe.duration_ms
        first = firsts[0]
        candles = await self._ports.candles.between(first.exchange, first.symbol, timeframe, start_ms, end_ms)
        run = consecutive_tail(candles, timeframe)
        return windows_of_candles(run, length) if len(run) >= length else None

    async def _judge_exits(self, active: ActiveStrategy, minute: Candle) -> None:
        """The slot's open signal and the one before it: would the corrected minute have ended them otherwise?"""
        slot = self._state.slots[active.slot_key(minute.exchange, minute.symbol)]
        for signal_id in (slot.signal_id, slot.last_signal_id):
            record = await self._record(signal_id) if signal_id else None
            if record is None or record.signal.opened_at_ms > minute.open_time_ms:
                continue
            if record.signal.trail_pct is not None:
                text = await self._note_of_life(record.signal, minute, slot.handled_through_ms)
            else:
                prices = await self._ports.trade_prices(minute.exchange, minute.symbol, minute.open_time_ms)
                text = exit_note(record.signal, minute, prices)
            if text is not None:
                await self._note(record.signal.signal_id, f"exit#{minute.open_time_ms}#{minute.revision}", text)

    async def _note_of_life(self, signal: Signal, minute: Candle, handled_through_ms: int) -> str | None:
        """Its life again on the candles as they are stored now, up to its end, or to the last candle handled."""
        until_ms = handled_through_ms if signal.exit is None else signal.exit.closed_at_ms
        if minute.close_time_ms > until_ms:
            return None
        series, life = (signal.exchange, signal.symbol), Life(reopened(signal))
        for candle in await self._ports.candles.between(*series, self._state.base, signal.opened_at_ms, until_ms):
            prices = await self._ports.trade_prices(*series, candle.open_time_ms) if life.needs_tape(candle) else None
            end = life.end_on(candle, prices)
            if end is not None:
                return life_note(signal, minute, end)
        return life_note(signal, minute, None)

    async def _record(self, signal_id: str) -> SignalRecord | None:
        return self._state.records.get(signal_id) or await self._ports.signals.get(signal_id)

    async def _note(self, signal_id: str, key: str, text: str) -> None:
        """Add the line once: the row remembers it before it is published, a redelivery publishes the same event again."""
        record = await self._record(signal_id)
        if record is None:
            return
        note = next((note for note in record.notes if note.key == key), None)
        if note is None:
            note = SignalNote(key=key, version=record.signal.version + 1, text=text)
            signal = msgspec.structs.replace(record.signal, version=note.version)
            record = msgspec.structs.replace(record, signal=signal, notes=(*record.notes, note))
            [saved] = await self._ports.signals.save([record], fence=self._ports.fence)
            if signal_id in self._state.records:
                self._state.records[signal_id] = saved
        snapshot = msgspec.structs.replace(record.signal, version=note.version)
        events: list[Event] = [SignalProgressed(signal=snapshot, note=note.text)]
        await self._ports.announce(events)


def _rows_by_open(windows: Windows | None) -> dict[int | None, int]:
    records = windows.records if windows is not None else ()
    return {record.first_open_time_ms: row for row, record in enumerate(records) if record is not None}


def _open_of(decision: Decision, timeframe: Timeframe) -> int | None:
    """Where its window of the timeframe begins; None where it read none."""
    return next((w.first_open_time_ms for w in decision.windows if w.timeframe is timeframe), None)
