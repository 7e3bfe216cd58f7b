"""Each fault as a real client sees it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import httpx
import pytest
import websockets

from tests.support.simulator import environment_of, running_simulator

TOPIC = "publicTrade.BTCUSDT"


@pytest.fixture(scope="module")
def simulator():
    with running_simulator(speed=30, seed=4, symbols=("BTCUSDT", "ETHUSDT")) as running:
        yield running


@contextlib.asynccontextmanager
async def a_client(simulator, *topics):
    async with websockets.connect(simulator.websocket_url) as client:
        await client.send(json.dumps({"op": "subscribe", "args": list(topics or (TOPIC,)), "req_id": "1"}))
        assert json.loads(await client.recv())["success"]
        yield client


async def order(simulator, fault, **fields):
    return await asyncio.to_thread(simulator.fault, fault, **fields)


async def texts(client, seconds):
    found = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            found.append(await asyncio.wait_for(client.recv(), left))
        except TimeoutError:
            break
    return found


async def test_a_cut_breaks_the_socket_and_refuses_for_a_while(simulator):
    async with a_client(simulator) as client:
        await order(simulator, "cut", seconds=0.6)
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await texts(client, 2)
    assert caught.value.rcvd is None
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(simulator.websocket_url)
    await asyncio.sleep(0.7)
    async with a_client(simulator) as client:
        assert await texts(client, 0.5)


async def test_a_graceful_cut_sends_a_close_frame(simulator):
    async with a_client(simulator) as client:
        await order(simulator, "cut", graceful=True)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await texts(client, 2)
    assert caught.value.rcvd.code == 1001


async def test_a_silent_socket_stays_open_and_says_nothing_while_new_ones_are_served(simulator):
    async with a_client(simulator, TOPIC, "tickers.BTCUSDT") as client:
        await order(simulator, "silence")
        await texts(client, 0.2)
        await client.send('{"op":"ping"}')
        assert await texts(client, 0.6) == []
        assert client.state is websockets.State.OPEN
        async with a_client(simulator) as fresh:
            assert await texts(fresh, 0.5)


async def test_duplicated_frames_are_sent_twice(simulator):
    async with a_client(simulator) as client:
        await order(simulator, "duplicate", symbol="BTCUSDT", count=3)
        counted = Counter(await texts(client, 1.5))
    assert sorted(counted.values())[-3:] == [2, 2, 2]
    assert sum(count == 2 for count in counted.values()) == 3


async def test_a_late_trade_is_sent_behind_time_and_then_belongs_to_rest_answers(simulator):
    async with a_client(simulator) as client:
        await order(simulator, "late_trade", symbol="BTCUSDT", delay_s=100)
        rows = [t for text in await texts(client, 0.6) for t in json.loads(text)["data"]]
    market_ms = rows[-1]["T"]
    late = [t for t in rows if t["T"] < market_ms - 60_000]
    assert len(late) == 1
    assert late[0]["T"] // 60_000 < market_ms // 60_000
    recent = simulator.get("/v5/market/recent-trade", category="linear", symbol="BTCUSDT", limit=1000)
    assert late[0]["i"] in {t["execId"] for t in recent["result"]["list"]}
    minute_ms = late[0]["T"] // 60_000 * 60_000
    bars = simulator.get(
        "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="1", start=minute_ms, end=minute_ms
    )
    assert float(bars["result"]["list"][0][2]) == float(late[0]["p"])


@pytest.mark.parametrize(
    "fault", ["malformed", "unknown_symbol", "negative_price", "nan_price", "far_time", "conflict"]
)
async def test_a_bad_frame_reaches_the_client_and_not_the_tape(simulator, fault):
    async with a_client(simulator) as client:
        await texts(client, 0.3)
        await order(simulator, fault, symbol="BTCUSDT")
        received = await texts(client, 0.4)
    decoded, malformed = [], 0
    for text in received:
        try:
            decoded += json.loads(text)["data"]
        except ValueError:
            malformed += 1
    now_ms = simulator.market_ms()
    wrong = {
        "malformed": malformed,
        "unknown_symbol": sum(t["s"] == "NOSUCHUSDT" for t in decoded),
        "negative_price": sum(t["p"].startswith("-") for t in decoded),
        "nan_price": sum(t["p"] == "NaN" for t in decoded),
        "far_time": sum(t["T"] > now_ms + 3_600_000 for t in decoded),
        "conflict": sum(t["p"] == "0.10" for t in decoded),
    }
    assert {name for name, count in wrong.items() if count} == {fault}
    assert wrong[fault] == 1
    recent = simulator.get("/v5/market/recent-trade", category="linear", symbol="BTCUSDT", limit=100)
    assert all(float(t["price"]) > 1 for t in recent["result"]["list"])


async def test_rest_can_be_down_while_the_control_answers(simulator):
    await order(simulator, "rest_down", seconds=60)
    assert httpx.get(f"{simulator.rest_url}/v5/market/time").status_code == 503
    assert simulator.state()["rest_down_s"] > 0
    await order(simulator, "rest_down", seconds=0)
    assert httpx.get(f"{simulator.rest_url}/v5/market/time").status_code == 200


def test_a_wrong_order_is_refused_with_its_reason(simulator):
    answer = httpx.post(f"{simulator.rest_url}/control/faults", json={"fault": "cut", "seconds": -1})
    assert answer.status_code == 400
    assert "seconds must be" in answer.json()["error"]


async def test_a_client_without_ping_is_dropped():
    with running_simulator(speed=1, ping_timeout_s=0.5, symbols=("BTCUSDT",)) as simulator:
        async with a_client(simulator) as client:
            with pytest.raises(websockets.ConnectionClosedOK):
                await texts(client, 3)
        async with a_client(simulator) as client:
            for _ in range(5):
                await client.send('{"op":"ping"}')
                await texts(client, 0.2)
        assert simulator.state()["counters"]["dropped_without_ping"] == 1


async def test_a_client_that_does_not_read_is_dropped_and_the_others_go_on():
    with running_simulator(speed=5, symbols=("BTCUSDT",), frames_queued_max=1500) as simulator:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", simulator.port))
        narrow.setblocking(False)
        async with a_client(simulator) as reader, websockets.connect(simulator.websocket_url, sock=narrow) as lazy:
            await lazy.send(json.dumps({"op": "subscribe", "args": [TOPIC]}))
            lazy.transport.pause_reading()
            # A thousand frames at a time: one that reads empties its queue in between, the other fills the kernel's
            # buffers and then its own queue.
            for _ in range(200):
                await order(simulator, "negative_price", count=1000)
                assert len(await texts(reader, 0.05)) > 0
                if simulator.state()["slow_clients_dropped"]:
                    break
            state = simulator.state()
            assert state["slow_clients_dropped"] == 1
            assert sum(TOPIC in client["topics"] for client in state["connections"]) == 1
            assert await texts(reader, 1.0)
            lazy.transport.abort()


async def test_sigterm_ends_the_process_soon_while_clients_are_connected():
    with running_simulator(as_process=True, speed=20, symbols=("BTCUSDT",)) as simulator:
        async with a_client(simulator) as client:
            await texts(client, 0.3)
            os.kill(simulator.pid, signal.SIGTERM)
            began = time.monotonic()
            with pytest.raises(websockets.ConnectionClosed):
                await texts(client, 5)
    assert time.monotonic() - began < 5


async def test_scheduled_faults_happen_and_are_counted():
    with running_simulator(
        speed=100, seed=2, symbols=("BTCUSDT",), late_trade_every_s=30, duplicate_every_s=20, bad_frame_every_s=40
    ) as simulator:
        async with a_client(simulator) as client:
            await texts(client, 2.5)
        counters = simulator.state()["counters"]
    assert counters["late_trade"] >= 4
    assert counters["duplicate"] >= 6
    assert (
        sum(
            counters.get(name, 0) for name in ("malformed", "unknown_symbol", "negative_price", "nan_price", "far_time")
        )
        >= 3
    )


async def test_a_restart_with_the_same_origin_goes_on_with_the_same_market():
    origin = {"origin_wall_ms": int(time.time() * 1000) - 20_000, "origin_market_ms": 1_795_180_000_000}
    same = {"speed": 20, "seed": 9, "symbols": ("BTCUSDT",), "late_trade_every_s": 60, **origin}
    answers = []
    for _ in range(2):
        with running_simulator(**same) as simulator:
            answers.append(
                simulator.get(
                    "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="1",
                    start=1_795_180_000_000 // 60_000 * 60_000, end=1_795_180_000_000 + 240_000,
                )["result"]["list"]
            )  # fmt: skip
    assert answers[0] == answers[1]
    assert len(answers[0]) == 5


def test_a_process_ends_cleanly_and_refuses_in_one_line(tmp_path):
    with running_simulator(as_process=True, speed=5, symbols=("BTCUSDT", "ADAUSDT")) as simulator:
        assert simulator.state()["symbols"] == ["BTCUSDT", "ADAUSDT"]
        busy = refused(environment_of(port=simulator.port))
    assert "is not free" in busy
    assert "SIMULATOR_PORT" in busy
    assert "cannot be read" in refused(environment_of(port=0, tape=tmp_path / "none.csv"))
    assert "SIMULATOR_SYMBOLS" in refused(environment_of(port=0, symbols="btc"))
    assert "SIMULATOR_SPEED" in refused(environment_of(port=0, speed=-1))


def refused(environment):
    done = subprocess.run(
        [sys.executable, "-m", "services.simulator.main"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr
