"""The venue on virtual time: its stream and REST in its own bytes, and everything that can go wrong with them."""

import asyncio
import random
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
import msgspec
from websockets.exceptions import ConnectionClosedError

from shared.exchanges.venue import VenueRules
from tests.support.simulation.market import START_MS, MadeTrade, Market

_ENCODER = msgspec.json.Encoder()


class Words(Protocol):
    """How a venue says things."""

    rules: VenueRules
    make_feed: Any
    make_rest: Any
    clock_stream: str

    def hear(self, data: bytes) -> tuple[set[str], dict[str, object]]: ...

    def trade_stream(self, symbol: str) -> str: ...

    def trade_frame(self, symbol: str, trade: MadeTrade) -> bytes: ...

    def clock_frame(self, at_ms: int) -> bytes: ...

    def answers(self, market: Market, now_ms: Callable[[], int]) -> dict[str, Callable[[dict[str, str]], object]]: ...


class Socket:
    """One client's end of the stream. half_open: it stays open and says nothing more."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.streams: set[str] = set()
        self.half_open = False

    async def recv(self, *, decode: bool) -> bytes:
        del decode
        data = await self.queue.get()
        if data is None:
            raise ConnectionClosedError(None, None)
        return data

    async def send(self, data: bytes, *, text: bool) -> None:
        del text
        streams, answer = self._words.hear(data)
        self.streams.update(streams)
        if not self.half_open:
            self.queue.put_nowait(_ENCODER.encode(answer))


class VenueFaults:
    """What is wrong now. refuse, rest_down: until these loop times; the others count trade frames to spoil."""

    def __init__(self) -> None:
        self.refuse_until = self.rest_down_until = self.mute_until = 0.0
        self.lose = self.duplicate = self.reorder = self.delay = 0


class SimulatedVenue:
    """Plays the market's trades to every connected client at their time."""

    def __init__(self, market: Market, words: Words, *, clock_every_ms: int, chance: random.Random) -> None:
        self.market = market
        self.words = words
        self.faults = VenueFaults()
        self.sockets: dict[Socket, None] = {}  # in the order of their connections
        self.counters: dict[str, int] = {}
        self._clock_every_ms = clock_every_ms
        self._chance = chance
        self._held: tuple[str, bytes] | None = None

    def count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1

    def connect(self, url: str, **_: Any) -> Any:
        """Stands where websockets' `connect` stands."""
        del url
        return self._connection()

    @asynccontextmanager
    async def _connection(self) -> Any:
        await asyncio.sleep(0.05)
        if asyncio.get_running_loop().time() < self.faults.refuse_until:
            raise OSError("connection refused")
        socket = Socket(self.words)
        socket.half_open = asyncio.get_running_loop().time() < self.faults.mute_until
        self.sockets[socket] = None
        try:
            yield socket
        finally:
            self.sockets.pop(socket, None)

    def cut(self) -> None:
        """Every connection breaks."""
        for socket in list(self.sockets):
            self.sockets.pop(socket, None)
            socket.queue.put_nowait(None)

    def mute(self) -> None:
        """Every connection stays open and is silent from now on."""
        for socket in self.sockets:
            socket.half_open = True

    async def play(self) -> None:
        """Send every trade at its time, and the clock in between."""
        loop = asyncio.get_running_loop()
        events: list[tuple[int, str, MadeTrade | None]] = [
            (trade.at_ms + 1, symbol, trade)
            for symbol, trades in self.market.trades.items()
            for trade in trades
            if trade.at_ms >= START_MS
        ]
        clocks = range(START_MS, self.market.end_ms + 600_000, self._clock_every_ms)
        events += [(time_ms, "~", None) for time_ms in clocks]
        events.sort(key=lambda event: (event[0], event[1], event[2].trade_id if event[2] else 0))
        for at_ms, symbol, trade in events:
            wait = at_ms / 1000 - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if trade is None:
                self._send(self.words.clock_stream, self.words.clock_frame(at_ms))
            else:
                self._send_trade(symbol, trade)

    def _send_trade(self, symbol: str, trade: MadeTrade) -> None:
        words, faults = self.words, self.faults
        stream, data = words.trade_stream(symbol), words.trade_frame(symbol, trade)
        if faults.lose:
            faults.lose -= 1
            self.count("lost")
            return
        if faults.delay:
            faults.delay -= 1
            self.count("delayed")
            # Late on the connections that are there; one made later begins with what happens then.
            late = self._chance.uniform(1, 75)
            asyncio.get_running_loop().call_later(late, self._send, stream, data, frozenset(self.sockets))
            return
        if faults.reorder and self._held is None:
            faults.reorder -= 1
            self.count("reordered")
            self._held = (stream, data)
            return
        self._send(stream, data)
        if self._held is not None:
            self._send(*self._held)
            self._held = None
        if faults.duplicate:
            faults.duplicate -= 1
            self.count("duplicated")
            self._send(stream, data)

    def _send(self, stream: str, data: bytes, to: frozenset[Socket] | None = None) -> None:
        for socket in self.sockets:
            if (to is None or socket in to) and stream in socket.streams and not socket.half_open:
                socket.queue.put_nowait(data)


class VenueClient:
    """Stands where our REST client has its HTTP library, whose requests cost more than our own code: the answers in the
    venue's words. Real sockets and servers are for the integration tests.
    """

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue
        self._answers = venue.words.answers(venue.market, lambda: round(asyncio.get_running_loop().time() * 1000))

    async def get(self, path: str, *, params: dict[str, str]) -> httpx.Response:
        await asyncio.sleep(0.08)
        if asyncio.get_running_loop().time() < self._venue.faults.rest_down_until:
            self._venue.count("rest_refused")
            return httpx.Response(503)
        return httpx.Response(200, content=_ENCODER.encode(self._answers[path](params)))

    async def aclose(self) -> None:
        """Nothing to release."""
