"""The Bigtable emulator and a real Redis as processes of a test: own process group, free loopback port, ended by pid."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from redis.asyncio import Redis

from shared.domain.topology import Topology
from shared.store.bigtable_admin import open_admin

_START_SECONDS = 10.0
# So that a killed test run leaves no server behind, where the system can promise it.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
PROJECT = "demo"


class ServerProcess:
    """A server that can be killed and started again on the same port."""

    def __init__(self, command: Callable[[int], list[str]]) -> None:
        self.port = _free_port()
        self._command = command(self.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when the port answers."""
        self._process = subprocess.Popen(
            [*_DIE_WITH_PARENT, *self._command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"{self._command[0]} does not listen on port {self.port}")

    def signal(self, number: int) -> None:
        """To the server alone, as SIGSTOP and SIGCONT want it."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        while number == signal.SIGSTOP and psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def kill(self) -> None:
        """SIGKILL to the process group; a no-op when it is not running."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(timeout=10)
        self._process = None


@contextmanager
def running_bigtable() -> Iterator[ServerProcess]:
    """Google's Bigtable emulator; skips where it is not installed."""
    binary = _bigtable_binary()
    if binary is None:
        not_installed("the Bigtable emulator (gcloud components install bigtable)")
    with _running(lambda port: [str(binary), "-host", "127.0.0.1", "-port", str(port)]) as server:
        yield server


@contextmanager
def running_redis(folder: Path) -> Iterator[ServerProcess]:
    """A redis-server that keeps nothing on disk; skips where it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        not_installed("redis-server (apt-get install redis-server)")
    memory_only = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(folder)]
    with _running(lambda port: [binary, "--port", str(port), *memory_only]) as server:
        yield server


@asynccontextmanager
async def fresh_bigtable(topology: Topology) -> AsyncIterator[str]:
    """The name of an instance that nobody else uses, with the topology's tables; they are deleted behind it."""
    instance = f"test-{uuid.uuid4().hex}"
    async with open_admin(PROJECT, instance) as admin:
        await admin.create_tables(topology)
        yield instance
        await admin.delete_tables(topology)


def ageing(url: str) -> Callable[[float], Awaitable[None]]:
    """Lets time pass for everything in a Redis without waiting: each key comes that much nearer to its end."""

    async def pass_time(seconds: float) -> None:
        async with Redis.from_url(url) as redis:
            async for key in redis.scan_iter():
                left_ms = await redis.pttl(key)
                if left_ms >= 0:
                    await redis.pexpire(key, left_ms - round(seconds * 1000))
        await asyncio.sleep(0)

    return pass_time


def not_installed(what: str) -> NoReturn:
    """Skip, or fail where emulators are required."""
    reason = f"{what} is not installed"
    if os.environ.get("REQUIRE_EMULATORS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def _running(command: Callable[[int], list[str]]) -> Iterator[ServerProcess]:
    server = ServerProcess(command)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _bigtable_binary() -> Path | None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    asked = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    binary = Path(asked.stdout.strip()) / "platform" / "bigtable-emulator" / "cbtemulator"
    return binary if asked.stdout.strip() and binary.is_file() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
