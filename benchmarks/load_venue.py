"""A venue under load for benchmarks: Bybit's protocol on loopback, a steady rate of trades in frames of five, live time.

    python -m benchmarks.load_venue --port 18800 --symbols 300 --trades-per-second 20000

The simulator makes a market; this makes load: frames are filled into templates, so that the generator costs a fraction of what
it feeds. WebSocket and REST (time, instruments-info, recent-trade, kline) answer on one port.
"""

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

STEP_SECONDS = 0.02
TRADES_PER_FRAME = 5
TICKER_EVERY_STEPS = 5
INTERVAL_MS = {"1": 60_000, "5": 300_000, "15": 900_000, "30": 1_800_000, "60": 3_600_000, "240": 14_400_000}
INTERVAL_MS |= {"D": 86_400_000, "W": 604_800_000}


class Market:
    """Prices that wander, ids and sequences that never repeat."""

    def __init__(self, symbols: list[str]) -> None:
        self._chance = random.Random(1)
        self._price = {symbol: 1_000_000 + 10 * number for number, symbol in enumerate(symbols)}
        self._turn = itertools.cycle(symbols)
        self._boot = time.time_ns() // 1_000_000_000
        self._count = 0

    def frames(self, count: int, now_ms: int) -> Iterator[str]:
        """The next frames, symbol after symbol: five fills of one order each."""
        for symbol, _ in zip(self._turn, range(count), strict=False):
            price = self._price[symbol] = max(1_000, self._price[symbol] + self._chance.randint(-40, 40))
            self._count += 1
            rows = ",".join(
                f'{{"T":{now_ms},"s":"{symbol}","S":"{"Buy" if price % 2 else "Sell"}","v":"0.{price % 899 + 100}",'
                f'"p":"{(price + fill) / 100:.2f}","L":"PlusTick","i":"{self._boot:08x}-{fill:04x}-5000-a000-{self._count:012x}",'
                f'"BT":false,"RPI":false,"seq":{self._count}}}'
                for fill in range(TRADES_PER_FRAME)
            )
            yield f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{now_ms + 1},"data":[{rows}]}}'


class Venue:
    """Everybody connected gets every frame: there is one client."""

    def __init__(self, symbols: list[str], trades_per_second: int) -> None:
        self._symbols = symbols
        self._market = Market(symbols)
        self._frames_per_second = trades_per_second / TRADES_PER_FRAME
        self.sent = 0

    async def client(self, connection: ServerConnection) -> None:
        """Acknowledge what is asked; once trades are subscribed, send."""
        sending: asyncio.Task[None] | None = None
        try:
            async for text in connection:
                asked = json.loads(text)
                said = "pong" if asked["op"] == "ping" else ""
                answer = {
                    "success": True,
                    "ret_msg": said,
                    "conn_id": "load",
                    "req_id": asked["req_id"],
                    "op": asked["op"],
                }
                await connection.send(json.dumps(answer))
                if sending is None and asked["op"] == "subscribe":
                    sending = asyncio.create_task(self._send(connection))
        except ConnectionClosed:
            pass
        finally:
            if sending is not None:
                sending.cancel()

    async def _send(self, connection: ServerConnection) -> None:
        began, steps, sent = time.monotonic(), 0, 0
        while True:
            steps += 1
            now_ms = time.time_ns() // 1_000_000
            due = int((time.monotonic() - began) * self._frames_per_second) - sent
            for frame in self._market.frames(due, now_ms):
                await connection.send(frame)
            sent += due
            if steps % TICKER_EVERY_STEPS == 0:
                ticker = {"topic": f"tickers.{self._symbols[0]}", "type": "delta", "ts": now_ms, "data": {}}
                await connection.send(json.dumps(ticker))
            await asyncio.sleep(max(0.0, began + steps * STEP_SECONDS - time.monotonic()))

    def rest(self, _: ServerConnection, request: Request) -> Response | None:
        """REST answers; None lets the WebSocket handshake go on."""
        place = urlsplit(request.path)
        if not place.path.startswith("/v5/market/"):
            return None
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        body = json.dumps({"retCode": 0, "retMsg": "OK", "result": self._result(place.path, query), "time": _now_ms()})
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
        return Response(HTTPStatus.OK.value, "OK", headers, body.encode())

    def _result(self, path: str, query: dict[str, str]) -> dict[str, object]:
        if path.endswith("/time"):
            return {"timeSecond": str(_now_ms() // 1000), "timeNano": str(_now_ms() * 1_000_000)}
        if path.endswith("/instruments-info"):
            return {
                "category": "linear",
                "nextPageCursor": "",
                "list": [_instrument(symbol) for symbol in self._symbols],
            }
        if path.endswith("/kline"):
            return {"symbol": query["symbol"], "category": "linear", "list": _klines(query)}
        return {"category": "linear", "list": []}


def _klines(query: dict[str, str]) -> list[list[str]]:
    """Newest first; a saw-tooth of prices, so that windows hold something. Only minutes: the market is a day old."""
    if query["interval"] != "1":
        return []
    step_ms = INTERVAL_MS[query["interval"]]
    end_ms = min(int(query.get("end", _now_ms())), _now_ms())
    start_ms = int(query.get("start", end_ms - 200 * step_ms))
    first = max(-(-start_ms // step_ms), end_ms // step_ms - int(query.get("limit", 200)) + 1)
    rows = []
    for number in range(first, end_ms // step_ms + 1):
        price, before = 10_000 + number % 7, 10_000 + (number - 1) % 7
        prices = (before, max(price, before), min(price, before), price)
        rows.append([str(number * step_ms), *(f"{value:.2f}" for value in prices), "10", "100000"])
    return rows[::-1]


def _instrument(symbol: str) -> dict[str, object]:
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "priceFilter": {"minPrice": "0.01", "maxPrice": "1999999.80", "tickSize": "0.01"},
        "lotSizeFilter": {"maxOrderQty": "1000.000", "minOrderQty": "0.001", "qtyStep": "0.001"},
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def symbols_of(count: int) -> list[str]:
    """COIN0USDT, COIN1USDT, ..."""
    return [f"COIN{number}USDT" for number in range(count)]


async def run(port: int, symbols: int, trades_per_second: int) -> None:
    """Until cancelled."""
    venue = Venue(symbols_of(symbols), trades_per_second)
    async with serve(venue.client, "127.0.0.1", port, process_request=venue.rest, compression=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--symbols", type=int, default=300)
    parser.add_argument("--trades-per-second", type=int, default=20_000)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.port, arguments.symbols, arguments.trades_per_second))


if __name__ == "__main__":
    main()
