"""Bybit linear in its own words: acknowledged topics, tickers as the clock, REST in envelopes, klines that open at the last close."""

from collections.abc import Callable

import msgspec

from shared.domain.timeframe import Timeframe
from shared.exchanges.bybit.feed import BybitFeed
from shared.exchanges.bybit.instruments import BYBIT_RULES
from shared.exchanges.bybit.rest import BybitRest
from tests.support.simulation.market import SYMBOLS, MadeTrade, Market, price_text, quantity_text

_CLOCK = f"tickers.{SYMBOLS[0]}"
_LIMIT_MAX = 1_000


class BybitWords:
    """Execution ids are texts: a frame lost inside a connection could not be noticed, so none is lost there."""

    rules = BYBIT_RULES
    make_feed = BybitFeed
    make_rest = BybitRest
    clock_stream = _CLOCK

    def hear(self, data: bytes) -> tuple[set[str], dict[str, object]]:
        """What a request subscribes, and the answer."""
        request = msgspec.json.decode(data)
        topics = set(request.get("args", ()))
        operation, message = request["op"], "pong" if request["op"] == "ping" else ""
        answer = {"success": True, "ret_msg": message, "conn_id": "simulated", "req_id": request.get("req_id", "")}
        return topics, {**answer, "op": operation}

    def trade_stream(self, symbol: str) -> str:
        return f"publicTrade.{symbol}"

    def trade_frame(self, symbol: str, trade: MadeTrade) -> bytes:
        side = "Sell" if trade.buyer_is_maker else "Buy"
        return (
            f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{trade.at_ms + 1},"data":[{{"T":{trade.at_ms},'
            f'"s":"{symbol}","S":"{side}","v":"{quantity_text(trade.quantity)}","p":"{price_text(trade.price)}",'
            f'"L":"PlusTick","i":"exec-{trade.trade_id}","BT":false,"seq":{trade.trade_id}}}]}}'
        ).encode()

    def clock_frame(self, at_ms: int) -> bytes:
        return f'{{"topic":"{_CLOCK}","type":"delta","ts":{at_ms},"data":{{"symbol":"{SYMBOLS[0]}"}}}}'.encode()

    def answers(self, market: Market, now_ms: Callable[[], int]) -> dict[str, Callable[[dict[str, str]], object]]:
        """By path, from the parameters."""

        def answer(make: Callable[[dict[str, str]], object]) -> Callable[[dict[str, str]], object]:
            def enveloped(parameters: dict[str, str]) -> object:
                return {"retCode": 0, "retMsg": "OK", "result": make(parameters), "retExtInfo": {}, "time": now_ms()}

            return enveloped

        return {
            "/v5/market/time": answer(
                lambda _: {"timeSecond": str(now_ms() // 1000), "timeNano": str(now_ms() * 10**6)}
            ),
            "/v5/market/recent-trade": answer(lambda asked: _recent(market, asked, now_ms())),
            "/v5/market/kline": answer(lambda asked: _klines(market, asked, now_ms())),
            "/v5/market/instruments-info": answer(
                lambda _: {"category": "linear", "nextPageCursor": "", "list": _INFOS}
            ),
        }


def _recent(market: Market, asked: dict[str, str], now_ms: int) -> object:
    trades = market.up_to(asked["symbol"], now_ms)[-int(asked["limit"]) :]
    rows = [
        {
            "execId": f"exec-{trade.trade_id}",
            "symbol": asked["symbol"],
            "price": price_text(trade.price),
            "size": quantity_text(trade.quantity),
            "side": "Sell" if trade.buyer_is_maker else "Buy",
            "time": str(trade.at_ms),
            "seq": str(trade.trade_id),
        }
        for trade in reversed(trades)
    ]
    return {"category": "linear", "list": rows}


def _klines(market: Market, asked: dict[str, str], now_ms: int) -> object:
    timeframe = next(one for one in Timeframe if _INTERVALS[one] == asked["interval"])
    first_ms, last_ms = int(asked["start"]), int(asked["end"])
    opens = range(timeframe.open_time_ms(max(first_ms, market.begin_ms)), last_ms + 1, timeframe.duration_ms)
    rows = [market.kline(asked["symbol"], timeframe, open_ms, opens_at_previous_close=True) for open_ms in opens]
    known = [row for row in rows if row is not None and int(str(row[0])) <= now_ms][-_LIMIT_MAX:]
    return {"category": "linear", "list": [[str(row[0]), *row[1:6], row[7]] for row in reversed(known)]}


_INTERVALS = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.M30: "30",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "D",
    Timeframe.W1: "W",
}
_INFOS = [
    {
        "symbol": symbol,
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "priceFilter": {"tickSize": "0.01"},
        "lotSizeFilter": {"qtyStep": "0.001"},
    }
    for symbol in SYMBOLS
]
