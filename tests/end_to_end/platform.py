"""The platform as separate processes for end-to-end tests: simulator -> services -> Telegram server, killed at will."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from cli.supervisor.plan import KERNEL_CACHE_DIR
from shared.domain.candles import Candle
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.decisions import Decision
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.clock import ScaledClock
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.store.signals import SignalStore

ROOT = Path(__file__).resolve().parents[2]
EXCHANGE = "bybit-linear"
STRATEGY = "rsi_divergence"
SERVICES = ("ingestion", "aggregator", "logic_engine", "notifier")
CHAT = 1001


class Platform:
    """Starts, kills and asks the services of one run. Each service logs into `folder`/<name>.log."""

    def __init__(self, folder: Path, *, symbols: tuple[str, ...], environment: dict[str, str]) -> None:
        self.folder = folder
        self.symbols = symbols
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._older: dict[str, subprocess.Popen[bytes]] = {}
        self._config = folder / "tracker.yaml"
        self._config.write_text(
            yaml.safe_dump(
                {
                    "venues": {EXCHANGE: {"symbols": list(symbols)}},
                    "strategies": [{"name": STRATEGY, "timeframe": "1m", "parameters": {"mode": "extreme"}}],
                    # One text and its edits per signal, so that messages can be counted against signals.
                    "chats": [{"name": "default", "pictures": False, "exit_notice": "edit", "digest": None}],
                }
            )
        )
        self._environment = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "TRACKER_CONFIG": str(self._config),
            "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(ROOT / KERNEL_CACHE_DIR)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            **environment,
        }

    def start(self, name: str, *, crash_at: str | None = None, environment: dict[str, str] | None = None) -> None:
        """Start a service; with crash_at it kills itself there."""
        environment = {"INSTANCE_ID": f"{name}@test", **self._environment, **(environment or {})}
        environment.pop("CRASH_AT", None)
        if crash_at:
            environment["CRASH_AT"] = crash_at
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}.main"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def start_beside(self, name: str, *, environment: dict[str, str]) -> None:
        """Start a second process of the service; the first one is now the older."""
        self._older[name] = self._processes[name]
        self.start(name, environment=environment)

    async def end_older(self, name: str, timeout_s: float) -> int:
        """SIGTERM to the older process; its exit code."""
        older = self._older.pop(name)
        older.terminate()
        try:
            return await asyncio.to_thread(older.wait, timeout_s)
        except subprocess.TimeoutExpired:
            older.send_signal(signal.SIGABRT)  # it writes where each of its threads stands
            older.wait()
            raise AssertionError(f"{name} did not end in {timeout_s:g} s\n{self.log_tail(name, 120)}") from None

    def pid(self, name: str) -> int:
        """Of the process started last under that name."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """End it as a power cut would."""
        self._processes[name].kill()
        self._processes[name].wait()

    async def wait_killed(self, name: str, timeout_s: float) -> None:
        """Wait until the service has died of SIGKILL at its crash point."""
        await self.until(lambda: self._polled(name), f"{name} to reach its crash point", timeout_s)
        assert self._processes[name].returncode == -signal.SIGKILL, self.log_tail(name)

    async def exit_code(self, name: str, timeout_s: float) -> int:
        """Wait until the service has ended by itself."""
        await self.until(lambda: self._polled(name), f"{name} to end", timeout_s)
        return int(self._processes[name].returncode)

    async def _polled(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def terminate(self, name: str) -> None:
        """Ask it to end; stop_all waits for it."""
        self._processes[name].terminate()

    def stop_all(self) -> dict[str, int]:
        """SIGTERM in the order of the flow; exit codes by service. Fails where one needs more than ten seconds."""
        codes = {}
        for older in self._older.values():  # only where a test failed between the two
            older.kill()
            older.wait()
        for name in SERVICES:
            process = self._processes.get(name)
            if process is None:
                continue
            if process.poll() is None:
                process.terminate()
            try:
                codes[name] = process.wait(timeout=12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                codes[name] = -signal.SIGKILL
        return codes

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The end of a service's log, for a failure's text."""
        file = self.folder / f"{name}.log"
        text = file.read_text(errors="replace") if file.exists() else "(no log)"
        return f"--- {name}\n" + "\n".join(text.splitlines()[-lines:])

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float) -> None:
        """Poll until the condition holds; a failure shows what was awaited and every log's end."""
        deadline = time.monotonic() + timeout_s
        while not await condition():
            if time.monotonic() > deadline:
                logs = "\n".join(self.log_tail(name) for name in SERVICES)
                raise AssertionError(f"waited {timeout_s:g} s for {what}\n{logs}")
            await asyncio.sleep(0.1)

    async def read(self, question: Callable[["Records"], Awaitable[Any]]) -> Any:
        """Ask the store that the services write."""
        settings = ServiceSettings(data_dir=self.folder / "data")
        async with open_store_and_cache(settings, load_topology(), ScaledClock()) as (store, _):
            return await question(Records(store))


class Records:
    """What a run has stored."""

    def __init__(self, store: Store) -> None:
        self._candles = CandleStore(store)
        self._decisions = DecisionStore(store)
        self._signals = SignalStore(store)

    async def candles(self, symbol: str, timeframe: Timeframe = Timeframe.M1) -> list[Candle]:
        """Newest revisions, oldest first."""
        return await self._candles.between(EXCHANGE, symbol, timeframe, 0, EPOCH_MS_MAX)

    async def decisions(self, symbol: str) -> list[Decision]:
        """First Decisions, oldest first."""
        return await self._decisions.between(STRATEGY, EXCHANGE, symbol, Timeframe.M1, 0, EPOCH_MS_MAX)

    async def signals(self) -> list[Signal]:
        """Latest snapshots, by opening time."""
        records = await self._signals.all()
        return sorted((record.signal for record in records), key=lambda item: (item.opened_at_ms, item.symbol))
