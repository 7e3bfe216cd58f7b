"""A logic engine that is killed: before any row it writes or event it publishes, and started again."""

import random
from collections.abc import Sequence
from typing import Any

from services.logic_engine.handlers import LogicEngine
from shared.domain.events import CandlesClosed
from tests.support.engine_market import Bench


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


async def life_of(
    bench: Bench,
    minutes: list[list[CandlesClosed]],
    symbols: Sequence[str],
    life: Mortal,
    chance: random.Random,
) -> None:
    """Every minute stored and announced; after a kill a new engine starts and gets what was not acknowledged again."""
    engine = await started(bench, symbols, life)
    for number, minute in enumerate(minutes):
        await bench.keep(minute)
        pending = list(minute)
        while pending:
            try:
                await engine.handle_candles(pending)
                break
            except Killed:
                engine = await started(bench, symbols, life)
                # In any order, older messages among it; or nothing, so that the sweep has to find it.
                pending = [event for old in minutes[max(0, number - 2) : number + 1] for event in old]
                chance.shuffle(pending)
                pending = pending[: chance.choice([0, 1, len(pending)])]
    while True:
        try:
            if not await engine.sweep():
                return
        except Killed:
            engine = await started(bench, symbols, life)


async def started(bench: Bench, symbols: Sequence[str], life: Mortal) -> LogicEngine:
    while True:
        engine = bench.engine(store=MortalStore(bench.store, life), bus=MortalBus(bench.bus, life))
        try:
            await engine.start([("bybit-linear", symbol) for symbol in symbols])
        except Killed:
            continue
        return engine
