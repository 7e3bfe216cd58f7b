"""Binance spot's public messages, as recorded from wss://stream.binance.com on 2023-04-05 and as its REST answers.

Trade frame of the combined stream, one trade each:
    {"stream":"btcusdt@trade","data":{"e":"trade","E":1680652800000,"s":"BTCUSDT","t":3071245454,"p":"28165.47000000",
     "q":"0.00056000","b":20720542158,"a":20720542592,"T":1680652799999,"m":true,"M":true}}
A kline opens at its first trade; a bar without trades repeats the close before it.
"""

from typing import Any

import numpy as np

from services.simulator.core.bars import interval_start
from services.simulator.core.instruments import Instrument, plain
from services.simulator.core.minute_trades import MINUTE_MS, MinuteTrades

Json = dict[str, Any]
INTERVALS = {
    "1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "2h": "120", "4h": "240", "6h": "360",
    "12h": "720", "1d": "D", "1w": "W",
}  # fmt: skip
TRADE_STREAM = "@trade"
CLOCK_STREAM = "@miniTicker"
INVALID_SYMBOL = (-1121, "Invalid symbol.")


def trade_frame(instrument: Instrument, trades: MinuteTrades, row: int) -> Json:
    """One trade of the stream; the event is sent a millisecond after the match."""
    at_ms, number = int(trades.at_ms[row]), int(trades.trade_ids[row])
    return {
        "stream": instrument.symbol.lower() + TRADE_STREAM,
        "data": {
            "e": "trade",
            "E": at_ms + 1,
            "s": instrument.symbol,
            "t": number,
            "p": instrument.price_text(int(trades.ticks[row])),
            "q": instrument.quantity_text(int(trades.steps[row])),
            "b": 2 * number,
            "a": 2 * number + 1,
            "T": at_ms,
            "m": not bool(trades.is_buy[row]),
            "M": True,
        },
    }


def clock_frame(instrument: Instrument, ticks: int, now_ms: int) -> Json:
    """A mini ticker, of which clients read the time."""
    data = {"e": "24hrMiniTicker", "E": now_ms, "s": instrument.symbol, "c": instrument.price_text(ticks)}
    return {"stream": instrument.symbol.lower() + CLOCK_STREAM, "data": data}


def rest_trade(instrument: Instrument, trades: MinuteTrades, row: int) -> Json:
    """One trade of GET /api/v3/trades and /api/v3/historicalTrades."""
    ticks, steps = int(trades.ticks[row]), int(trades.steps[row])
    return {
        "id": int(trades.trade_ids[row]),
        "price": instrument.price_text(ticks),
        "qty": instrument.quantity_text(steps),
        "quoteQty": instrument.turnover_text(ticks * steps),
        "time": int(trades.at_ms[row]),
        "isBuyerMaker": not bool(trades.is_buy[row]),
        "isBestMatch": True,
    }


def kline_rows(instrument: Instrument, trades: MinuteTrades, interval: str, first: int, last: int) -> list[list[Any]]:
    """Bars of the interval that begin in minutes first .. last, oldest first, from the market's trades up to now.

    A bar without trades repeats the close before it; before the first trade there is none.
    """
    name = INTERVALS[interval]
    found = []
    minute = interval_start(first, name)
    minute = minute if minute >= first else _next_start(minute, name)
    while minute <= last:
        end = _next_start(minute, name)
        low_row, high_row = np.searchsorted(trades.at_ms, [minute * MINUTE_MS, end * MINUTE_MS]).tolist()
        if high_row:
            found.append(_kline_row(instrument, trades, slice(low_row, high_row), minute, end))
        minute = end
    return found


def _next_start(minute: int, name: str) -> int:
    after = minute + 1
    while interval_start(after, name) == minute:
        after += max(1, interval_start(after + 1, name) - after - 1)
    return interval_start(after, name)


def _kline_row(instrument: Instrument, trades: MinuteTrades, part: slice, minute: int, end: int) -> list[Any]:
    ticks, steps = trades.ticks[part], trades.steps[part]
    if not ticks.size:
        ticks = trades.ticks[part.start - 1 : part.start]
    bought = trades.is_buy[part]
    prices = [int(ticks[0]), int(ticks.max()), int(ticks.min()), int(ticks[-1])]
    traded = trades.ticks[part] * steps
    return [
        minute * MINUTE_MS,
        *(instrument.price_text(price) for price in prices),
        instrument.quantity_text(int(steps.sum())),
        end * MINUTE_MS - 1,
        instrument.turnover_text(int(traded.sum())),
        int(steps.size),
        instrument.quantity_text(int(steps[bought].sum())),
        instrument.turnover_text(int(traded[bought].sum())),
        "0",
    ]


def symbol_row(instrument: Instrument) -> Json:
    """One market of GET /api/v3/exchangeInfo."""
    tick = plain(instrument.tick_scaled, instrument.price_scale)
    step = plain(instrument.step_scaled, instrument.quantity_scale)
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "90000.00000000", "stepSize": step},
        ],
    }


def error(code: int, message: str) -> Json:
    """A refused REST request; Binance answers these with HTTP status 400."""
    return {"code": code, "msg": message}
