"""Drives aggregator, logic engine and notifier over one tape: memory bus, store in memory, event time."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from cli.replay.batches import BatchMaker
from cli.replay.biases import BiasFeed
from cli.replay.recorded import RecordedTape
from services.aggregator.core.limits import REPLAY_LIMITS
from services.aggregator.handlers import Aggregator
from services.logic_engine.handlers import LogicEngine
from services.notifier.limits import SenderLimits
from services.notifier.messengers.recording import RecordingMessenger
from services.notifier.notifier import Notifier
from shared.bus.memory import MemoryBus
from shared.bus.port import DeadLetter
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import MacroBias
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.decisions import Decision
from shared.domain.events import CandleCorrected, CandlesClosed, MacroBiasUpdated
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.memory import MemoryStore

_CANDLES_TOPIC: Final = "candles-closed"
_CANDLES: Final = "logic-engine--candles-closed"
_BIAS_TOPIC: Final = "macro-bias-updates"
_BIASES: Final = "logic-engine--macro-bias-updates"
_MESSAGES: Final = ("notifier--trade-signals-micro", "notifier--macro-bias-updates", "notifier--system-events")
_PULL_MAX: Final = 100_000
_AGGREGATOR: Final = "aggregator--"
_REFUSED_MAX: Final = 10_000_000


class Pipeline:
    """The services of one replay. `seconds` holds the time spent by stage."""

    def __init__(
        self,
        strategies: Sequence[ActiveStrategy],
        biases: Sequence[MacroBias] = (),
        base: Timeframe = Timeframe.M1,
    ) -> None:
        topology = load_topology()
        self.clock = EventClock()
        self.store = MemoryStore(topology, self.clock)
        self.bus = MemoryBus(topology, self.clock, encode=False)
        self._trades = [item.name for item in topology.subscriptions if item.name.startswith(_AGGREGATOR)]
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.messenger = RecordingMessenger(now_ms=self.clock.market_ms, find_decision=self._decision_of)
        self._biases = BiasFeed(biases)
        self._decisions = DecisionStore(self.store)
        self._aggregator = Aggregator(store=self.store, bus=self.bus, limits=REPLAY_LIMITS)
        self._engine = LogicEngine(store=self.store, bus=self.bus, clock=self.clock, strategies=strategies, base=base)
        self._notifier = Notifier(
            store=self.store,
            messenger=self.messenger,
            clock=self.clock,
            chats=("replay",),
            log=structlog.get_logger(),
            owner="replay",
            limits=SenderLimits(progress_pause_ms=0, system_pause_ms=0, alert_gather_ms=0),  # nothing waits for a time
        )

    async def run(self, maker: BatchMaker | RecordedTape, on_batch: Callable[[], None]) -> None:
        """Feed every batch; at the end close what is open, up to the tape's last minute."""
        await self._engine.start([])
        cuts = maker.cuts()
        while True:
            with self._timed("decode"):
                cut = next(cuts, None)
            if cut is None:
                break
            with self._timed("aggregate"):
                await self._aggregator.append([cut.batch])
            for watermark_ms in cut.watermarks_ms:
                self.clock.now_ms = watermark_ms + maker.lateness_ms
                with self._timed("aggregate"):
                    await self._aggregator.close_minutes(before_ms=watermark_ms)
                await self._take_biases(self.clock.now_ms)
                await self._pump()
            on_batch()
        if maker.trade_count:
            with self._timed("aggregate"):
                await self._aggregator.finish(maker.last_minute_ms)
            await self._take_biases(EPOCH_MS_MAX)
            await self._pump()
        await self._finish()

    async def run_closes(self, closes: Iterable[Sequence[CandlesClosed]], on_close: Callable[[], None]) -> None:
        """Feed candles in place of trades: each item holds what closes at one time, of every symbol."""
        await self._engine.start([])
        candles = CandleStore(self.store)
        for events in closes:
            self.clock.now_ms = events[0].close_time_ms
            for timeframe in Timeframe:
                chosen = [candle for event in events for candle in event.candles if candle.timeframe is timeframe]
                if chosen:
                    await candles.save(chosen, fence=None)
            await self._take_biases(self.clock.now_ms)
            await self.bus.publish(_CANDLES_TOPIC, list(events))
            await self._pump()
            on_close()
        await self._finish()

    async def refused(self) -> list[DeadLetter]:
        """What the aggregator refused, oldest first."""
        return [
            letter
            for subscription in self._trades
            for letter in await self.bus.dead_letters(subscription, limit=_REFUSED_MAX)
        ]

    async def _finish(self) -> None:
        """Entries that wait for symbols whose candles are over."""
        await self._engine.finish()
        await self._pump()

    async def _take_biases(self, now_ms: int) -> None:
        """Publish the biases whose time has come; the engine has them before it sees the next candle."""
        due = self._biases.due(now_ms)
        if due:
            await self.bus.publish(_BIAS_TOPIC, due)
            deliveries = await self.bus.pull(_BIASES, max_messages=_PULL_MAX, wait_seconds=0)
            await self._engine.handle_bias(
                [item.event for item in deliveries if isinstance(item.event, MacroBiasUpdated)]
            )
            await self.bus.acknowledge(deliveries)

    async def _pump(self) -> None:
        """Carry what was published to its readers until the bus is empty."""
        while True:
            deliveries = await self.bus.pull(_CANDLES, max_messages=_PULL_MAX, wait_seconds=0)
            if not deliveries:
                break
            with self._timed("decide"):
                events = [item.event for item in deliveries if isinstance(item.event, CandlesClosed | CandleCorrected)]
                await self._engine.handle_candles(events)
                await self.bus.acknowledge(deliveries)
        with self._timed("notify"):
            for subscription in _MESSAGES:
                for delivery in await self.bus.pull(subscription, max_messages=_PULL_MAX, wait_seconds=0):
                    await self._notifier.handle([delivery.event])
                    await self._notifier.drain()
                    await self.bus.acknowledge([delivery])

    async def _decision_of(self, signal: Signal) -> Decision | None:
        return await self._decisions.get(
            signal.strategy, signal.exchange, signal.symbol, signal.timeframe, signal.candle_open_time_ms
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - begin
