"""What the live connections of all venues have in common: deadlines, a watchdog, reconnecting with jitter."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.domain.errors import TransientError
from shared.exchanges.feed import FeedConnected, FeedEvent, FeedLost, FeedReady

_HOUSEKEEPING_SECONDS: Final = 0.1
Handle = Callable[[FeedEvent], None]


class FeedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines and sizes, wall seconds.

    silence_seconds:        no market frame for so long (pongs do not count) ends the connection.
    retry_seconds_first, _max: the n-th failed attempt is followed by a random pause of 0 .. first * 2^(n-1), at most max.
    """

    ping_seconds: float = 20.0
    silence_seconds: float = 10.0
    acknowledge_seconds: float = 10.0
    open_seconds: float = 10.0
    close_seconds: float = 2.0
    retry_seconds_first: float = 0.5
    retry_seconds_max: float = 30.0
    topics_per_request: int = 50


class ReconnectingFeed(ABC):
    """Trades of the symbols and one clock topic over one connection that repairs itself. A venue says how it is spoken to."""

    def __init__(
        self, url: str, symbols: Sequence[str], *, clock_symbol: str | None = None, limits: FeedLimits | None = None
    ) -> None:
        self._url = url
        self._symbols = tuple(dict.fromkeys(symbols))
        self._clock_symbol = clock_symbol or ("BTCUSDT" if "BTCUSDT" in self._symbols else self._symbols[0])
        self._limits = limits or FeedLimits()
        self._closing = asyncio.Event()

    @abstractmethod
    def connection(self, number: int, handle: Handle) -> "LiveConnection":
        """The venue's connection, not open yet."""

    async def run(self, handle: Handle) -> None:
        """Connect, subscribe, report every event in order; reconnect until closed."""
        closing = asyncio.create_task(self._closing.wait())
        number = failures = 0
        try:
            while not self._closing.is_set():
                number += 1
                live = self.connection(number, handle)
                serving = asyncio.create_task(live.serve())
                try:
                    await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    serving.cancel()
                    reason = await _reason(serving)
                if self._closing.is_set():
                    return
                failures = 1 if live.was_ready else failures + 1
                pause = self._pause_seconds(failures)
                handle(FeedLost(reason=reason, retry_seconds=pause))
                await asyncio.wait({closing}, timeout=pause)
        finally:
            closing.cancel()

    async def close(self) -> None:
        """End `run`: at once between connections, else after the closing handshake or its deadline."""
        self._closing.set()

    def _pause_seconds(self, failures: int) -> float:
        # Full jitter: many clients that lost the venue at one instant come back spread out.
        ceiling = min(self._limits.retry_seconds_max, self._limits.retry_seconds_first * 2.0 ** min(failures - 1, 30))
        return random.uniform(0, ceiling)  # noqa: S311 - spreading load, no secret

    @property
    def url(self) -> str:
        """Where it connects to."""
        return self._url

    @property
    def symbols(self) -> tuple[str, ...]:
        """Whose trades are asked for."""
        return self._symbols

    @property
    def clock_symbol(self) -> str:
        """Whose ticker is the clock."""
        return self._clock_symbol

    @property
    def limits(self) -> FeedLimits:
        """Deadlines and sizes."""
        return self._limits


async def _reason(task: "asyncio.Task[None]") -> str:
    """Why the connection ended. Errors of our own handler are no reason to reconnect: they are raised."""
    try:
        await task
    except asyncio.CancelledError:
        return "closed"
    except (OSError, WebSocketException, TransientError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return "the venue closed the connection"


class LiveConnection(ABC):
    """One connection from the handshake to its end. A venue's class queues requests in `outgoing` and reads answers."""

    def __init__(self, feed: ReconnectingFeed, number: int, handle: Handle) -> None:
        self.was_ready = False
        self.feed = feed
        self.limits = feed.limits
        self.outgoing: list[bytes] = []
        self.handle = handle
        self._number = number
        self._asked_at = self._heard_at = self._pinged_at = 0.0

    @abstractmethod
    def subscribe(self) -> None:
        """The socket is open: queue the first requests."""

    @abstractmethod
    def receive(self, data: bytes) -> bool:
        """Take a frame; whether it came from the market (answers to requests and pongs prove nothing)."""

    @abstractmethod
    def unanswered(self) -> list[str]:
        """The topics that are asked for and not acknowledged."""

    @abstractmethod
    def ping(self) -> None:
        """Queue a ping, where the venue wants one of its own."""

    def answered(self) -> None:
        """An answer came: the deadline of what is still unanswered begins anew."""
        self._asked_at = self._heard_at = asyncio.get_running_loop().time()

    def ready(self, symbols: tuple[str, ...], refused: dict[str, str]) -> None:
        """Everything is acknowledged. Raises TransientError where nothing was accepted."""
        if not symbols:
            raise TransientError(f"every symbol was refused: {refused}")
        self.was_ready = True
        self.handle(FeedReady(symbols=symbols, refused=refused))

    async def serve(self) -> None:
        """Raises what ended the connection."""
        limits = self.limits
        connecting = connect(
            self.feed.url,
            open_timeout=limits.open_seconds,
            close_timeout=limits.close_seconds,
            ping_interval=None,  # the watchdog below judges the socket; the venue's pings are answered by the library
            compression=None,
            max_size=4 * 1024 * 1024,
            max_queue=1024,
        )
        async with connecting as socket:
            self.handle(FeedConnected(connection=self._number))
            self._asked_at = self._heard_at = self._pinged_at = asyncio.get_running_loop().time()
            self.subscribe()
            keeper = asyncio.create_task(self._keep(socket))
            reader = asyncio.create_task(self._read(socket))
            try:
                done, _ = await asyncio.wait({keeper, reader}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (keeper, reader):
                    task.cancel()
                await asyncio.gather(keeper, reader, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self.receive(await socket.recv(decode=False)):
                self._heard_at = loop.time()
            elif self.outgoing:
                await self._send(socket)

    async def _keep(self, socket: ClientConnection) -> None:
        """Send pings, and end the connection when acknowledgements or market frames stay away."""
        loop = asyncio.get_running_loop()
        await self._send(socket)
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            now = loop.time()
            topics = self.unanswered()
            if topics and now - self._asked_at > self.limits.acknowledge_seconds:
                raise TransientError(f"not acknowledged within {self.limits.acknowledge_seconds} s: {topics}")
            if not topics and now - self._heard_at > self.limits.silence_seconds:
                raise TransientError(f"no market frame for {self.limits.silence_seconds} s")
            if now - self._pinged_at >= self.limits.ping_seconds:
                self._pinged_at = now
                self.ping()
            await self._send(socket)

    async def _send(self, socket: ClientConnection) -> None:
        while self.outgoing:
            await socket.send(self.outgoing.pop(0), text=True)


def in_requests(topics: Sequence[str], count_max: int, characters_max: int) -> list[tuple[str, ...]]:
    """Requests of at most count_max topics and characters_max characters, quotes and commas included."""
    chunks: list[tuple[str, ...]] = []
    chunk: list[str] = []
    for topic in topics:
        size = sum(len(member) + 3 for member in chunk) + len(topic) + 3
        if chunk and (len(chunk) >= count_max or size > characters_max):
            chunks.append(tuple(chunk))
            chunk = []
        chunk.append(topic)
    return [*chunks, tuple(chunk)] if chunk else chunks
