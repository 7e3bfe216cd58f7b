"""Services started from images (tests/support/images.py): when they are ready, what they hold in memory, how they end."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from tests.support.images import Image
from tests.support.simulator import RunningSimulator, free_port

PATIENCE_SECONDS = 90.0
_PAUSE_SECONDS = 0.005
_MEGABYTE = 1_000_000
# The variable of the port that is asked for health, and the path: as the image's health check does it; the others have
# HTTP_PORT and /ready, and so has the macro engine's timer.
_COMMON, WEBHOOK = ("HTTP_PORT", "/ready"), ("PORT", "/")
_OWN_PORT = {"macro-engine": ("PORT", ""), "simulator": ("SIMULATOR_PORT", "/control/state")}


class Run(msgspec.Struct, kw_only=True):
    """A service that runs. ready_seconds: from the start of the container's process, the entry point's copies among it."""

    image: Image
    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    log: Path
    port: int
    ready_seconds: float
    ready_cpu_seconds: float

    def memory_megabytes(self) -> tuple[float, float]:
        """Of the process and its children: PSS, where pages that are shared count once, and RSS, where they count for each."""
        parent = psutil.Process(self.process.pid)
        found = [one.memory_full_info() for one in [parent, *parent.children(recursive=True)]]
        return sum(one.pss for one in found) / _MEGABYTE, sum(one.rss for one in found) / _MEGABYTE


@contextlib.contextmanager
def running(
    image: Image,
    folder: Path,
    *,
    command: tuple[str, ...] = (),
    asked: tuple[str, str] | None = None,
    **environment: str,
) -> Iterator[Run]:
    """From ready to SIGTERM. Raises AssertionError with its log where it does not get ready or does not end with 0.

    command: in place of the image's own; asked: the variable of the port and the path that then say whether it is ready.
    """
    variable, path = asked or (_COMMON if command else _OWN_PORT.get(image.target, _COMMON))
    environment = {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(free_port()), **environment}
    environment.setdefault(variable, str(free_port()))
    log = folder / f"{image.target}.log"
    began = time.monotonic()
    process = image.start(log, command=command, **environment)
    try:
        while not _answers(int(environment[variable]), path):
            assert process.poll() is None, f"{image.target} ended with {process.returncode}\n{log.read_text()[-3000:]}"
            assert time.monotonic() - began < PATIENCE_SECONDS, (
                f"{image.target} is not ready\n{log.read_text()[-3000:]}"
            )
            time.sleep(_PAUSE_SECONDS)
        ready = time.monotonic() - began
        used = psutil.Process(process.pid).cpu_times()
        cpu = used.user + used.system + used.children_user + used.children_system
        yield Run(
            image=image,
            process=process,
            environment=environment,
            log=log,
            port=int(environment[variable]),
            ready_seconds=ready,
            ready_cpu_seconds=cpu,
        )
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0, (
            f"{image.target} ended with {process.returncode}\n{log.read_text()[-3000:]}"
        )
    finally:
        process.kill()
        process.wait()


def _answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            if not path:
                return True
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return connection.makefile("rb").readline().split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def towards(simulator: RunningSimulator, config: Path) -> dict[str, str]:
    """The variables that lead every service to a simulated market, on the embedded adapters."""
    return {
        "TRACKER_CONFIG": str(config),
        "BYBIT_WEBSOCKET_URL": simulator.websocket_url,
        "BYBIT_REST_URL": simulator.rest_url,
        "KRAKEN_REST_URL": simulator.rest_url,
        "KRAKEN_REQUESTS_PER_SECOND": "20",
    }


def write_config(file: Path, symbols: tuple[str, ...]) -> Path:
    """A configuration with the default strategy on these symbols."""
    names = ", ".join(symbols)
    file.write_text(
        f"venues: {{bybit-linear: {{symbols: [{names}]}}}}\nstrategies: [{{name: rsi_divergence}}]\n", encoding="utf-8"
    )
    return file
