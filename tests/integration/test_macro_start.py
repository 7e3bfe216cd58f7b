"""The function and the timer as processes: what they load, which triggers they take, how they end."""

import asyncio
import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.bias import PUBLISHED_TABLE, BiasStore
from shared.store.sqlite import SqliteStore
from tests.support.kraken_server import KrakenServer, made_market, running_kraken
from tests.support.simulator import free_port

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "llvmlite", "pandas", "matplotlib", "scipy", "telegram", "google.cloud.bigtable", "google.pubsub_v1")
CONFIG = "venues: {bybit-linear: {symbols: [BTCUSDT]}}\nstrategies: [{name: rsi_divergence}]\n"
PUSHED = {
    "message": {"data": base64.b64encode(b"run").decode(), "attributes": {}, "messageId": "77", "message_id": "77"},
    "subscription": "projects/p/subscriptions/macro-engine--macro-triggers",
}
CLOUD_EVENT = {
    "ce-specversion": "1.0",
    "ce-id": "4711",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "ce-source": "//pubsub.googleapis.com/projects/p/topics/macro-triggers",
}


def test_the_function_loads_neither_numba_nor_pandas_nor_a_broker_it_does_not_use():
    source = f"""
import sys
from functions_framework import create_app
create_app("run_signal_generation", "services/macro_engine/main.py", "http")
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )

    assert answer.stdout.split() == []


@pytest.fixture
def kraken() -> Iterator[KrakenServer]:
    as_of_ms = time.time_ns() // 1_000_000 // 900_000 * 900_000
    with running_kraken({"XBTUSDT": made_market("XBT/USDT", "up", as_of_ms)}) as server:
        yield server


@contextmanager
def process(folder: Path, kraken: KrakenServer, *command: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "tracker.yaml").write_text(CONFIG)
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "data"),
        "TRACKER_CONFIG": str(folder / "tracker.yaml"),
        "KRAKEN_REST_URL": kraken.url,
        "KRAKEN_REQUESTS_PER_SECOND": "50",
        "KRAKEN_ATTEMPTS": "1",
        **more,
    }
    with (folder / "log.txt").open("ab") as log:
        running = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(timeout=20)


@contextmanager
def function(folder: Path, kraken: KrakenServer, signature: str, **more: str) -> Iterator[str]:
    port = free_port()
    target = ["--source", "services/macro_engine/main.py", "--target", "run_signal_generation"]
    place = ["--host", "127.0.0.1", "--port", str(port), "--signature-type", signature]
    with process(folder, kraken, "-m", "functions_framework", *target, *place, **more):
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/robots.txt", timeout=10)
            except httpx.TransportError:
                assert time.monotonic() < deadline, (folder / "log.txt").read_text()
                time.sleep(0.05)
            else:
                break
        yield f"http://127.0.0.1:{port}/"


def published(folder: Path) -> list[Any]:
    async def read() -> list[Any]:
        database = open_database(folder / "data" / "tracker.db")
        try:
            return await BiasStore(SqliteStore(database, load_topology(), ScaledClock()), PUBLISHED_TABLE).versions(
                "BTC", "USDT"
            )
        finally:
            await database.close()

    return asyncio.run(read())


def test_over_http_every_request_runs_it_and_its_answer_is_the_report(tmp_path: Path, kraken: KrakenServer):
    with function(tmp_path, kraken, "http") as url:
        answers = [httpx.get(url, timeout=30), httpx.post(url, json=PUSHED, timeout=30), httpx.post(url, timeout=30)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json()["published"][0].startswith("BTC/USDT")
    assert answers[1].json()["repeated"] == ["BTC/USDT"]
    assert len(published(tmp_path)) == 1
    log = (tmp_path / "log.txt").read_text()
    assert '"trigger": "http GET"' in log
    assert '"trigger": "push 77"' in log


def test_a_cloud_event_runs_it_and_a_push_is_one(tmp_path: Path, kraken: KrakenServer):
    with function(tmp_path, kraken, "cloudevent") as url:
        event = httpx.post(url, json=PUSHED, headers=CLOUD_EVENT, timeout=30)
        push = httpx.post(f"{url}projects/p/topics/macro-triggers", json=PUSHED, timeout=30)

    assert (event.status_code, push.status_code) == (200, 200)
    [bias] = published(tmp_path)
    assert bias.direction == "LONG"
    assert '"trigger": "cloudevent 4711"' in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("signature", ["http", "cloudevent"])
def test_what_is_wrong_with_us_is_said_and_the_trigger_comes_again(
    tmp_path: Path, kraken: KrakenServer, signature: str
):
    with function(tmp_path, kraken, signature, TRACKER_CONFIG=str(tmp_path / "absent.yaml")) as url:
        answer = httpx.post(url, json=PUSHED, headers=CLOUD_EVENT if signature == "cloudevent" else {}, timeout=30)

    assert answer.status_code == 500
    assert "absent.yaml cannot be read" in (answer.text if signature == "http" else (tmp_path / "log.txt").read_text())


def test_the_timer_runs_at_once_and_again_and_ends_when_told(tmp_path: Path, kraken: KrakenServer):
    options = {"MACRO_EVERY_SECONDS": "1", "MACRO_OFFSET_SECONDS": "0"}
    with process(tmp_path, kraken, "-m", "services.macro_engine.main", **options) as timer:
        deadline = time.monotonic() + 30
        while (tmp_path / "log.txt").read_text().count('"message": "macro_run"') < 3:
            assert timer.poll() is None, (tmp_path / "log.txt").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
            time.sleep(0.05)
        timer.terminate()
        assert timer.wait(timeout=15) == 0

    assert len(published(tmp_path)) in {1, 2}  # a quarter of an hour may have ended meanwhile
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
