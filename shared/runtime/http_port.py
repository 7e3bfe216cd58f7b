"""The port of a service that has none of its own: /health, /ready and /metrics, for probes and for Prometheus.

A thread of its own answers, so that a probe is heard while the event loop compiles, or hangs.
"""

import contextlib
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from shared.runtime.metrics import Metrics
from shared.runtime.settings import SettingsError
from shared.runtime.vitals import Answer, Vitals

_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_SECONDS_MAX: Final = 5.0


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_SECONDS_MAX
    vitals: Vitals
    metrics: Metrics

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        if path == "/metrics":
            self._answer(HTTPStatus.OK, self.metrics.exposition(), _PROMETHEUS)
        elif path == "/health":
            self._say(self.vitals.health())
        elif path == "/ready":
            self._say(self.vitals.readiness())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"/health, /ready, /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _say(self, answer: Answer) -> None:
        self._answer(HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE, f"{answer.text}\n".encode())

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Probes come every few seconds: nothing to tell."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone: nothing to tell."""


@contextlib.contextmanager
def opened_port(host: str, port: int, vitals: Vitals, metrics: Metrics) -> Iterator[int]:
    """Answers until the end of the block; gives the port. Raises SettingsError where it is taken."""
    handler = type("Handler", (_Handler,), {"vitals": vitals, "metrics": metrics})
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise SettingsError(
            f"HTTP_PORT: port {port} on {host} cannot be opened ({error.strerror or error}); "
            "end what holds it, or set HTTP_PORT (and HTTP_HOST) to another"
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="http-port", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
