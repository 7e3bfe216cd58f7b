"""Whatever is wrong at the start: exit status 2 within seconds, one line that names the setting and what to do."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgspec
import pytest

from tests.support.bad_starts import Case, End

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {
    "ingestion": "services.ingestion.main",
    "aggregator": "services.aggregator.main",
    "logic_engine": "services.logic_engine.main",
    "macro_engine": "services.macro_engine.main",
    "notifier": "services.notifier.main",
    "notifier-webhook": "services.notifier.webhook",
    "simulator": "services.simulator.main",
}
# Every service meets these; the simulator has settings of its own and no adapters.
EVERYWHERE: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "malformed setting": ({"LOG_LEVEL": "LOUD"}, ("LOG_LEVEL", "DEBUG|INFO", "was 'LOUD'")),
    "malformed port": ({"HTTP_PORT": "http"}, ("HTTP_PORT", "integer", "was 'http'")),
    "missing configuration": ({"TRACKER_CONFIG": "absent.yaml"}, ("TRACKER_CONFIG", "absent.yaml cannot be read")),
    "folder not writable": ({"DATA_DIR": "/proc/nowhere"}, ("DATA_DIR", "cannot be written")),
    "log not writable": ({"LOG_FILE": "/proc/nowhere/a.log"}, ("LOG_FILE", "cannot be written")),
    "unreadable secret": ({"REDIS_URL_FILE": "/absent/secret"}, ("REDIS_URL_FILE", "cannot be read")),
    "malformed secret": ({"REDIS_URL_B64": "%%%"}, ("REDIS_URL_B64", "must be base64")),
    "malformed address": ({"CACHE": "redis", "REDIS_URL": "nonsense"}, ("REDIS_URL", "redis://")),
    "busy port": ({"HTTP_PORT": "{busy}"}, ("HTTP_PORT", "cannot be opened", "set HTTP_PORT")),
    "absent Pub/Sub": ({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}, ("PUBSUB_EMULATOR_HOST", "does not answer")),
    "absent Bigtable": ({"BIGTABLE_EMULATOR_HOST": "127.0.0.1:9"}, ("BIGTABLE_EMULATOR_HOST", "does not answer")),
    "malformed host": ({"BIGTABLE_EMULATOR_HOST": "here"}, ("BIGTABLE_EMULATOR_HOST must be host:port",)),
    "no project": ({"BUS": "pubsub"}, ("PUBSUB_PROJECT_ID or GOOGLE_CLOUD_PROJECT must name",)),
    "no instance": (
        {"STORE": "bigtable", "GOOGLE_CLOUD_PROJECT": "a"},
        ("GOOGLE_CLOUD_PROJECT and BIGTABLE_INSTANCE must name",),
    ),
    "no credentials": (
        {"BUS": "pubsub", "GOOGLE_CLOUD_PROJECT": "a", "HOME": "/nonexistent", "NO_GCE_CHECK": "true"},
        ("GOOGLE_APPLICATION_CREDENTIALS", "gcloud auth application-default login"),
    ),
    "wrong project": (
        {"PUBSUB_EMULATOR_HOST": "{empty}", "GOOGLE_CLOUD_PROJECT": "not-this-one"},
        ("missing in project not-this-one", "GOOGLE_CLOUD_PROJECT or PUBSUB_PROJECT_ID names the project"),
    ),
}
OWN: tuple[tuple[str, str, dict[str, str], tuple[str, ...]], ...] = (
    ("ingestion", "no permission", {"PUBSUB_EMULATOR_HOST": "{closed}"}, ("no permission", "topic raw-tick-data-bybit", "GOOGLE_CLOUD_PROJECT")),
    ("notifier", "no permission", {"PUBSUB_EMULATOR_HOST": "{closed}"}, ("no permission", "subscription notifier--system-events")),
    ("ingestion", "unknown venue", {"INGESTION_EXCHANGE": "nyse"}, ("INGESTION_EXCHANGE must be one of", "nyse")),
    ("aggregator", "kernel cache", {"NUMBA_CACHE_DIR": "/proc/nowhere"}, ("NUMBA_CACHE_DIR", "cannot be written")),
    ("logic_engine", "kernel cache", {"NUMBA_CACHE_DIR": "/proc/nowhere"}, ("NUMBA_CACHE_DIR", "cannot be written")),
    ("notifier", "malformed token", {"TELEGRAM_BOT_TOKEN": "nonsense"}, ("TELEGRAM_BOT_TOKEN must look like",)),
    ("notifier-webhook", "no secret", {"WEBHOOK_SECRET": ""}, ("WEBHOOK_SECRET must be set",)),
    ("notifier-webhook", "busy port", {"PORT": "{busy}"}, ("PORT: port", "cannot be opened", "set PORT")),
    ("simulator", "malformed setting", {"SIMULATOR_SPEED": "fast"}, ("SIMULATOR_SPEED", "fast")),
    ("simulator", "busy port", {"SIMULATOR_PORT": "{busy}"}, ("SIMULATOR_PORT", "is not free")),
)  # fmt: skip


class Refusing(grpc.GenericRpcHandler):
    """Pub/Sub as an account meets it. code: of every answer but to the question what the account may do: nothing."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def service(self, details):
        if details.method.endswith("TestIamPermissions"):
            return grpc.unary_unary_rpc_method_handler(lambda _, __: b"")
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def _refuse(self, _, context):
        context.abort(self._code, "as the test wants it")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses for the cases: a port that is taken, a Pub/Sub where nothing exists, one where nothing is allowed."""
    servers = []
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        found = {"busy": str(busy.getsockname()[1])}
        for name, code in (("empty", grpc.StatusCode.NOT_FOUND), ("closed", grpc.StatusCode.PERMISSION_DENIED)):
            server = grpc.server(ThreadPoolExecutor(8), handlers=(Refusing(code),))
            found[name] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
            servers.append(server)
        yield found
        for server in servers:
            server.stop(None)


def all_cases() -> list[tuple[str, str, dict[str, str], tuple[str, ...]]]:
    shared = [
        (service, name, *case) for name, case in EVERYWHERE.items() for service in SERVICES if service != "simulator"
    ]
    return [*shared, *OWN]


def run_all(folder: Path, places: dict[str, str]) -> list[End]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "NUMBA_CACHE_DIR"}}
    kept.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "kernels"))
    common = {
        **kept,
        "DATA_DIR": str(folder / "data"),
        "OUTBOX_DIR": str(folder / "outbox"),
        "TRACKER_CONFIG": str(ROOT / "config" / "tracker.yaml"),
        "INGESTION_EXCHANGE": "bybit-linear",
        "BYBIT_REST_URL": "http://127.0.0.1:9",
        "BYBIT_WEBSOCKET_URL": "ws://127.0.0.1:9",
        "KRAKEN_REST_URL": "http://127.0.0.1:9",
        "TELEGRAM_API_URL": "http://127.0.0.1:9",
        "TELEGRAM_BOT_TOKEN": "1000001:abc",
        "TELEGRAM_CHAT_ID": "1",
        "WEBHOOK_SECRET": "abc",
        "WEBHOOK_HOST": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(ROOT),
    }
    cases = [
        Case(SERVICES[service], {name: value.format(**places) for name, value in environment.items()})
        for service, _, environment, _ in all_cases()
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.bad_starts"],
        input=msgspec.json.encode(cases),
        capture_output=True,
        env=common,
        cwd=folder,
        check=True,
        timeout=280,
    )
    return msgspec.json.decode(done.stdout, type=list[End])


def test_every_wrong_start_ends_soon_with_one_line_that_helps(tmp_path: Path, places: dict[str, str]):
    ends = run_all(tmp_path, places)

    faults = []
    for (service, name, _, texts), end in zip(all_cases(), ends, strict=True):
        good = (
            end.code == 2
            and end.cpu_seconds < 5
            and end.errors.count("\n") == 1
            and end.errors.startswith(f"{service}: ")
            and all(text in end.errors for text in texts)
        )
        if not good:
            faults.append(f"{service}, {name}: {end}")
    assert not faults, "\n".join(faults)
    assert sorted(end.wall_seconds for end in ends)[len(ends) // 2] < 5
