"""One market, one Telegram, one platform per test."""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.infra import create_all
from cli.supervisor.plan import mode_adapters
from shared.runtime.settings import ServiceSettings
from tests.end_to_end.platform import CHAT, Platform
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import ServerProcess, running_bigtable, running_redis
from tests.support.simulator import RunningSimulator, running_simulator
from tests.support.telegram_server import TOKEN, TelegramServerProcess

SPEED = 30
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "SEIUSDT", "LINKUSDT", "SUIUSDT", "ADAUSDT")
# Late trades are ordered for this symbol only: the twin of the others can then read their newest candles.
LATE_SYMBOL = "ADAUSDT"


class Run:
    """Everything of one end-to-end run."""

    def __init__(
        self,
        simulator: RunningSimulator,
        telegram: TelegramServerProcess,
        platform: Platform,
        servers: dict[str, ServerProcess],
    ) -> None:
        self.simulator = simulator
        self.telegram = telegram
        self.platform = platform
        self.servers = servers  # the emulators and Redis; none where all is embedded


@pytest.fixture(params=["embedded", "emulators"])
def adapters(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, ServerProcess]]:
    """Which adapters every process of the test uses."""
    with chosen_adapters(request.param, tmp_path, monkeypatch) as servers:
        yield servers


@contextlib.contextmanager
def chosen_adapters(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ServerProcess]]:
    """Chosen by the environment, as in production. The emulators by name."""
    with contextlib.ExitStack() as brokers:
        variables, servers = mode_adapters("demo"), {}
        if kind == "emulators":
            name = f"e2e-{uuid.uuid4().hex[:12]}"
            redis_dir = tmp_path / "redis"
            redis_dir.mkdir()
            servers = {
                "pubsub": brokers.enter_context(running_pubsub()),
                "bigtable": brokers.enter_context(running_bigtable()),
                "redis": brokers.enter_context(running_redis(redis_dir)),
            }
            variables = {
                **mode_adapters("emulators"),
                "PUBSUB_EMULATOR_HOST": servers["pubsub"].address,
                "BIGTABLE_EMULATOR_HOST": servers["bigtable"].address,
                "REDIS_URL": f"redis://{servers['redis'].address}/0",
                "GOOGLE_CLOUD_PROJECT": name,
                "PUBSUB_PROJECT_ID": name,
            }
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        if kind == "emulators":
            assert asyncio.run(create_all(ServiceSettings()))
        yield servers


@pytest.fixture
def run(adapters: dict[str, ServerProcess], tmp_path: Path) -> Iterator[Run]:
    """Simulator and Telegram server run; the services are started by the test and ended here."""
    now_ms = time.time_ns() // 1_000_000
    clock = {"origin_wall_ms": now_ms, "origin_market_ms": now_ms}
    market = running_simulator(as_process=True, speed=SPEED, symbols=SYMBOLS, seed=7, event_every_minutes=20, **clock)
    with (
        market as simulator,
        TelegramServerProcess(tmp_path / "telegram.jsonl", chats=(CHAT,), token=TOKEN) as telegram,
    ):
        platform = Platform(
            tmp_path,
            symbols=SYMBOLS,
            environment={
                "BYBIT_WEBSOCKET_URL": simulator.websocket_url,
                "BYBIT_REST_URL": simulator.rest_url,
                "MARKET_CLOCK_ORIGIN_WALL_MS": str(now_ms),
                "MARKET_CLOCK_ORIGIN_MARKET_MS": str(now_ms),
                "MARKET_CLOCK_SPEED": str(SPEED),
                "TELEGRAM_BOT_TOKEN": TOKEN,
                "TELEGRAM_API_URL": telegram.base_url,
                "TELEGRAM_CHAT_ID": str(CHAT),
                "RATE_FACTOR": "1000",  # this market runs faster than Telegram lets messages go
                # A killed service is away for seconds, which are minutes of this market.
                "ENTRY_FRESHNESS_MS": "3600000",
                "HOLE_TIMEOUT_MS": "60000",
                "SENDER_LEASE_MS": "1500",
                "SWEEP_EVERY_SECONDS": "2",
            },
        )
        try:
            yield Run(simulator, telegram, platform, adapters)
        finally:
            platform.stop_all()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Separate processes at thirty times the market's speed take their time."""
    for item in items:
        if "end_to_end" in str(item.path) and not os.environ.get("SKIP_END_TO_END_TIMEOUT"):
            item.add_marker(pytest.mark.timeout(420))
