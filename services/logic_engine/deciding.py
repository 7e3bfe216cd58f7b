"""From one minute's candles to stored Decisions, and to the alerts they raise.

Alerts: Decision stored -> latches and alerts stored in one row -> published -> slot progress. A kill in between brings the
candle again: the stored Decision says what it raised, a row that knows the candle is published again, nothing is judged anew.
"""

from collections.abc import Sequence

from services.logic_engine.learning import Learning
from services.logic_engine.ports import Ports
from services.logic_engine.state import Series, State
from shared.deciding.active import ActiveStrategy
from shared.deciding.alerting import alerts_of, latches_after, raising, with_alerts
from shared.deciding.decide import Moment, decide
from shared.domain.decisions import Decision
from shared.domain.events import CandlesClosed
from shared.domain.slots import SlotKey
from shared.domain.timeframe import Timeframe
from shared.runtime.crash import crash_point
from shared.store.latches import LatchRow
from shared.strategies.latches import Latches
from shared.strategies.windows import Windows


class Deciding:
    """Makes the Decisions of a wave."""

    def __init__(self, ports: Ports, state: State, learning: Learning, *, entry_freshness_ms: int) -> None:
        self._ports = ports
        self._state = state
        self._learning = learning
        self._entry_freshness_ms = entry_freshness_ms
        self._raising = raising(state.strategies)

    async def decide(self, wave: Sequence[CandlesClosed]) -> list[Decision]:
        """The stored Decisions on this close, made now or before; their alerts are durable and published."""
        moment = Moment(
            close_time_ms=wave[0].close_time_ms,
            market_ms=self._ports.clock.market_ms(),
            entry_freshness_ms=self._entry_freshness_ms,
        )
        made: list[Decision] = []
        for number, active in enumerate(self._state.strategies):
            series = self._ready(number, active, wave)
            if series:
                windows = self._windows(active, series, moment.close_time_ms)
                biases = await self._state.biases(series, moment.close_time_ms)
                made += decide(active, series, windows, biases, moment)
        if not made:
            return []
        if self._learning.models:
            made = await self._learning.ready(made)
        if self._raising:
            made = await self._with_alerts(made)
        stored = await self._ports.decisions.save_first(made, fence=self._ports.fence)
        if self._raising:
            await self._raise([decision for decision in stored if decision.strategy in self._raising])
        return stored

    def _windows(
        self, active: ActiveStrategy, series: Sequence[Series], close_time_ms: int
    ) -> dict[Timeframe, Windows]:
        tables = self._state.tables
        return {
            need.timeframe: tables[need.timeframe].windows_or_missing(series, need.length, close_time_ms)
            if need.optional
            else tables[need.timeframe].windows(series, need.length)
            for need in active.strategy.needs
        }

    def _ready(self, number: int, active: ActiveStrategy, wave: Sequence[CandlesClosed]) -> list[Series]:
        """Series whose own candle closed here and is not handled yet, where every window needed reaches here."""
        own, close_ms = active.timeframe, wave[0].close_time_ms
        if not own.closes_at(close_ms):
            return []
        needs = [
            (self._state.tables[need.timeframe], need.length) for need in active.strategy.needs if not need.optional
        ]
        slots, keys, waiting = self._state.slots, self._state.keys, self._state.waiting
        ready = []
        for event in wave:
            series = (event.exchange, event.symbol)
            announced = event.candles[0].timeframe is own or any(candle.timeframe is own for candle in event.candles)
            key = keys(series)[number]
            if announced and slots[key].handled_through_ms < close_ms and key not in waiting:
                ready.append(series)
        for table, length in needs:
            ready = [series for series in ready if table.ready(series, close_ms, length)]
        return ready

    async def _with_alerts(self, made: Sequence[Decision]) -> list[Decision]:
        keys = [self._key(decision) for decision in made if decision.strategy in self._raising]
        await self._state.load_latches(keys)
        judged = []
        for decision in made:
            active = self._raising.get(decision.strategy)
            if active is not None:
                row = self._state.latches[self._key(decision)]
                before = Latches(active=row.active, close_time_ms=row.close_time_ms)
                decision = with_alerts(decision, active, before)  # noqa: PLW2901 - the same Decision, completed
            judged.append(decision)
        return judged

    async def _raise(self, decisions: Sequence[Decision]) -> None:
        """Store latches with their alerts, then publish; a row that knows the candle already is only published again."""
        changed: list[tuple[SlotKey, LatchRow]] = []
        for decision in decisions:
            row = self._state.latches[self._key(decision)]
            if row.close_time_ms < decision.close_time_ms:
                changed.append((self._key(decision), self._after(decision, row)))
        await self._state.save_latches(changed)
        crash_point("logic_engine.latched")
        rows = [(decision, self._state.latches[self._key(decision)]) for decision in decisions]
        await self._ports.announce(
            [alert for decision, row in rows if row.close_time_ms == decision.close_time_ms for alert in row.raised]
        )

    def _after(self, decision: Decision, row: LatchRow) -> LatchRow:
        active = self._raising[decision.strategy]
        decimals = self._state.price_decimals(decision) if decision.alerts else 0
        return LatchRow(
            active=latches_after(decision),
            close_time_ms=decision.close_time_ms,
            raised=alerts_of(decision, active, decimals),
            revision=row.revision,
        )

    def _key(self, decision: Decision) -> SlotKey:
        return SlotKey(decision.strategy, decision.exchange, decision.symbol)
