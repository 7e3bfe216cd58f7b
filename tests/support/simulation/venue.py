"""The venue on virtual time: Binance spot's stream and REST in its own bytes, and everything that can go wrong with them."""

import asyncio
import random
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from websockets.exceptions import ConnectionClosedError

from shared.domain.timeframe import MINUTE_MS, Timeframe
from tests.support.simulation.market import (
    HISTORY_MINUTES,
    START_MS,
    SYMBOLS,
    MadeTrade,
    Market,
    price_text,
    quantity_text,
)

_CLOCK_SYMBOL = SYMBOLS[0]
_LIMIT_MAX = 1_000
_ENCODER = msgspec.json.Encoder()


class Socket:
    """One client's end of the stream. half_open: it stays open and says nothing more."""

    def __init__(self) -> None:
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
        request = msgspec.json.decode(data)
        self.streams.update(request["params"])
        if not self.half_open:
            self.queue.put_nowait(_ENCODER.encode({"result": None, "id": request["id"]}))


class VenueFaults:
    """What is wrong now. refuse, rest_down: until these loop times; the others count trade frames to spoil."""

    def __init__(self) -> None:
        self.refuse_until = self.rest_down_until = self.mute_until = 0.0
        self.lose = self.duplicate = self.reorder = self.delay = 0


class SimulatedVenue:
    """Plays the market's trades to every connected client at their time."""

    def __init__(self, market: Market, *, clock_every_ms: int, chance: random.Random) -> None:
        self.market = market
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
        socket = Socket()
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
                self._send(_CLOCK_SYMBOL.lower() + "@miniTicker", clock_frame(at_ms))
            else:
                self._send_trade(symbol, trade)

    def _send_trade(self, symbol: str, trade: MadeTrade) -> None:
        stream, data, faults = symbol.lower() + "@trade", trade_frame(symbol, trade), self.faults
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


def trade_frame(symbol: str, trade: MadeTrade) -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{trade.at_ms + 1},"s":"{symbol}",'
        f'"t":{trade.trade_id},"p":"{price_text(trade.price)}","q":"{quantity_text(trade.quantity)}",'
        f'"T":{trade.at_ms},"m":{"true" if trade.buyer_is_maker else "false"},"M":true}}}}'
    ).encode()


def clock_frame(at_ms: int) -> bytes:
    stream = _CLOCK_SYMBOL.lower() + "@miniTicker"
    return f'{{"stream":"{stream}","data":{{"e":"24hrMiniTicker","E":{at_ms},"s":"{_CLOCK_SYMBOL}"}}}}'.encode()


class VenueTransport(httpx.AsyncBaseTransport):
    """The venue's REST, without sockets: what httpx would have sent, answered in Binance's words."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue
        self._answers: dict[str, Callable[[dict[str, str]], object]] = {
            "/api/v3/time": self._time,
            "/api/v3/trades": self._trades,
            "/api/v3/historicalTrades": self._trades,
            "/api/v3/klines": self._klines,
            "/api/v3/exchangeInfo": self._info,
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.08)
        if asyncio.get_running_loop().time() < self._venue.faults.rest_down_until:
            self._venue.count("rest_refused")
            return httpx.Response(503)
        parameters = dict(request.url.params)
        return httpx.Response(200, content=_ENCODER.encode(self._answers[request.url.path](parameters)))

    def _now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

    def _time(self, _: dict[str, str]) -> object:
        return {"serverTime": self._now_ms()}

    def _trades(self, parameters: dict[str, str]) -> object:
        trades = self._venue.market.up_to(parameters["symbol"], self._now_ms())
        limit = int(parameters["limit"])
        if "fromId" in parameters and trades:
            first = max(0, int(parameters["fromId"]) - trades[0].trade_id)
            trades = trades[first : first + limit]
        return [
            {
                "id": trade.trade_id,
                "price": price_text(trade.price),
                "qty": quantity_text(trade.quantity),
                "time": trade.at_ms,
                "isBuyerMaker": trade.buyer_is_maker,
            }
            for trade in trades[-limit:]
        ]

    def _klines(self, parameters: dict[str, str]) -> object:
        timeframe = Timeframe(parameters["interval"])
        first_ms = max(int(parameters["startTime"]), START_MS - HISTORY_MINUTES * MINUTE_MS)
        opens = range(timeframe.open_time_ms(first_ms), int(parameters["endTime"]) + 1, timeframe.duration_ms)
        rows = [self._venue.market.kline(parameters["symbol"], timeframe, open_ms) for open_ms in opens]
        return [row for row in rows if row is not None and int(str(row[0])) <= self._now_ms()][:_LIMIT_MAX]

    def _info(self, parameters: dict[str, str]) -> object:
        rows = [
            {
                "symbol": symbol,
                "status": "TRADING",
                "baseAsset": symbol.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.001"},
                ],
            }
            for symbol in msgspec.json.decode(parameters["symbols"])
        ]
        return {"symbols": rows}
