"""The REST client against the market simulator and a small server that fails on order."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.domain.errors import PermanentError, TransientError
from shared.domain.timeframe import Timeframe
from shared.exchanges.bybit.rest import BybitRest, bybit_rest
from shared.exchanges.http import RestLimits
from tests.support.simulator import running_simulator

QUICK = RestLimits(timeout_seconds=0.5, attempts=3, pause_seconds_max=0.05, requests_per_second=200)
TIME = b'{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1","timeNano":"1786310817197000000"},"time":1786310817197}'


@contextlib.contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last one for ever; (0, b"") never answers."""
    seen: list[str] = []
    quit_now = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            status, body = answers[min(len(seen), len(answers)) - 1]
            if status == 0:
                quit_now.wait(5)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        quit_now.set()
        server.shutdown()
        server.server_close()


@contextlib.asynccontextmanager
async def rest_at(url: str):
    rest = BybitRest(url, limits=QUICK)
    try:
        yield rest
    finally:
        await rest.close()


@pytest.mark.parametrize(
    "first",
    [(500, b""), (403, b""), (429, b""), (0, b""), (200, b"<html>"), (200, b'{"retCode":10006,"retMsg":"slow"}')],
)
async def test_what_may_pass_is_tried_again(first):
    with answering(first, (200, TIME)) as (url, seen):
        async with rest_at(url) as rest:
            assert await rest.server_time_ms() == 1786310817197
            assert len(seen) == 2


async def test_attempts_end():
    with answering((503, b"")) as (url, seen):
        async with rest_at(url) as rest:
            with pytest.raises(TransientError, match="503"):
                await rest.server_time_ms()
            assert len(seen) == QUICK.attempts


@pytest.mark.parametrize("answer", [(404, b"gone"), (200, b'{"retCode":10001,"retMsg":"params error"}')])
async def test_a_refusal_is_final(answer):
    with answering(answer) as (url, seen):
        async with rest_at(url) as rest:
            with pytest.raises(PermanentError):
                await rest.recent_trades("NOPEUSDT")
            assert len(seen) == 1


async def test_klines_page_and_leave_the_forming_one_out():
    with running_simulator(seed=3, speed=1, symbols=("BTCUSDT",)) as simulator:
        rest = bybit_rest(simulator.rest_url)
        now_ms = await rest.server_time_ms()
        open_ms = Timeframe.M1.open_time_ms(now_ms)
        klines = await rest.klines("BTCUSDT", Timeframe.M1, start_ms=open_ms - 2_345 * 60_000, end_ms=now_ms + 600_000)
        times = [kline.open_time_ms for kline in klines]
        assert len(times) >= 2_345
        assert times == list(range(open_ms - 2_345 * 60_000, times[-1] + 1, 60_000))
        assert times[-1] + 60_000 <= await rest.server_time_ms()
        part = await rest.klines("BTCUSDT", Timeframe.H1, start_ms=open_ms - 5 * 3_600_000 + 1, end_ms=open_ms)
        assert all(kline.open_time_ms > open_ms - 5 * 3_600_000 for kline in part)
        assert 3 <= len(part) <= 5
        assert await rest.klines("BTCUSDT", Timeframe.M1, start_ms=open_ms, end_ms=open_ms) == []
        await rest.close()


async def test_instruments_and_trades_of_the_simulated_market():
    with running_simulator(seed=3, speed=1, symbols=("BTCUSDT", "SEIUSDT")) as simulator:
        rest = bybit_rest(simulator.rest_url)
        found = await rest.instruments(["BTCUSDT", "NOPEUSDT"])
        assert set(found) == {"BTCUSDT"}
        trades = await rest.recent_trades("BTCUSDT")
        order = [(trade.traded_at_ms, trade.venue_sequence) for trade in trades]
        assert order == sorted(order)
        assert len(trades) > 1
        await rest.close()


async def test_requests_are_spread_over_time():
    with answering((200, TIME)) as (url, _):
        rest = BybitRest(url, limits=RestLimits(requests_per_second=20))
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(rest.server_time_ms() for _ in range(6)))
        assert loop.time() - started >= 0.24
        await rest.close()
