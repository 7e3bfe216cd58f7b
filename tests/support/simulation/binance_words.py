"""Binance spot in its own words: combined streams, miniTicker as the clock, trades by number, klines that open at their first trade."""

from collections.abc import Callable

import msgspec

from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.binance.feed import BinanceFeed
from shared.exchanges.binance.instruments import BINANCE_RULES
from shared.exchanges.binance.rest import BinanceRest
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


class BinanceWords:
    """Trades are numbered."""

    rules = BINANCE_RULES
    make_feed = BinanceFeed
    make_rest = BinanceRest
    clock_stream = _CLOCK_SYMBOL.lower() + "@miniTicker"

    def hear(self, data: bytes) -> tuple[set[str], dict[str, object]]:
        """What a request subscribes, and the answer."""
        request = msgspec.json.decode(data)
        return set(request["params"]), {"result": None, "id": request["id"]}

    def trade_stream(self, symbol: str) -> str:
        return symbol.lower() + "@trade"

    def trade_frame(self, symbol: str, trade: MadeTrade) -> bytes:
        return trade_frame(symbol, trade)

    def clock_frame(self, at_ms: int) -> bytes:
        return clock_frame(at_ms)

    def answers(self, market: Market, now_ms: Callable[[], int]) -> dict[str, Callable[[dict[str, str]], object]]:
        """By path, from the parameters."""
        rest = _Rest(market, now_ms)
        return {
            "/api/v3/time": rest.time,
            "/api/v3/trades": rest.trades,
            "/api/v3/historicalTrades": rest.trades,
            "/api/v3/klines": rest.klines,
            "/api/v3/exchangeInfo": rest.info,
        }


def trade_frame(symbol: str, trade: MadeTrade) -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{trade.at_ms + 1},"s":"{symbol}",'
        f'"t":{trade.trade_id},"p":"{price_text(trade.price)}","q":"{quantity_text(trade.quantity)}",'
        f'"T":{trade.at_ms},"m":{"true" if trade.buyer_is_maker else "false"},"M":true}}}}'
    ).encode()


def clock_frame(at_ms: int) -> bytes:
    stream = _CLOCK_SYMBOL.lower() + "@miniTicker"
    return f'{{"stream":"{stream}","data":{{"e":"24hrMiniTicker","E":{at_ms},"s":"{_CLOCK_SYMBOL}"}}}}'.encode()


class _Rest:
    def __init__(self, market: Market, now_ms: Callable[[], int]) -> None:
        self._market = market
        self._now_ms = now_ms

    def time(self, _: dict[str, str]) -> object:
        return {"serverTime": self._now_ms()}

    def trades(self, parameters: dict[str, str]) -> object:
        trades = self._market.up_to(parameters["symbol"], self._now_ms())
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

    def klines(self, parameters: dict[str, str]) -> object:
        timeframe = Timeframe(parameters["interval"])
        first_ms = max(int(parameters["startTime"]), START_MS - HISTORY_MINUTES * MINUTE_MS)
        opens = range(timeframe.open_time_ms(first_ms), int(parameters["endTime"]) + 1, timeframe.duration_ms)
        rows = [self._market.kline(parameters["symbol"], timeframe, open_ms) for open_ms in opens]
        return [row for row in rows if row is not None and int(str(row[0])) <= self._now_ms()][:_LIMIT_MAX]

    def info(self, parameters: dict[str, str]) -> object:
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
