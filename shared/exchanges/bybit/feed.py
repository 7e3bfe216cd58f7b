"""The live connection to Bybit v5 linear: acknowledged subscriptions, pings, watchdog, reconnect.

The clock topic is subscribed first. Bybit answers a tickers subscription with a stored snapshot and deltas that were up
to 1.6 s old in our recording; once the trades are acknowledged a round trip later, that old burst is behind us and
the next frame's time is a live one.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.domain.errors import TransientError
from shared.exchanges.bybit.wire import CLOCK_TOPIC, TRADE_TOPIC, Answer, parse_frame, ping_request, subscribe_request
from shared.exchanges.feed import FeedConnected, FeedEvent, FeedLost, FeedReady

_ARGUMENTS_CHARACTERS_MAX: Final = 20_000  # the venue's limit is 21,000
_HOUSEKEEPING_SECONDS: Final = 0.1


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


class BybitFeed:
    """Trades of the symbols and one clock topic over one connection that repairs itself."""

    def __init__(
        self, url: str, symbols: Sequence[str], *, clock_symbol: str | None = None, limits: FeedLimits | None = None
    ) -> None:
        self._url = url
        self._symbols = tuple(dict.fromkeys(symbols))
        self._clock_symbol = clock_symbol or ("BTCUSDT" if "BTCUSDT" in self._symbols else self._symbols[0])
        self._limits = limits or FeedLimits()
        self._closing = asyncio.Event()

    async def run(self, handle: Callable[[FeedEvent], None]) -> None:
        """Connect, subscribe, report every event in order; reconnect until closed."""
        closing = asyncio.create_task(self._closing.wait())
        connection = failures = 0
        try:
            while not self._closing.is_set():
                connection += 1
                live = _Connection(self, connection, handle)
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


class _Connection:
    """One connection from the handshake to its end."""

    def __init__(self, feed: BybitFeed, number: int, handle: Callable[[FeedEvent], None]) -> None:
        self.was_ready = False
        self._feed = feed
        self._limits = feed.limits
        self._number = number
        self._handle = handle
        self._requests = 0
        self._pending: dict[str, tuple[str, ...]] = {}
        self._clocks = list(dict.fromkeys((feed.clock_symbol, *feed.symbols)))
        self._accepted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._outgoing: list[bytes] = []
        self._asked_at = self._heard_at = self._pinged_at = 0.0

    async def serve(self) -> None:
        """Raises what ended the connection."""
        limits = self._limits
        connecting = connect(
            self._feed.url,
            open_timeout=limits.open_seconds,
            close_timeout=limits.close_seconds,
            ping_interval=None,  # the venue wants its own ping; the watchdog below judges the socket
            compression=None,
            max_size=4 * 1024 * 1024,
            max_queue=1024,
        )
        async with connecting as socket:
            self._handle(FeedConnected(connection=self._number))
            self._asked_at = self._heard_at = self._pinged_at = asyncio.get_running_loop().time()
            self._ask((CLOCK_TOPIC + self._clocks[0],))
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
            parsed = parse_frame(await socket.recv(decode=False))
            if type(parsed) is Answer:
                self._answered(parsed)
                await self._send(socket)
                continue
            self._heard_at = loop.time()
            self._handle(parsed)  # type: ignore[arg-type]  # mypy does not narrow a union by `type(x) is`

    async def _keep(self, socket: ClientConnection) -> None:
        """Send pings, and end the connection when acknowledgements or market frames stay away."""
        loop = asyncio.get_running_loop()
        await self._send(socket)
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            now = loop.time()
            if self._pending and now - self._asked_at > self._limits.acknowledge_seconds:
                topics = sorted(topic for topics in self._pending.values() for topic in topics)
                raise TransientError(f"not acknowledged within {self._limits.acknowledge_seconds} s: {topics}")
            if not self._pending and now - self._heard_at > self._limits.silence_seconds:
                raise TransientError(f"no market frame for {self._limits.silence_seconds} s")
            if now - self._pinged_at >= self._limits.ping_seconds:
                self._pinged_at = now
                self._requests += 1
                self._outgoing.append(ping_request(f"ping-{self._requests}"))
            await self._send(socket)

    async def _send(self, socket: ClientConnection) -> None:
        while self._outgoing:
            await socket.send(self._outgoing.pop(0), text=True)

    def _ask(self, topics: tuple[str, ...]) -> None:
        self._requests += 1
        request_id = str(self._requests)
        self._pending[request_id] = topics
        self._outgoing.append(subscribe_request(request_id, topics))

    def _answered(self, answer: Answer) -> None:
        if answer.op != "subscribe" or not self._pending:
            return
        # Answers come in the order of the requests; some gateways leave the id out.
        request_id = answer.request_id if answer.request_id in self._pending else next(iter(self._pending))
        topics = self._pending.pop(request_id)
        self._asked_at = self._heard_at = asyncio.get_running_loop().time()
        if topics[0].startswith(CLOCK_TOPIC):
            self._clock_answered(answer)
        elif answer.is_accepted:
            self._accepted.update(topics)
        elif len(topics) > 1:  # one bad symbol refuses the whole request: ask for each alone
            for topic in topics:
                self._ask((topic,))
        else:
            self._refused[topics[0].removeprefix(TRADE_TOPIC)] = answer.ret_msg
        if not self._pending:
            self._ready()

    def _clock_answered(self, answer: Answer) -> None:
        if answer.is_accepted:
            for topics in _chunks([TRADE_TOPIC + s for s in self._feed.symbols], self._limits.topics_per_request):
                self._ask(topics)
        elif len(self._clocks) > 1:
            self._clocks.pop(0)
            self._ask((CLOCK_TOPIC + self._clocks[0],))
        else:
            raise TransientError(f"no clock topic was accepted, last answer: {answer.ret_msg}")

    def _ready(self) -> None:
        if not self._accepted:
            raise TransientError(f"every symbol was refused: {self._refused}")
        self.was_ready = True
        symbols = tuple(symbol for symbol in self._feed.symbols if TRADE_TOPIC + symbol in self._accepted)
        self._handle(FeedReady(symbols=symbols, refused=self._refused))


def _chunks(topics: list[str], count_max: int) -> list[tuple[str, ...]]:
    """Requests of at most count_max topics and _ARGUMENTS_CHARACTERS_MAX characters, quotes and commas included."""
    chunks: list[tuple[str, ...]] = []
    chunk: list[str] = []
    for topic in topics:
        size = sum(len(member) + 3 for member in chunk) + len(topic) + 3
        if chunk and (len(chunk) >= count_max or size > _ARGUMENTS_CHARACTERS_MAX):
            chunks.append(tuple(chunk))
            chunk = []
        chunk.append(topic)
    return [*chunks, tuple(chunk)] if chunk else chunks


async def close_quietly(feed: BybitFeed, running: "asyncio.Task[None]", *, seconds: float) -> None:
    """Close the feed and wait for its run to end, at most so long; then cancel it."""
    await feed.close()
    await asyncio.wait({running}, timeout=seconds)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
