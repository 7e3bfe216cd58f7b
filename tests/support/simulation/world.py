"""One history: venue, brokers and every service's own main in one process on virtual time, under a plan of faults."""

import asyncio
import contextlib
import os
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import services.aggregator.main as aggregator_main
import services.ingestion.main as ingestion_main
import services.ingestion.service as ingestion_service
import services.logic_engine.main as engine_main
from services.notifier.messengers.recording import RecordedMessage, RecordingMessenger
from services.notifier.notifier import Notifier
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle
from shared.domain.decisions import Decision, DecisionKind
from shared.domain.events import SystemEvent
from shared.domain.signals import Signal
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.venue import BYBIT_LINEAR
from shared.runtime import consumer
from shared.runtime.leadership import process_owner
from shared.runtime.service import ServiceContext
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.memory import MemoryStore
from shared.store.signals import SignalStore
from tests.support.simulation import pace
from tests.support.simulation.binance_words import BinanceWords
from tests.support.simulation.burial import buried_afterwards
from tests.support.simulation.bybit_words import BybitWords
from tests.support.simulation.faulty import FaultyBus, FaultyStore, Trouble
from tests.support.simulation.loop import ServerClock, SkewedClock, VirtualLoop, run_until, virtual_time
from tests.support.simulation.market import START_MS, SYMBOLS, Market, market_of
from tests.support.simulation.place import in_place
from tests.support.simulation.plan import QUIET_FROM_MINUTE, Fault, Plan
from tests.support.simulation.process import Process, guard_tasks
from tests.support.simulation.venue import SimulatedVenue, VenueClient

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
STRATEGY = "rsi_divergence"
AFTER_MINUTES = 2.0  # what is left to repair when the market has ended
_CONFIG = """\
venues: {{{exchange}: {{symbols: [{symbols}]}}}}
strategies: [{{name: rsi_divergence, parameters: {{mode: extreme, oversold: 40.0, take_profit_pct: 0.4, stop_loss_pct: 0.4}}}}]
"""
_TOPOLOGY = load_topology()


class History(NamedTuple):
    """What is left when it is over."""

    candles: dict[tuple[str, Timeframe, int], Candle]
    decisions: dict[tuple[str, int], Decision]
    signals: dict[str, Signal]
    messages: list[RecordedMessage]
    system_events: list[SystemEvent]
    counters: dict[str, int]
    awaits: dict[str, int]
    exchange: str


