"""A notifier on a store of its own in front of the real client and the Telegram server of the tests."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from services.notifier.bot import Polling
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.charts import ChartService
from services.notifier.core.chats import ChatProfile
from services.notifier.limits import SenderLimits
from services.notifier.macro_charts import MacroCharts
from services.notifier.messengers.telegram import TelegramMessenger, build_bot, close_bot
from services.notifier.notifier import Notifier
from services.notifier.people import Pace
from services.notifier.reception import build_updates
from services.notifier.state import NotifierState
from services.notifier.updates import Updates
from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.signals import Signal
from shared.runtime.clock import ScaledClock
from shared.runtime.config import TrackerConfig
from shared.runtime.topology import load_topology
from shared.sqlite.database import Database, open_database
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.sqlite import SqliteStore
from shared.strategies.windows import window_digest
from tests.support.signals import a_decision, a_signal, some_candles
from tests.support.telegram_server import TelegramServer, TelegramServerProcess

CHAT = 1001
VIEWER, TRADER, ADMIN, NOBODY = 6, 7, CHAT, 9  # users; a private chat's owner has its id, and is admin
CONFIG = {
    "venues": {"bybit-linear": {"symbols": ["BTCUSDT", "ETHUSDT"]}},
    "strategies": [{"name": "rsi_divergence", "timeframe": "1m"}],
    "roles": {"viewer": [VIEWER], "trader": [TRADER]},
}
LIMITS = SenderLimits(lease_ttl_ms=300, scan_ms=200, backoff_first_ms=50, backoff_max_ms=400, alert_gather_ms=0)


def a_profile(chat: int = CHAT, **values: object) -> ChatProfile:
    """A chat that is told by texts and edits alone, unless the values say otherwise."""
    return ChatProfile(chat=str(chat), **({"pictures": False, "exit_reply": False} | values))


class NotifierBench:
    """Store, bus, cache, client and notifier; `restart()` makes a new notifier on the same store, as a new process."""

    def __init__(
        self,
        server: TelegramServer | TelegramServerProcess,
        database: Database,
        pool: ProcessChartPool,
        *,
        chats: tuple[int | ChatProfile, ...] = (CHAT,),
        timeout_seconds: float = 2.0,
        limits: SenderLimits = LIMITS,
        announce: str = "",
    ) -> None:
        self.server = server
        self.clock = ScaledClock()
        topology = load_topology()
        self.store = SqliteStore(database, topology, self.clock)
        self.cache = SqliteCache(database, self.clock)
        self.bus = SqliteBus(database, topology, self.clock)
        self.profiles = tuple(chat if isinstance(chat, ChatProfile) else a_profile(chat) for chat in chats)
        self.chats = tuple(profile.chat for profile in self.profiles)
        self.pool = pool
        self.log = structlog.get_logger()
        self.questions_max = 1_000
        self.config = TrackerConfig.model_validate(CONFIG)
        self.limits = limits
        self.announce = announce
        self.bot = build_bot(
            server.token,
            server.base_url,
            timeout_seconds=timeout_seconds,
            connections=16,
            keepalive_seconds=20.0,
            poll_seconds=1.0,
        )
        self.notifier = self.restart()

    def restart(self, instance: str = "test") -> Notifier:
        """A new notifier on the same store: a later process, or one of another instance, which waits for the lease."""
        owner = f"{instance}/{uuid.uuid4().hex}"
        self.messenger = TelegramMessenger(self.bot, on_moved=NotifierState(self.store).keep_moved)
        self.charts = ChartService(store=self.store, cache=self.cache, pool=self.pool, log=self.log)
        self.notifier = Notifier(
            store=self.store,
            messenger=self.messenger,
            clock=self.clock,
            chats=self.profiles,
            log=self.log,
            owner=owner,
            bus=self.bus,
            cache=self.cache,
            charts=self.charts,
            macro_charts=MacroCharts(self.store, self.pool, theme="dark"),
            limits=self.limits,
            announce=self.announce,
        )
        return self.notifier

    def updates(self) -> Updates:
        """What answers people; the one of `pace` may ask as often as they like unless a test says otherwise."""
        return build_updates(
            bot=self.bot,
            bot_name="tracker_test_bot",
            messenger=self.messenger,
            notifier=self.notifier,
            store=self.store,
            cache=self.cache,
            charts=self.charts,
            config=self.config,
            default_chat=str(CHAT),
            clock=self.clock,
            log=self.log,
            pace=Pace(questions_max=self.questions_max, seconds=30.0),
        )

    def polling(self) -> Polling:
        return Polling(bot=self.bot, updates=self.updates(), cache=self.cache, poll_seconds=1.0, log=self.log)

    async def a_stored_signal(self, symbol: str = "BTCUSDT") -> Signal:
        """A signal whose candles and decision are in the store, as the logic engine leaves them."""
        candles = await CandleStore(self.store).save(some_candles(symbol), fence=None)
        signal = a_signal(symbol, entry_price=candles[-1].close, window_digest=window_digest(candles))
        await DecisionStore(self.store).save_first([a_decision(signal, candles)], fence=None)
        return signal

    @contextlib.asynccontextmanager
    async def running(self, *, buttons: bool = False) -> AsyncIterator[Notifier]:
        """The sender (and the button bot) in the background."""
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(self.notifier.run(stopping))]
        if buttons:
            tasks.append(asyncio.create_task(self.polling().run(stopping)))
        try:
            yield self.notifier
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def notifier_bench(
    server: TelegramServer | TelegramServerProcess,
    path: Path,
    *,
    chats: tuple[int | ChatProfile, ...] = (CHAT,),
    timeout_seconds: float = 2.0,
    limits: SenderLimits = LIMITS,
    announce: str = "",
) -> AsyncIterator[NotifierBench]:
    database = open_database(path)
    pool = ProcessChartPool()
    bench = NotifierBench(
        server, database, pool, chats=chats, timeout_seconds=timeout_seconds, limits=limits, announce=announce
    )
    try:
        yield bench
    finally:
        await pool.close()
        await close_bot(bench.bot)
        await database.close()
