"""A server that speaks Kraken's public REST (AssetPairs, OHLC, Time) and the daily sources' JSON, with faults on demand.

    with running_kraken({"XBTUSDT": made_market("XBT/USDT", "up", until_ms)}) as kraken:
        ... kraken.url, kraken.url + "/daily/dxy" ...
        kraken.faults.append(Fault(path="OHLC", kind="html"))

Written from the venue's documentation and the recorded answer in rest/, without the code under test.
"""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MINUTE_MS = 60_000
ROWS_MAX = 720
HTML = "<!DOCTYPE html><html><head><title>We'll be right back</title></head><body>Maintenance</body></html>"
# open time ms, open, high, low, close, volume
Bar = tuple[int, float, float, float, float, float]


@dataclass(frozen=True)
class Market:
    """A pair with its 5m bars, oldest first, the last ones possibly in the future of the server's clock."""

    wsname: str
    five: list[Bar]
    status: str = "online"


@dataclass
class Fault:
    """What goes wrong with requests whose path and query hold `path`, so many times.

    kind: html, or an error text of Kraken's; empty: no rows; status: that HTTP status; interval: rows of that interval instead.
    """

    path: str
    kind: str = ""
    times: int = 1_000_000
    status: int = 200
    interval: int = 0


@dataclass
class KrakenServer:
    """What the server is told and what it has seen."""

    markets: dict[str, Market]
    now_ms: Callable[[], int]
    daily: dict[str, object] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[float, str]] = field(default_factory=list)
    url: str = ""
    _rolled: dict[tuple[int, int, int], list[Bar]] = field(default_factory=dict)

    def calls(self, text: str = "") -> list[str]:
        """The requests seen whose path and query hold the text."""
        return [path for _, path in self.requests if text in path]

    def answer(self, target: str) -> tuple[int, str]:
        """HTTP status and body."""
        self.requests.append((time.monotonic(), target))
        fault = next((item for item in self.faults if item.path in target and item.times > 0), None)
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if fault:
            fault.times -= 1
            if fault.interval:
                query["interval"] = str(fault.interval)
            elif fault.status != 200:
                return fault.status, HTML
            elif fault.kind == "html":
                return 200, HTML
            elif fault.kind != "empty":
                return 200, json.dumps({"error": [fault.kind]})
        if parts.path.startswith("/daily/"):
            return 200, json.dumps(self.daily[parts.path.removeprefix("/daily/")])
        body = self._public(parts.path, query, empty=bool(fault and fault.kind == "empty"))
        return 200, json.dumps(body)

    def _bars(self, market: Market, minutes: int) -> list[Bar]:
        """The market's bars of the interval up to now; remembered, for they are rolled up one by one."""
        known = [bar for bar in market.five if bar[0] <= self.now_ms()]
        place = (id(market), minutes, len(known))
        if place not in self._rolled:
            self._rolled[place] = rolled(known, minutes)
        return self._rolled[place]

    def _public(self, path: str, query: Mapping[str, str], *, empty: bool) -> object:
        if path == "/0/public/Time":
            return {"error": [], "result": {"unixtime": self.now_ms() // 1000, "rfc1123": ""}}
        if path == "/0/public/AssetPairs":
            return {"error": [], "result": {f"X{name}": _pair(name, market) for name, market in self.markets.items()}}
        market = self.markets.get(query.get("pair", ""))
        if path != "/0/public/OHLC" or market is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        bars = [] if empty else self._bars(market, int(query["interval"]))
        since_ms = int(query.get("since", "0")) * 1000
        rows = [_row(bar) for bar in bars if bar[0] > since_ms][-ROWS_MAX:]
        last = bars[-2][0] // 1000 if len(bars) > 1 else 0
        return {"error": [], "result": {f"X{query['pair']}": rows, "last": last}}


def rolled(five: list[Bar], minutes: int) -> list[Bar]:
    """Bars of a longer interval, the forming one included; one by one, as slow as can be."""
    found: list[Bar] = []
    for at, open_, high, low, close, volume in five:
        start = at - at % (minutes * MINUTE_MS)
        if found and found[-1][0] == start:
            before = found[-1]
            found[-1] = (start, before[1], max(before[2], high), min(before[3], low), close, before[5] + volume)
        else:
            found.append((start, open_, high, low, close, volume))
    return found


def made_market(wsname: str, trend: str, as_of_ms: int, *, days: int = 16, bars_after: int = 300) -> Market:
    """A market whose 15m candle that closes at as_of_ms fulfils the whole rule: trend "up" the long one, "down" the short one.

    The 15m closes go up and down in turns, a bit more one way: RSI stays near 55 (45), above (below) both means. The last
    candle goes that way for a second time on five times the volume. Afterwards ("flat" from the start) nothing moves.
    """
    step, back = (0.0012, -0.0010) if trend == "up" else (-0.0012, 0.0010) if trend == "down" else (0.0, 0.0)
    count = days * 96
    start_ms = as_of_ms - count * 15 * MINUTE_MS
    bars: list[Bar] = []
    close = 100.0
    for number in range(count):
        left = count - 1 - number
        change = step if left == 0 or left % 2 else back
        volume = 50.0 if left == 0 else 10.0 + number % 3
        target = close * (1 + change)
        for third in range(3):
            opened, close = close, close + (target - close) / (3 - third)
            at = start_ms + (number * 3 + third) * 5 * MINUTE_MS
            bars.append((at, opened, max(opened, close), min(opened, close), close, volume / 3))
    bars += [(as_of_ms + number * 5 * MINUTE_MS, close, close, close, close, 3.0) for number in range(bars_after)]
    return Market(wsname, bars)


def _pair(name: str, market: Market) -> dict[str, object]:
    base, quote = market.wsname.split("/")
    return {
        "altname": name, "wsname": market.wsname, "aclass_base": "currency", "base": f"X{base}", "quote": f"Z{quote}",
        "pair_decimals": 5, "lot_decimals": 8, "status": market.status, "fees": [[0, 0.26], [50_000, 0.24]],
    }  # fmt: skip


def _row(bar: Bar) -> list[object]:
    at, open_, high, low, close, volume = bar
    texts = [repr(value) for value in (open_, high, low, close, (open_ + close) / 2)]
    return [at // 1000, *texts, f"{volume:.8f}", 7]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle of an answer is no fault of the server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def running_kraken(
    markets: dict[str, Market], *, now_ms: Callable[[], int] | None = None, daily: dict[str, object] | None = None
) -> Iterator[KrakenServer]:
    """The server in a thread, on a free port of loopback. now_ms: its clock, the machine's by default."""
    kraken = KrakenServer(markets, now_ms or (lambda: time.time_ns() // 1_000_000), daily or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, text = kraken.answer(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if text == HTML else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kraken.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kraken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