class MemoryCache:
    """The cache port in a dictionary; nothing expires within a history."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._maps: dict[str, dict[str, bytes]] = {}

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        self._values[key] = value

    async def delete(self, key: str) -> None:
        self._values.pop(key, None)

    async def claim(self, key: str, owner: str, *, ttl_ms: int) -> bool:
        return self._values.setdefault(key, owner.encode()) == owner.encode()

    async def get_map(self, key: str) -> dict[str, bytes]:
        return dict(self._maps.get(key, {}))

    async def set_field(self, key: str, field: str, value: bytes, *, ttl_ms: int) -> None:
        self._maps.setdefault(key, {})[field] = value

    async def prune(self) -> int:
        return 0

    async def close(self) -> None:
        """Nothing to release."""


def run_history(plan: Plan) -> History:
    """The same plan always gives the same history."""
    random.seed(plan.seed)
    market = market_of(plan.market_seed, plan.minutes)
    with (
        buried_afterwards(),
        tempfile.TemporaryDirectory() as folder,
        virtual_time(START_MS) as (loop, skewed),
    ):
        world = World(plan, market, loop, skewed, Path(folder))
        with world.in_place():
            return run_until(loop, world.run())


class World:
    """Servers (venue, bus, store, cache, messenger) outlive the processes, which are started anew when they die."""

    def __init__(self, plan: Plan, market: Market, loop: VirtualLoop, skewed: SkewedClock, folder: Path) -> None:
        self._plan = plan
        self._loop = loop
        self._skewed = skewed
        self._folder = folder
        clock = ServerClock(loop)
        self.inner_store = MemoryStore(_TOPOLOGY, clock)
        self.inner_bus = MemoryBus(_TOPOLOGY, clock, encode=False)
        self.bus_trouble = Trouble("bus", random.Random(f"bus-{plan.seed}"))
        self.store_trouble = Trouble("store", random.Random(f"store-{plan.seed}"))
        self.store = FaultyStore(self.inner_store, self.store_trouble)
        self.bus = FaultyBus(self.inner_bus, self.bus_trouble)
        self.cache = MemoryCache()
        words = BybitWords() if plan.exchange == BYBIT_LINEAR else BinanceWords()
        self.venue = SimulatedVenue(
            market, words, clock_every_ms=pace.VENUE_CLOCK_MS, chance=random.Random(f"venue-{plan.seed}")
        )
        self.messenger = RecordingMessenger(now_ms=clock.market_ms, find_decision=self._no_decision)
        self.counters: dict[str, int] = {}
        self._lives: list[Process] = []
        self._spill_files: dict[str, int] = {}
        (folder / "tracker.yaml").write_text(_CONFIG.format(exchange=plan.exchange, symbols=", ".join(SYMBOLS)))

    def in_place(self) -> contextlib.AbstractContextManager[None]:
        """The venue and the disk stand where network and disk stand."""
        more = [(ingestion_service, "Spill", self._spill_class())]
        return in_place(self.venue.connect, VenueClient(self.venue), self.venue.words, more)

    def _spill_class(self) -> Any:
        world = self

        class WatchedSpill(ingestion_service.Spill):
            """A spill whose disk may be full, and whose file the kernel closes when its process is killed."""

            def append(self, data: bytes) -> bool:
                if world.store_trouble.full:
                    world.count("spill_full")
                    return False
                return super().append(data)

            @classmethod
            def open(cls, folder: Path, name: str, *, bytes_max: int) -> Any:
                spill = super().open(folder, name, bytes_max=bytes_max)
                world._spill_files[folder.parent.name] = spill._file
                return spill

        return WatchedSpill

    def count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1

    async def run(self) -> History:
        guard_tasks(self._loop)
        tasks = [asyncio.ensure_future(self.venue.play())]
        tasks += [asyncio.ensure_future(self._keep_alive(name)) for name in self._plan.processes]
        tasks += [asyncio.ensure_future(self._strike(fault)) for fault in self._plan.faults]
        await asyncio.sleep(QUIET_FROM_MINUTE * 60 + 10)
        self._heal()
        rest = (self._plan.minutes + AFTER_MINUTES) * 60 - (QUIET_FROM_MINUTE * 60 + 10)
        await asyncio.sleep(rest)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return await self._history()

    async def _keep_alive(self, name: str) -> None:
        """A supervisor: one life after the other."""
        kills = list(self._plan.kills.get(name, []))
        chance = random.Random(f"{name}-{self._plan.seed}")
        if name.endswith("-b"):
            await asyncio.sleep(chance.uniform(0, 90))
        while True:
            process = Process(name, kills.pop(0) if kills else 0)
            self._lives.append(process)
            working = process.start(lambda: self._life(name))
            dead = asyncio.ensure_future(process.dead.wait())
            await asyncio.wait({working, dead}, return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            if process.is_dead:
                self.count("kills")
            elif (error := working.exception()) is not None:
                self.count(f"ended: {type(error).__name__}")
                process.kill()
            if (descriptor := self._spill_files.pop(name, None)) is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            await asyncio.sleep(chance.uniform(0.5, 8))

    def _life(self, name: str) -> Awaitable[None]:
        kind = name.partition("-")[0]
        lives: dict[str, Callable[[str], Awaitable[None]]] = {
            "ingestion": self._ingestion,
            "aggregator": self._aggregator,
            "engine": self._engine,
            "notifier": self._notifier,
        }
        return lives[kind](name)

    def _context(self, name: str, settings: Any) -> ServiceContext[Any]:
        return ServiceContext(
            name=name,
            settings=settings,
            bus=self.bus,  # type: ignore[arg-type]  # the port, by delegation
            store=self.store,  # type: ignore[arg-type]  # the faulty store has the port's calls
            cache=self.cache,
            clock=settings.clock(),
            topology=_TOPOLOGY,
            stopping=asyncio.Event(),
        )

    def _of(self, settings: SettingsT, name: str) -> SettingsT:
        """The settings as this process has them."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        own = {"data_dir": folder, "tracker_config": self._folder / "tracker.yaml", "instance_id": name}
        return settings.model_copy(update=own)

    async def _ingestion(self, name: str) -> None:
        await ingestion_main.start(self._context("ingestion", self._of(pace.INGESTION, name)))

    async def _aggregator(self, name: str) -> None:
        await aggregator_main.start(self._context("aggregator", self._of(pace.AGGREGATOR, name)))

    async def _engine(self, name: str) -> None:
        await engine_main.start(self._context("logic_engine", self._of(pace.ENGINE, name)))

    async def _notifier(self, name: str) -> None:
        context = self._context("notifier", self._of(pace.ENGINE, name))
        notifier = Notifier(
            store=context.store,
            messenger=self.messenger,
            clock=context.clock,
            chats=("chat",),
            log=context.log,
            owner=process_owner(name),
            bus=context.bus,
            cache=context.cache,
            limits=pace.SENDER,
        )
        async with asyncio.TaskGroup() as tasks:
            for subscription in ("notifier--trade-signals-micro", "notifier--system-events"):
                tasks.create_task(
                    consumer.consume(
                        context.bus,
                        subscription,
                        notifier.handle_deliveries,
                        stopping=context.stopping,
                        log=context.log,
                    )
                )
            tasks.create_task(notifier.run(context.stopping))

    async def _strike(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        self.count(fault.kind)
        faults = self.venue.faults
        bus, store = self.bus_trouble, self.store_trouble
        until = self._loop.time() + fault.seconds
        match fault.kind:
            case "cut":
                self.venue.cut()
            case "lose" | "duplicate" | "reorder" | "delay":
                setattr(faults, fault.kind, fault.amount)
            case "bus_loses":
                bus.lose += fault.amount
            case "refuse":
                faults.refuse_until = until
                self.venue.cut()
            case "blackout":  # the stream is back before REST: the minutes between close without proof
                faults.refuse_until, faults.rest_down_until = until, until + 45
                self.venue.cut()
            case "half_open":
                faults.mute_until = until
                self.venue.mute()
            case "rest_down":
                faults.rest_down_until = until
            case "clock_skew":
                self._skewed.skew_ms = random.Random(f"skew-{self._plan.seed}").choice([-90_000, -4_000, 4_000, 90_000])
            case _:
                trouble, name, value = {
                    "bus_down": (bus, "down", True),
                    "bus_errors": (bus, "fail_share", 0.3),
                    "bus_repeats": (bus, "repeat_share", 0.5),
                    "bus_delays": (bus, "delay_share", 0.5),
                    "store_down": (store, "down", True),
                    "store_errors": (store, "fail_share", 0.2),
                    "disk_full": (store, "full", True),
                }[fault.kind]
                setattr(trouble, name, value)
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
            self._heal()

    def _heal(self) -> None:
        """All troubles of brokers and clocks end together; sockets heal by themselves."""
        self.bus_trouble.heal()
        self.store_trouble.heal()
        self._skewed.skew_ms = 0

    async def _history(self) -> History:
        candles: dict[tuple[str, Timeframe, int], Candle] = {}
        store = CandleStore(self.inner_store)
        for symbol in SYMBOLS:
            for timeframe in (Timeframe.M1, Timeframe.M5, Timeframe.M15):
                for one in await store.between(self._plan.exchange, symbol, timeframe, 0, START_MS + 10**9):
                    candles[symbol, timeframe, one.open_time_ms] = one
        decisions = {}
        for symbol in SYMBOLS:
            found = await DecisionStore(self.inner_store).between(
                STRATEGY, self._plan.exchange, symbol, Timeframe.M1, START_MS, START_MS + 10**9
            )
            decisions |= {(symbol, one.open_time_ms): one for one in found if one.kind is DecisionKind.FIRST}
        signals = {one.signal.signal_id: one.signal for one in await SignalStore(self.inner_store).all()}
        events = list(self.inner_store._tables["outbox"].versions.values())
        qualities: dict[str, int] = {}
        for symbol in SYMBOLS:
            for open_time_ms in range(START_MS, START_MS + self._plan.minutes * MINUTE_MS, MINUTE_MS):
                for one in await store.revisions(self._plan.exchange, symbol, Timeframe.M1, open_time_ms):
                    name = f"revision {one.quality.value}" if one.revision == 1 else f"correction {one.quality.value}"
                    qualities[name] = qualities.get(name, 0) + 1
        counters = {**self.counters, **self.venue.counters, **qualities}
        for trouble in (self.bus_trouble, self.store_trouble):
            counters |= {f"{trouble.name}: {what}": number for what, number in trouble.counters.items()}
        awaits = {process.name: process.awaits for process in self._lives}
        told = _system_events(events)
        return History(
            candles, decisions, signals, self.messenger.messages, told, counters, awaits, self._plan.exchange
        )

    @staticmethod
    async def _no_decision(signal: Signal) -> None:
        del signal


def _system_events(rows: list[Any]) -> list[SystemEvent]:
    from shared.store.outbox import _DECODER

    found = []
    for versions in rows:
        event = _DECODER.decode(versions[-1][1][1:]).event
        if isinstance(event, SystemEvent):
            found.append(event)
    return found
