"""One service's process from its start to its first report, and from SIGTERM to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from redis import Redis

from cli.infra import create_all
from cli.supervisor.plan import KERNEL_CACHE_DIR, mode_adapters
from shared.runtime.settings import ServiceSettings
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable, running_redis

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class Spans(NamedTuple):
    """Wall seconds, and the processor's seconds until ready: what another machine's load does not change much."""

    ready_seconds: float
    ready_cpu_seconds: float
    exit_seconds: float
    exit_code: int


@contextmanager
def emulator_environment(folder: Path) -> Iterator[dict[str, str]]:
    """Emulators and Redis with every declared resource; the variables that lead there."""
    import asyncio

    with ExitStack() as stack:
        (folder / "redis").mkdir()
        variables = {
            **mode_adapters("emulators"),
            "PUBSUB_EMULATOR_HOST": stack.enter_context(running_pubsub()).address,
            "BIGTABLE_EMULATOR_HOST": stack.enter_context(running_bigtable()).address,
            "REDIS_URL": f"redis://{stack.enter_context(running_redis(folder / 'redis')).address}/0",
        }
        before = dict(os.environ)
        os.environ.update(variables)
        try:
            asyncio.run(create_all(ServiceSettings()))
        finally:
            os.environ.clear()
            os.environ.update(before)
        nobody = {"BYBIT_REST_URL": "http://127.0.0.1:1", "BYBIT_WEBSOCKET_URL": "ws://127.0.0.1:1"}
        cache = os.environ.get("NUMBA_CACHE_DIR", str(ROOT / KERNEL_CACHE_DIR))
        yield {
            **os.environ,
            **variables,
            **nobody,
            "DATA_DIR": str(folder),
            "NUMBA_CACHE_DIR": cache,
            "TELEGRAM_BOT_TOKEN": "",
        }


def start_and_stop(name: str, environment: dict[str, str]) -> Spans:
    """Raises AssertionError where it does not report in time."""
    redis = Redis.from_url(environment["REDIS_URL"])
    began = time.monotonic()
    command = [sys.executable, "-m", f"services.{name}.main"]
    log = (Path(environment["DATA_DIR"]) / f"{name}.log").open("ab")
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        while not _reports(redis, name, process.pid):
            assert process.poll() is None, f"{name} ended with {process.returncode}"
            assert time.monotonic() - began < PATIENCE_SECONDS, f"{name} does not report"
            time.sleep(0.005)
        ready = time.monotonic() - began
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        cpu = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        time.sleep(1.0)
        began = time.monotonic()
        process.terminate()
        code = process.wait(timeout=PATIENCE_SECONDS)
        return Spans(ready, cpu, time.monotonic() - began, code)
    finally:
        process.kill()
        process.wait()
        log.close()
        redis.close()


def _reports(redis: "Redis[bytes]", name: str, pid: int) -> bool:
    value = redis.get(f"cst:value:status:{name}")
    return value is not None and msgspec.json.decode(value, type=dict[str, object]).get("pid") == pid
