"""Pub/Sub pushes the trigger to the function, the function's message reaches the logic engine, and an entry stays away."""

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.infra import create_all
from cli.supervisor.plan import KERNEL_CACHE_DIR, mode_adapters
from shared.domain.candles import Candle
from shared.domain.timeframe import MINUTE_MS, Timeframe, minute_ms
from shared.runtime.adapters import Adapters, open_adapters
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.bias import BiasStore
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.signals import SignalStore
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable
from tests.support.engine_market import VENUE, a_candle, closed
from tests.support.kraken_server import KrakenServer, made_market, running_kraken
from tests.support.simulator import free_port

ROOT = Path(__file__).resolve().parents[2]
SPEED = 10
AS_OF = 1_795_176_000_000
SUBSCRIPTION = "macro-engine--macro-triggers"
CONFIG = f"""
venues: {{{VENUE}: {{symbols: [BTCUSDT, ETHUSDT]}}}}
strategies: [{{name: rsi_divergence}}]
"""


class Place:
    """Brokers, a venue, the function and the logic engine as processes of their own."""

    def __init__(self, folder: Path, kraken: KrakenServer, environment: dict[str, str]) -> None:
        self.folder = folder
        self.kraken = kraken
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.pubsub = f"http://{environment['PUBSUB_EMULATOR_HOST']}/v1/projects/{environment['PUBSUB_PROJECT_ID']}"
        self._environment = {**os.environ, **environment}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        log = (self.folder / "processes.log").open("ab")
        with log:
            self._processes.append(
                subprocess.Popen([sys.executable, *command], cwd=ROOT, env=self._environment, stdout=log, stderr=log)
            )

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=20)

    def push_triggers_to_the_function(self) -> None:
        body = {
            "topic": self.pubsub.partition("/v1/")[2] + "/topics/macro-triggers",
            "pushConfig": {"pushEndpoint": self.url},
            "ackDeadlineSeconds": 60,
        }
        httpx.put(f"{self.pubsub}/subscriptions/{SUBSCRIPTION}", json=body, timeout=10).raise_for_status()

    def trigger(self) -> None:
        message = {"messages": [{"data": base64.b64encode(b"run").decode()}]}
        httpx.post(f"{self.pubsub}/topics/macro-triggers:publish", json=message, timeout=10).raise_for_status()

    async def until(self, found: Any, what: str, seconds: float = 60) -> Any:
        """Poll until it is found; a failure shows the processes' words."""
        deadline = time.monotonic() + seconds
        while not (answer := await found()):
            if time.monotonic() > deadline:
                words = (self.folder / "processes.log").read_text(errors="replace").splitlines()[-30:]
                raise AssertionError(f"waited {seconds:g} s for {what}\n" + "\n".join(words))
            await asyncio.sleep(0.1)
        return answer

    async def answers(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    now_ms = time.time_ns() // 1_000_000
    (tmp_path / "tracker.yaml").write_text(CONFIG)
    markets = {"XBTUSDT": made_market("XBT/USDT", "down", AS_OF), "ETHUSDT": made_market("ETH/USDT", "flat", AS_OF)}

    def market_ms() -> int:
        return AS_OF + 20_000 + (time.time_ns() // 1_000_000 - now_ms) * SPEED

    with (
        running_pubsub() as pubsub,
        running_bigtable() as bigtable,
        running_kraken(markets, now_ms=market_ms) as kraken,
    ):
        name = f"e2e-{uuid.uuid4().hex[:12]}"
        environment = {
            **mode_adapters("emulators"),
            "CACHE": "sqlite",
            "PUBSUB_EMULATOR_HOST": pubsub.address,
            "BIGTABLE_EMULATOR_HOST": bigtable.address,
            "GOOGLE_CLOUD_PROJECT": name,
            "PUBSUB_PROJECT_ID": name,
            "MARKET_CLOCK_ORIGIN_WALL_MS": str(now_ms),
            "MARKET_CLOCK_ORIGIN_MARKET_MS": str(AS_OF + 20_000),
            "MARKET_CLOCK_SPEED": str(SPEED),
            "DATA_DIR": str(tmp_path / "data"),
            "TRACKER_CONFIG": str(tmp_path / "tracker.yaml"),
            "KRAKEN_REST_URL": kraken.url,
            "KRAKEN_REQUESTS_PER_SECOND": "100",
            "ENTRY_FRESHNESS_MS": "3600000",
            "SWEEP_EVERY_SECONDS": "1",
            "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(ROOT / KERNEL_CACHE_DIR)),
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        assert asyncio.run(create_all(ServiceSettings()))
        found = Place(tmp_path, kraken, environment)
        try:
            yield found
        finally:
            found.stop()


@contextlib.asynccontextmanager
async def adapters() -> AsyncIterator[Adapters]:
    settings = ServiceSettings()
    async with open_adapters(settings, load_topology(), settings.clock()) as found:
        yield found


def falling(symbol: str, first_ms: int, last_ms: int) -> list[Candle]:
    """A fall minute by minute on even volume, five times as much in the last one: a LONG entry of rsi_divergence there."""
    count = (last_ms - first_ms) // MINUTE_MS + 1
    return [
        a_candle(
            first_ms + i * MINUTE_MS,
            round(200 - i * 0.01, 2),
            symbol=symbol,
            volume=Decimal(5 if i == count - 1 else 1),
        )
        for i in range(count)
    ]


async def test_a_pushed_trigger_makes_a_bias_that_keeps_the_logic_engine_from_an_entry(place: Place):
    symbols = ("BTCUSDT", "ETHUSDT")
    place.start("-m", "functions_framework", "--source", "services/macro_engine/main.py",
                "--target", "run_signal_generation", "--host", "127.0.0.1", "--port", str(place.port))  # fmt: skip
    await place.until(place.answers, "the function to listen")
    place.push_triggers_to_the_function()
    async with adapters() as found:
        candles, biases = CandleStore(found.store), BiasStore(found.store)
        begin_ms = minute_ms(ServiceSettings().clock().market_ms()) - 125 * MINUTE_MS
        known_ms = begin_ms + 124 * MINUTE_MS
        for symbol in symbols:
            await candles.save(falling(symbol, begin_ms, known_ms)[:-1], fence=None)
        place.start("-m", "services.logic_engine.main")
        place.trigger()

        async def received() -> Any:
            pairs = [await biases.versions(base, "USDT") for base in ("BTC", "ETH")]
            return pairs if all(pairs) else None

        [[bias], [neutral]] = await place.until(received, "both biases at the logic engine")
        assert (bias.version, bias.direction.value, bias.confidence) == (AS_OF, "SHORT", 100.0)
        assert (neutral.direction.value, neutral.confidence) == ("NEUTRAL", 0.0)

        last_ms = max(bias.effective_from_ms, neutral.effective_from_ms) - MINUTE_MS
        for minute in range(known_ms, last_ms + 1, MINUTE_MS):
            made = [falling(symbol, begin_ms, last_ms)[(minute - begin_ms) // MINUTE_MS] for symbol in symbols]
            await candles.save(made, fence=None)
            await found.bus.publish("candles-closed", [closed(candle) for candle in made])
        decisions = DecisionStore(found.store)

        async def decided() -> Any:
            ours = [
                await decisions.between("rsi_divergence", VENUE, symbol, Timeframe.M1, last_ms, last_ms + 1)
                for symbol in symbols
            ]
            return ours if all(ours) else None

        [[btc], [eth]] = await place.until(decided, "both decisions")
        signals = SignalStore(found.store)

        async def opened() -> Any:
            return await signals.all()

        opened_symbols = [record.signal.symbol for record in await place.until(opened, "the other symbol's signal")]
    gates = {gate.name: gate for gate in btc.gates}
    assert btc.action == eth.action == "enter_long"
    assert not gates["bias"].passed
    assert gates["bias"].detail == btc.bias == f"SHORT 100 (binding, version {AS_OF})"
    assert next(gate for gate in eth.gates if gate.name == "bias").passed
    assert opened_symbols == ["ETHUSDT"]
    # One push, one run: the answer 200 acknowledged it.
    words = (place.folder / "processes.log").read_text()
    assert words.count('"message": "macro_run"') == 1
    assert '"trigger": "push ' in words
