"""Google's Pub/Sub emulator as a process of a test, by its own jar: free port, ended by PID."""

import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from cli.supervisor.emulators import pubsub_command
from shared.domain.errors import PermanentError
from tests.support.emulators_store import ServerProcess, not_installed

START_SECONDS_MAX = 30


@contextlib.contextmanager
def running_pubsub() -> Iterator[ServerProcess]:
    """An emulator that answers; skips with the reason where it is not installed, fails where REQUIRE_EMULATORS=1."""
    try:
        server = ServerProcess(lambda port: list(pubsub_command(port)))
    except PermanentError as error:
        not_installed(str(error))
    try:
        start_pubsub(server)
        yield server
    finally:
        server.kill()


def start_pubsub(server: ServerProcess) -> None:
    """Start it, and wait on its port and on a real call."""
    server.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _answers(server.address):
        assert time.monotonic() < deadline, f"the Pub/Sub emulator at {server.address} does not answer"
        time.sleep(0.05)


def _answers(address: str) -> bool:
    with (
        contextlib.suppress(urllib.error.URLError, OSError),
        urllib.request.urlopen(f"http://{address}/", timeout=1) as answer,
    ):
        return bool(answer.status == 200)
    return False
