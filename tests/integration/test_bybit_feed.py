"""The feed against a small real WebSocket server that misbehaves on order."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from shared.exchanges.bybit.feed import BybitFeed
from shared.exchanges.feed import FeedClock, FeedConnected, FeedEvent, FeedLost, FeedReady, FeedRefused, FeedTrades
from shared.exchanges.websocket import FeedLimits

LIMITS = FeedLimits(
    ping_seconds=0.3,
    silence_seconds=1.0,
    acknowledge_seconds=0.6,
    open_seconds=2.0,
    close_seconds=0.5,
    retry_seconds_first=0.05,
    retry_seconds_max=0.1,
    topics_per_request=2,
)
TRADE = {"T": 100, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "2", "i": "a", "seq": 1}


class Venue:
    """Answers as told. unanswered: topics never acknowledged; refused: topics refused; names_requests: repeats req_id."""

    def __init__(self) -> None:
        self.unanswered: set[str] = set()
        self.refused: set[str] = set()
        self.names_requests = True
        self.silent = self.drops_at_once = False
        self.requests: list[dict] = []
        self.pings = self.connections = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        if self.drops_at_once:
            await socket.close(1011)
            return
        ticking = asyncio.create_task(self._tick(socket))
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                await self._answer(socket, json.loads(message))
        ticking.cancel()

    async def _tick(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in range(10_000):
                await asyncio.sleep(0.05)
                if not self.silent:
                    await socket.send(json.dumps({"topic": "tickers.BTCUSDT", "ts": 1000 + number, "data": {}}))
                    frame = {"topic": "publicTrade.BTCUSDT", "ts": 1000 + number, "data": [TRADE]}
                    await socket.send(json.dumps(frame))

    async def _answer(self, socket: ServerConnection, request: dict) -> None:
        answer = {"success": True, "ret_msg": "", "conn_id": "c", "req_id": "", "op": request["op"]}
        if self.names_requests:
            answer["req_id"] = request["req_id"]
        if request["op"] == "ping":
            self.pings += 1
            await socket.send(json.dumps(answer | {"ret_msg": "pong"}))
            return
        self.requests.append(request)
        topics = set(request["args"])
        if topics & self.unanswered:
            return
        if topics & self.refused:
            answer |= {"success": False, "ret_msg": f"error:handler not found,topic:{min(topics & self.refused)}"}
        await socket.send(json.dumps(answer))


@contextlib.asynccontextmanager
async def feeding(venue: Venue, *symbols: str) -> AsyncIterator[tuple[list[FeedEvent], BybitFeed, asyncio.Task[None]]]:
    events: list[FeedEvent] = []
    async with serve(venue.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        feed = BybitFeed(f"ws://127.0.0.1:{port}", symbols, limits=LIMITS)
        running = asyncio.create_task(feed.run(events.append))
        try:
            yield events, feed, running
        finally:
            started = time.monotonic()
            await feed.close()
            await asyncio.wait_for(running, 3)
            assert time.monotonic() - started < 1.5


async def until(condition, seconds: float = 6.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def of(events: list[FeedEvent], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


async def test_every_topic_is_acknowledged_before_it_is_ready_and_pings_keep_it_alive():
    venue = Venue()
    async with feeding(venue, "BTCUSDT", "ETHUSDT", "SOLUSDT") as (events, _, _):
        await until(lambda: of(events, FeedReady) and venue.pings >= 2 and of(events, FeedTrades))
        assert [request["args"] for request in venue.requests] == [
            ["tickers.BTCUSDT"],
            ["publicTrade.BTCUSDT", "publicTrade.ETHUSDT"],
            ["publicTrade.SOLUSDT"],
        ]
        assert isinstance(events[0], FeedConnected)
        assert of(events, FeedReady)[0].symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        assert of(events, FeedClock)
        assert not of(events, FeedLost)
        assert not of(events, FeedRefused)


async def test_answers_without_a_request_id_are_matched_in_order():
    venue = Venue()
    venue.names_requests = False
    venue.refused = {"publicTrade.NOPE"}
    async with feeding(venue, "BTCUSDT", "NOPE", "SOLUSDT") as (events, _, _):
        await until(lambda: of(events, FeedReady))
        [ready] = of(events, FeedReady)
        assert ready.symbols == ("BTCUSDT", "SOLUSDT")
        assert "handler not found" in ready.refused["NOPE"]


async def test_a_refused_clock_symbol_is_replaced_by_the_next():
    venue = Venue()
    venue.refused = {"tickers.BTCUSDT"}
    async with feeding(venue, "BTCUSDT", "ETHUSDT") as (events, _, _):
        await until(lambda: of(events, FeedReady))
        assert venue.requests[1]["args"] == ["tickers.ETHUSDT"]


async def test_an_unacknowledged_subscription_ends_the_connection():
    venue = Venue()
    venue.unanswered = {"publicTrade.BTCUSDT"}
    async with feeding(venue, "BTCUSDT") as (events, _, _):
        await until(lambda: of(events, FeedLost))
        assert "not acknowledged within 0.6 s: ['publicTrade.BTCUSDT']" in of(events, FeedLost)[0].reason
        venue.unanswered = set()
        await until(lambda: of(events, FeedReady))


async def test_a_silent_socket_is_replaced_although_it_answers_pings():
    venue = Venue()
    async with feeding(venue, "BTCUSDT") as (events, _, _):
        await until(lambda: of(events, FeedTrades))
        venue.silent = True
        await until(lambda: of(events, FeedLost))
        assert "no market frame for 1.0 s" in of(events, FeedLost)[0].reason
        venue.silent = False
        await until(lambda: len(of(events, FeedReady)) == 2)


async def test_a_venue_that_hangs_up_is_tried_again_with_growing_random_pauses():
    venue = Venue()
    venue.drops_at_once = True
    async with feeding(venue, "BTCUSDT") as (events, _, _):
        await until(lambda: len(of(events, FeedLost)) >= 4)
        pauses = [lost.retry_seconds for lost in of(events, FeedLost)]
        assert all(0 <= pause <= 0.1 for pause in pauses)
        assert len(set(pauses)) > 1
        venue.drops_at_once = False
        await until(lambda: of(events, FeedReady))


async def test_nobody_listens_and_it_still_closes_in_time():
    events: list[FeedEvent] = []
    feed = BybitFeed("ws://127.0.0.1:9", ("BTCUSDT",), limits=LIMITS)
    running = asyncio.create_task(feed.run(events.append))
    await until(lambda: of(events, FeedLost))
    await feed.close()
    await asyncio.wait_for(running, 2)
    assert running.done()
    assert running.exception() is None


async def test_an_error_of_our_own_handler_is_no_reason_to_reconnect():
    venue = Venue()

    def broken(event: FeedEvent) -> None:
        if isinstance(event, FeedTrades):
            raise KeyError("a bug of ours")

    async with serve(venue.handle, "127.0.0.1", 0) as server:
        feed = BybitFeed(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", ("BTCUSDT",), limits=LIMITS)
        try:
            await asyncio.wait_for(feed.run(broken), 5)
        except KeyError:
            return
        raise AssertionError("the error was swallowed")
