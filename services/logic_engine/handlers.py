"""Events in, effects out. One LogicEngine is active at a time; it also runs in replay, without consumers.

Per candle and series, strictly in order: window -> exits on this 1m candle -> Decisions -> slot, signal row, publish ->
slot progress. A handler returns when all of it is durable. The slot's `handled_through_ms` is written last: a kill before
it brings the candle again, and every step then finds what is done and does the rest.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from services.logic_engine.corrections import Corrections
from services.logic_engine.deciding import Deciding
from services.logic_engine.feeding import Feeding
from services.logic_engine.learning import Learning
from services.logic_engine.lives import Lives
from services.logic_engine.ports import Ports
from services.logic_engine.state import Series, State
from services.logic_engine.turns import Turns
from shared.bus.port import Bus
from shared.deciding.active import ActiveStrategy
from shared.domain.checks import require
from shared.domain.events import CandleCorrected, CandlesClosed, MacroBiasUpdated
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point
from shared.store.port import Store

ENTRY_FRESHNESS_MS: Final = 120_000
GAP_PATIENCE_MS: Final = 900_000


class LogicEngine:
    """Closed candles to Decisions and signals.

    fence:              of the lease under which it writes; None where nobody else can (replay).
    entry_freshness_ms: market time within which a Decision must be made to open something.
    base:               the finest timeframe of the candles; not 1m only in the replay of coarser ones.
    gap_patience_ms:    how far a series must have moved on before a minute that never came is passed over.
    """

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        strategies: Sequence[ActiveStrategy],
        fence: int | None = None,
        entry_freshness_ms: int = ENTRY_FRESHNESS_MS,
        gap_patience_ms: int = GAP_PATIENCE_MS,
        base: Timeframe = Timeframe.M1,
    ) -> None:
        names = [active.name for active in strategies]
        require(bool(names), "at least one strategy is enabled", names, "logic engine")
        require(len(set(names)) == len(names), "names of strategies must be unique", names, "logic engine")
        self._ports = Ports(store=store, bus=bus, clock=clock, fence=fence)
        self._state = State(self._ports, strategies, base)
        self._feeding = Feeding(
            self._ports, self._state, gap_patience_ms=gap_patience_ms, entry_freshness_ms=entry_freshness_ms
        )
        learning = Learning(self._ports, self._state)
        self._deciding = Deciding(self._ports, self._state, learning, entry_freshness_ms=entry_freshness_ms)
        self._lives = Lives(self._ports, self._state)
        self._turns = Turns(self._ports, self._state, learning, self._lives, patience_ms=entry_freshness_ms)
        self._corrections = Corrections(self._ports, self._state)
        self._turn = asyncio.Lock()  # consumers and the sweep take turns; order per series depends on it
        self.decisions_made = 0
        self.last_close_ms = 0

    async def start(self, markets: Sequence[Series]) -> None:
        """Load slots and windows of these (exchange, symbol); without a slot, begin behind the newest stored candle.

        Candles stored before the first start (backfilled klines) make windows, not Decisions.
        """
        async with self._turn:
            unknown = await self._state.adopt(markets)
            begins: dict[Series, int] = {}
            now_ms = self._ports.clock.market_ms() + MINUTE_MS
            for series in unknown:
                stored = await self._ports.candles.last(*series, Timeframe.M1, count=240, before_ms=now_ms)
                if stored:
                    begins[series] = stored[-1].close_time_ms + MINUTE_MS
            await self._state.open_slots(begins)
            await self._feeding.hydrate()
            self._state.term_begins_ms = now_ms
            for series in self._state.known:
                await self._corrections.look_back(series)

    async def handle_candles(self, events: Sequence[CandlesClosed | CandleCorrected]) -> None:
        """Handle announcements; those of one minute in one list share one kernel call. Durable when it returns."""
        async with self._turn:
            try:
                await self._take_turns()
                await self._corrections.handle_early()  # what an error left behind
                for run in _runs(events):
                    if isinstance(run, CandleCorrected):
                        await self._corrections.handle(run)
                    else:
                        for wave in await self._feeding.waves_of(run):
                            await self._handle_wave(wave)
            except BaseException:
                self._state.forget()
                raise

    async def handle_bias(self, events: Sequence[MacroBiasUpdated]) -> None:
        """Store new versions of the bias; they hold for candles that close from their effective time on."""
        async with self._turn:
            await self._ports.biases.save([event.bias for event in events], fence=self._ports.fence)
            for event in events:
                self._state.remember_bias(event.bias)

    async def sweep(self) -> int:
        """Handle candles that are stored but were not announced to us; returns how many. Bounded: call it until 0."""
        async with self._turn:
            try:
                await self._take_turns()
                await self._feeding.lengthen(self._ports.clock.market_ms())
                missed = await self._feeding.waves_missed(self._ports.clock.market_ms())
                for wave in missed:
                    await self._handle_wave(wave)
            except BaseException:
                self._state.forget()
                raise
        return sum(len(wave) for wave in missed)

    async def finish(self) -> None:
        """The end of a replay: nobody else will come, so that every waiting entry is judged, and what follows on it."""
        async with self._turn:
            await self._take_turns(at_once=True)

    def status(self) -> dict[str, object]:
        """Figures for the status report."""
        slots = self._state.slots.values()
        return {
            "last_close_ms": self.last_close_ms,
            "series": len(self._state.known),
            "open_signals": sum(slot.signal_id is not None for slot in slots),
            "waiting_entries": len(self._state.waiting),
            "decisions": self.decisions_made,
        }

    async def _handle_wave(self, wave: Sequence[CandlesClosed]) -> None:
        """One minute of several series, and the entries whose turn has come with it."""
        await self._step(wave)
        await self._take_turns()

    async def _take_turns(self, *, at_once: bool = False) -> None:
        while freed := await self._turns.take(at_once=at_once):
            for wave in await self._feeding.waves_missed(self._ports.clock.market_ms(), freed):
                await self._step(wave)

    async def _step(self, wave: Sequence[CandlesClosed]) -> None:
        await self._feeding.bring_windows(wave)
        await self._lives.exits(wave)
        decisions = await self._deciding.decide(wave)
        crash_point("logic_engine.decided")
        await self._lives.act(decisions, wave)
        await self._state.mark_handled(wave)
        if wave[0].close_time_ms <= self._state.term_begins_ms:
            await self._corrections.look_again(wave)
        await self._corrections.handle_early()
        self.decisions_made += len(decisions)
        self.last_close_ms = max(self.last_close_ms, wave[0].close_time_ms)


def _runs(
    events: Sequence[CandlesClosed | CandleCorrected],
) -> Iterator[Sequence[CandlesClosed] | CandleCorrected]:
    """Announcements in runs, corrections one by one, in the order they came."""
    run: list[CandlesClosed] = []
    for event in events:
        if isinstance(event, CandlesClosed):
            run.append(event)
            continue
        if run:
            yield run
            run = []
        yield event
    if run:
        yield run
