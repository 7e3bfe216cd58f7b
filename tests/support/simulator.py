"""The market simulator as a real server on a free loopback port, for tests.

    with running_simulator(speed=20, seed=3) as simulator:
        ... simulator.websocket_url, simulator.rest_url ...
        simulator.fault("late_trade", symbol="BTCUSDT")
        simulator.state()["counters"]

In a thread of this process by default; `as_process=True` starts `python -m services.simulator.main`. Keyword arguments
are the fields of services.simulator.settings.Settings.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.simulator.core.day_plan import APPROACH_MINUTES, DAY_MINUTES, event_starts
from services.simulator.core.instruments import instrument_of
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.main import build_server, listen
from services.simulator.settings import Settings

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_ROOT = Path(__file__).resolve().parents[2]
_CLOCK_FIELDS = {
    "origin_wall_ms": "MARKET_CLOCK_ORIGIN_WALL_MS",
    "origin_market_ms": "MARKET_CLOCK_ORIGIN_MARKET_MS",
}


class RunningSimulator(msgspec.Struct, frozen=True, kw_only=True):
    """Where a simulator listens; the methods block and may be called from any thread."""

    port: int
    pid: int

    @property
    def rest_url(self) -> str:
        """Base of the REST paths, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        """The public linear stream."""
        return f"ws://127.0.0.1:{self.port}/v5/public/linear"

    def get(self, path: str, **query: str | int) -> Any:
        """The decoded body of a GET under /v5/market or /control."""
        return httpx.get(f"{self.rest_url}{path}", params=query, timeout=30).json()

    def fault(self, fault: str, **order: Any) -> Any:
        """Orders a fault; raises httpx.HTTPStatusError when the order is refused."""
        answer = httpx.post(f"{self.rest_url}/control/faults", json={"fault": fault, **order}, timeout=30)
        return answer.raise_for_status().json()

    def state(self) -> Any:
        """What GET /control/state says."""
        return self.get("/control/state")

    def market_ms(self) -> int:
        """Market time now."""
        return int(self.state()["market_ms"])


def climaxes_ms(symbol: str, *, seed: int = 1, from_ms: int, until_ms: int, event_every_minutes: int = 30) -> list[int]:
    """Market times at which the climax minutes of a symbol's scheduled moves close, in [from_ms, until_ms].

    At that close RSI(14) stands beyond 25 or 75 on more than 1.5 times the usual volume. A test that wants a signal
    soon sets origin_market_ms some minutes before one.
    """
    instrument = instrument_of(symbol)
    closes = [
        (day * DAY_MINUTES + int(start) + APPROACH_MINUTES) * MINUTE_MS
        for day in range(from_ms // MINUTE_MS // DAY_MINUTES - 1, until_ms // MINUTE_MS // DAY_MINUTES + 1)
        for start in event_starts(instrument, seed, day, event_every_minutes)
    ]
    return sorted(close_ms for close_ms in closes if from_ms <= close_ms <= until_ms)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_simulator(*, as_process: bool = False, **settings: Any) -> Iterator[RunningSimulator]:
    """A simulator that listens when the block begins and is gone when it ends. Raises on settings that do not hold."""
    with _process(settings) if as_process else _thread(settings) as simulator:
        yield simulator


@contextlib.contextmanager
def _thread(settings: dict[str, Any]) -> Iterator[RunningSimulator]:
    chosen = Settings(**{"port": 0, **settings})
    listener = listen(chosen)
    server, _ = build_server(chosen)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True)
    thread.start()
    try:
        _wait(lambda: server.started, "the simulator thread did not start")
        yield RunningSimulator(port=listener.getsockname()[1], pid=os.getpid())
    finally:
        server.should_exit = True
        thread.join(_STOP_TIMEOUT_S)
        listener.close()


@contextlib.contextmanager
def _process(settings: dict[str, Any]) -> Iterator[RunningSimulator]:
    port = int(settings.pop("port", 0)) or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.simulator.main"],
        cwd=_ROOT,
        env={**os.environ, **environment_of(port=port, **settings)},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: process.poll() is not None or _listens(port), "the simulator process did not listen")
        if process.poll() is not None:
            raise RuntimeError(f"the simulator ended with code {process.returncode} (settings={settings})")
        yield RunningSimulator(port=port, pid=process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_TIMEOUT_S)


def environment_of(**settings: Any) -> dict[str, str]:
    """The environment variables that carry these settings."""
    return {
        _CLOCK_FIELDS.get(name, f"SIMULATOR_{name.upper()}"): ",".join(value)
        if isinstance(value, tuple | list)
        else str(value)
        for name, value in settings.items()
    }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Any, failure: str) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline_s:
            raise TimeoutError(failure)
        time.sleep(0.02)
