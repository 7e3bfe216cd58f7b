"""Brings candles to the engine in order, and each window to its candle: from the event where it fits, else from the store."""

from collections.abc import Sequence
from typing import Final

from services.logic_engine.core.feed import bundles, follows_directly, newest_revisions, next_in_order, waves
from services.logic_engine.ports import Ports
from services.logic_engine.state import Series, State
from shared.domain.candles import Candle
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.strategies.windows import WindowTable, consecutive_tail

CATCH_UP_MINUTES_MAX: Final = 500  # per series and call, so that one long absence does not hold up the others
CATCH_UP_MINUTES_MIN: Final = 10
SWEEP_CANDLES_MAX: Final = 20_000  # of all series in one sweep: some seconds of work, some ten megabytes
LENGTHENED_MAX: Final = 50  # windows read again in one sweep
LENGTHEN_AGAIN_MS: Final = 5 * MINUTE_MS  # market time


class Feeding:
    """Reads what events leave out."""

    def __init__(self, ports: Ports, state: State, *, gap_patience_ms: int, entry_freshness_ms: int) -> None:
        self._ports = ports
        self._state = state
        self._gap_patience_ms = gap_patience_ms
        self._entry_freshness_ms = entry_freshness_ms
        self._lengthen_at_ms: dict[tuple[Series, Timeframe], int] = {}

    async def waves_of(self, events: Sequence[CandlesClosed]) -> list[list[CandlesClosed]]:
        """What these announcements make ready: per minute one event per series, older minutes first.

        Candles handled before are left out; earlier ones that no event brought are read from the store.
        """
        direct = self._next_wave(events)
        if direct is not None:
            return [direct]
        announced = newest_revisions(events)
        await self._state.open_slots({series: min(closes) for series, closes in announced.items()})
        ready: list[CandlesClosed] = []
        for series, closes in announced.items():
            handled_ms = self._state.handled_through_ms(series)
            new = sorted(close for close in closes if close > handled_ms)
            if follows_directly(handled_ms, new, self._state.base.duration_ms):
                ready += [closes[close] for close in new]
                continue
            known = await self._stored(series, handled_ms, CATCH_UP_MINUTES_MAX)
            # Beyond what was read lies what is unknown, not a hole: the sweep goes on from there.
            reach_ms = handled_ms + CATCH_UP_MINUTES_MAX * MINUTE_MS
            known |= {close: closes[close] for close in new if close <= reach_ms or not known or min(known) > reach_ms}
            ready += next_in_order(handled_ms, known, gap_patience_ms=self._gap_patience_ms)
        return waves(ready)

    def _next_wave(self, events: Sequence[CandlesClosed]) -> list[CandlesClosed] | None:
        """The usual case: one event per series, all of one minute, each the next of its series. None where it is not so."""
        close_ms, seen = events[0].close_time_ms, set()
        for event in events:
            series = (event.exchange, event.symbol)
            if event.close_time_ms != close_ms or series in seen or not self._state.follows(series, close_ms):
                return None
            seen.add(series)
        return sorted(events, key=lambda event: (event.exchange, event.symbol))

    async def waves_missed(self, market_ms: int, among: Sequence[Series] | None = None) -> list[list[CandlesClosed]]:
        """What the store holds beyond the last handled candles of these series (or all), in order, a bounded part of it."""
        state = self._state
        await state.open_slots(dict.fromkeys(state.known, market_ms))
        behind = [
            series for series in among or state.known if market_ms - state.handled_through_ms(series) >= MINUTE_MS
        ]
        if not behind:
            return []
        minutes_max = min(CATCH_UP_MINUTES_MAX, max(CATCH_UP_MINUTES_MIN, SWEEP_CANDLES_MAX // len(behind)))
        ready: list[CandlesClosed] = []
        for series in behind:
            handled_ms = state.handled_through_ms(series)
            known = await self._stored(series, handled_ms, minutes_max)
            ready += next_in_order(handled_ms, known, gap_patience_ms=self._gap_patience_ms)
        return waves(ready)

    async def lengthen(self, market_ms: int) -> int:
        """Read short windows again: a history that came after a series' own candles lies before them in the store.

        Returns how many grew. A bounded number each time, each window once in a while: many a history is simply short.
        """
        due = [
            (series, timeframe)
            for series in self._state.known
            for timeframe, table in self._state.tables.items()
            if 0 < table.held(series) < table.length and self._lengthen_at_ms.get((series, timeframe), 0) <= market_ms
        ]
        grown = 0
        for series, timeframe in due[:LENGTHENED_MAX]:
            self._lengthen_at_ms[series, timeframe] = market_ms + LENGTHEN_AGAIN_MS
            table = self._state.tables[timeframe]
            held, close_ms = table.held(series), table.newest_close_ms(series)
            if close_ms is None:
                continue
            stored = await self._ports.candles.last(*series, timeframe, count=table.length, before_ms=close_ms)
            longer = len(consecutive_tail(stored, timeframe)) > held
            if longer and stored[-1].close_time_ms == close_ms:
                table.load(series, stored)
                grown += 1
        return grown

    async def bring_windows(self, wave: Sequence[CandlesClosed]) -> None:
        """Push the wave's candles into their windows; a window that does not continue is loaded from the store."""
        for timeframe, table in self._state.tables.items():
            if not timeframe.closes_at(wave[0].close_time_ms):
                continue
            candles = [candle for event in wave for candle in event.candles if candle.timeframe is timeframe]
            for candle in table.push_next(candles):
                if not _continues(table, candle):
                    await self._load(table, candle)

    async def hydrate(self) -> None:
        """Load every window up to its series' last handled candle, so that the first live one does not wait for it."""
        for series in self._state.known:
            handled_ms = self._state.handled_through_ms(series)
            for timeframe, table in self._state.tables.items():
                before = await self._ports.candles.last(*series, timeframe, count=table.length, before_ms=handled_ms)
                if before and before[-1].close_time_ms == timeframe.open_time_ms(handled_ms):
                    table.load(series, before)

    async def _load(self, table: WindowTable, candle: Candle) -> None:
        before = await self._ports.candles.last(
            candle.exchange,
            candle.symbol,
            candle.timeframe,
            count=table.length - 1,
            before_ms=candle.open_time_ms,
        )
        table.load((candle.exchange, candle.symbol), [*before, candle])

    async def _stored(self, series: Series, handled_ms: int, minutes_max: int) -> dict[int, CandlesClosed]:
        """Stored candles after the last handled one, by close."""
        start_ms = handled_ms  # the open of the next minute
        end_ms = start_ms + minutes_max * MINUTE_MS
        minutes = await self._ports.candles.between(*series, Timeframe.M1, start_ms, end_ms)
        if not minutes:
            minutes = await self._after_a_long_gap(series, start_ms, minutes_max)
        if not minutes:
            return {}
        roll_ups: list[Candle] = []
        last_close_ms = minutes[-1].close_time_ms
        for timeframe in self._state.roll_ups:
            first_ms = minutes[0].close_time_ms - timeframe.duration_ms
            stored = await self._ports.candles.between(*series, timeframe, max(0, first_ms), last_close_ms)
            roll_ups += [candle for candle in stored if candle.close_time_ms <= last_close_ms]
        wait_from_ms = self._ports.clock.market_ms() - self._entry_freshness_ms
        return bundles(minutes, roll_ups, wanted=self._state.roll_ups, wait_from_ms=wait_from_ms)

    async def _after_a_long_gap(self, series: Series, start_ms: int, minutes_max: int) -> list[Candle]:
        """The symbol was not followed for longer than one catch-up reaches: its first candles after that."""
        now_ms = self._ports.clock.market_ms()
        step_ms = CATCH_UP_MINUTES_MAX * MINUTE_MS
        for begin_ms in range(start_ms + minutes_max * MINUTE_MS, now_ms, step_ms):
            minutes = await self._ports.candles.between(*series, Timeframe.M1, begin_ms, begin_ms + step_ms)
            if minutes:
                return minutes[:minutes_max]
        return []


def _continues(table: WindowTable, candle: Candle) -> bool:
    newest_ms = table.newest_close_ms((candle.exchange, candle.symbol))
    # A window that already reaches beyond the candle (the engine goes over old candles again) must end at it.
    return newest_ms is not None and newest_ms <= candle.close_time_ms and table.push(candle)
