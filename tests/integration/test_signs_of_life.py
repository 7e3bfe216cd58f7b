"""What can be seen of a running service from outside: its port, the push of its metrics, one id through logs and messages."""

import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from shared.bus.sqlite import SqliteBus
from shared.domain.correlation import correlation_id
from shared.domain.events import SignalOpened
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from tests.support.signals import a_signal
from tests.support.telegram_server import TelegramServer

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = "notifier--trade-signals-micro"
CHAT = 4_000_400
CONFIG = """
venues: {bybit-linear: {symbols: [BTCUSDT]}}
strategies: [{name: rsi_divergence}]
chats: [{name: default, pictures: false}]
"""


class Collector:
    """An OpenTelemetry collector as far as metrics go: takes OTLP over HTTP and keeps the last figures."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.resource: dict[str, str] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, request: ExportMetricsServiceRequest) -> None:
        assert path == "/v1/metrics"
        for resource in request.resource_metrics:
            self.resource = {item.key: item.value.string_value for item in resource.resource.attributes}
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points = metric.gauge.data_points or metric.sum.data_points
                for point in points:
                    self.figures[metric.name] = point.as_double or point.as_int
                for histogram in metric.histogram.data_points:
                    self.figures[metric.name] = histogram.count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer(chats=(CHAT,)) as running:
        yield running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, name: str, **variables: str) -> subprocess.Popen[str]:
    (folder / "tracker.yaml").write_text(CONFIG)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TELEGRAM")}
    environment |= {
        "DATA_DIR": str(folder / "data"),
        "TRACKER_CONFIG": str(folder / "tracker.yaml"),
        "OUTBOX_DIR": str(folder / "outbox"),
        "LOG_FILE": str(folder / f"{name}.log"),
        "LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", f"services.{name}.main"]
    return subprocess.Popen(command, cwd=ROOT, env=environment | variables, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def is_ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        return ask(port, "/ready")[0] == 200
    return False


async def test_a_signal_is_followed_through_attribute_log_port_and_push(tmp_path: Path, server: TelegramServer):
    database = open_database(tmp_path / "data" / "tracker.db")
    bus = SqliteBus(database, load_topology(), ScaledClock())
    port, event = free_port(), SignalOpened(signal=a_signal())
    await bus.refuse(SIGNALS, b"no event", {}, "never was one")
    with Collector() as collector:
        variables = {
            "TELEGRAM_BOT_TOKEN": server.token,
            "TELEGRAM_API_URL": server.base_url,
            "TELEGRAM_CHAT_ID": str(CHAT),
            "HTTP_PORT": str(port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "METRICS_EVERY_SECONDS": "0.2",
        }
        with ended(start(tmp_path, "notifier", **variables)) as process:
            until(lambda: is_ready(port), "/ready")
            await bus.publish("trade-signals-micro", [event])
            sent = 'cst_latency_seconds_count{hop="message_sent",service="notifier"} 1.0'
            until(lambda: sent in ask(port, "/metrics")[1], "the latency of the message")
            until(lambda: collector.figures.get("cst_handled_messages") == 1, "the push")

            health, metrics = ask(port, "/health"), ask(port, "/metrics")[1]
            assert health == (200, "ok\n")
            assert f'cst_dead_letters{{service="notifier",subscription="{SIGNALS}"}} 1.0' in metrics
            assert f'cst_backlog_messages{{service="notifier",subscription="{SIGNALS}"}} 0.0' in metrics
            assert ask(port, "/else")[0] == 404

            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    await database.close()

    assert collector.resource["service.name"] == "notifier"
    assert collector.figures["cst_latency_seconds"] == 1
    lines = [json.loads(line) for line in (tmp_path / "notifier.log").read_text().splitlines()]
    [told] = [line for line in lines if line["message"] == "message_sent"]
    assert told["correlation_id"] == told["logging.googleapis.com/trace"] == correlation_id(event)
    assert (told["severity"], told["chat"]) == ("INFO", "(id …0400)")
    assert str(CHAT) not in (tmp_path / "notifier.log").read_text()
