"""A kill before any write or publish, then redelivery or the sweep: the same decisions, signals and events."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from services.logic_engine.handlers import LogicEngine
from shared.deciding.active import active_strategy
from shared.domain.events import CandlesClosed
from shared.store.signals import SlotStore
from tests.support.engine_market import Bench, closed, wild_candles
from tests.support.slow_twin import as_twin, slow_signals

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
WARM = 119
LIVE = 60


class Case(NamedTuple):
    """A market and a strategy on it whose signals end in these ways."""

    seed: int
    on_opposite: str
    max_age: int
    take_profit_pct: float
    stop_loss_pct: float
    ends: frozenset[str]


FIXED = Case(11, "ignore", 12, 1.5, 0.7, frozenset({"tp", "sl", "expired"}))
REVERSING = Case(7, "close", 50, 3.0, 5.0, frozenset({"reversed"}))


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Counts every row written and every event published; dies before the one that is due."""

    def __init__(self, dies_at: int | None, chance: random.Random | None = None) -> None:
        self.dies_at = dies_at
        self.chance = chance
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.dies_at or (self.chance is not None and self.chance.random() < 0.03):
            raise Killed


class MortalStore:
    """Rows of one call are written one by one, as on a store whose rows are atomic on their own."""

    def __init__(self, store: Any, life: Mortal) -> None:
        self._store = store
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, writes: Sequence[Any]) -> list[Any]:
        outcomes = []
        for write in writes:
            self._life.step()
            outcomes += await self._store.write([write])
        return outcomes


class MortalBus:
    """Events of one call are published one by one."""

    def __init__(self, bus: Any, life: Mortal) -> None:
        self._bus = bus
        self._life = life

    async def publish(self, topic: str, events: Sequence[Any]) -> None:
        for event in events:
            self._life.step()
            await self._bus.publish(topic, [event])


def the_market(case: Case) -> tuple[dict[str, list[Any]], list[list[CandlesClosed]]]:
    candles = {symbol: wild_candles(symbol, WARM + LIVE, case.seed) for symbol in SYMBOLS}
    minutes = [[closed(candles[symbol][number]) for symbol in SYMBOLS] for number in range(WARM + LIVE)]
    return candles, minutes


async def prepared(case: Case) -> tuple[Bench, list[list[CandlesClosed]]]:
    parameters = {"take_profit_pct": case.take_profit_pct, "stop_loss_pct": case.stop_loss_pct}
    strategy = active_strategy(
        "rsi_divergence", parameters=parameters, on_opposite=case.on_opposite, max_age_candles=case.max_age
    )
    bench = Bench(strategies=[strategy])
    _, minutes = the_market(case)
    await bench.keep([event for minute in minutes[:WARM] for event in minute])
    return bench, minutes[WARM:]


async def results(bench: Bench) -> dict[str, Any]:
    slots = await SlotStore(bench.store).all()
    return {
        "decisions": [(row.key, row.value) for row in await bench.store.scan("decisions", "", "~")],
        "slots": {key: replace(slot, revision=0) for key, slot in slots.items()},
        "signals": [record.signal for record in await bench.signals.all()],
        "events": {event.event_id: event for event in await bench.published()},
    }


async def life_of(bench: Bench, minutes: list[list[CandlesClosed]], life: Mortal, chance: random.Random) -> None:
    """Every minute stored and announced; after a kill a new engine starts and gets what was not acknowledged again."""
    engine = await started(bench, life)
    for number, minute in enumerate(minutes):
        await bench.keep(minute)
        pending = list(minute)
        while pending:
            try:
                await engine.handle_candles(pending)
                break
            except Killed:
                engine = await started(bench, life)
                # In any order, older messages among it; or nothing, so that the sweep has to find it.
                pending = [event for old in minutes[max(0, number - 2) : number + 1] for event in old]
                chance.shuffle(pending)
                pending = pending[: chance.choice([0, 1, len(pending)])]
    while True:
        try:
            if not await engine.sweep():
                return
        except Killed:
            engine = await started(bench, life)


async def started(bench: Bench, life: Mortal) -> LogicEngine:
    while True:
        engine = bench.engine(store=MortalStore(bench.store, life), bus=MortalBus(bench.bus, life))
        try:
            await engine.start([("bybit-linear", symbol) for symbol in SYMBOLS])
        except Killed:
            continue
        return engine


async def undisturbed(case: Case) -> tuple[dict[str, Any], int]:
    bench, minutes = await prepared(case)
    life = Mortal(None)
    await life_of(bench, minutes, life, random.Random(0))
    return await results(bench), life.steps


@pytest.mark.parametrize("case", [FIXED, REVERSING])
async def test_a_kill_at_every_step_changes_nothing(case):
    expected, steps = await undisturbed(case)
    candles, _ = the_market(case)
    twins = slow_signals(
        candles,
        max_age=case.max_age,
        on_opposite=case.on_opposite,
        take_profit_pct=case.take_profit_pct,
        stop_loss_pct=case.stop_loss_pct,
    )
    found = sorted(
        (as_twin(signal) for signal in expected["signals"]), key=lambda item: (item.candle_open_time_ms, item.symbol)
    )
    assert found == twins
    assert case.ends <= {twin.reason for twin in twins}

    # Most steps are a Decision or a slot's progress; every third of all is due once over the runs of both cases.
    for dies_at in range(1, steps + 1, 3):
        bench, minutes = await prepared(case)
        await life_of(bench, minutes, Mortal(dies_at), random.Random(dies_at))
        assert await results(bench) == expected, f"killed before step {dies_at}"


@pytest.mark.parametrize("case", [FIXED, REVERSING])
@pytest.mark.parametrize("seed", range(6))
async def test_many_kills_change_nothing(case, seed):
    expected, _ = await undisturbed(case)
    bench, minutes = await prepared(case)
    chance = random.Random(seed)

    await life_of(bench, minutes, Mortal(None, chance), chance)

    assert await results(bench) == expected
