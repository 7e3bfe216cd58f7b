"""Bybit v5's public messages, as recorded from wss://stream.bybit.com/v5/public/linear on 2026-08-09.

Trade frame, one or more trades of one topic; trades of one match event share T and seq:
    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310819681,"data":[{"T":1786310819680,"s":"BTCUSDT",
     "S":"Sell","v":"0.004","p":"65114.20","L":"MinusTick","i":"a9188a0a-…","BT":false,"RPI":false,"seq":753843954913}]}
Kline frame: prices and sums without trailing zeros; when a minute ends, one frame carries it with confirm true
together with the minute that begins.
REST answers stand in an envelope {"retCode","retMsg","result","retExtInfo","time"}.
"""

from typing import Any

import msgspec

from services.simulator.core.bars import INTERVAL_MINUTES, Bars
from services.simulator.core.instruments import Instrument, plain, trimmed
from services.simulator.core.late_trades import LateTrade
from services.simulator.core.minute_trades import MINUTE_MS, TICK_DIRECTIONS, MinuteTrades, event_ends

Json = dict[str, Any]
REST_PARAMETER_ERROR = 10001


def encode(message: Json) -> str:
    """Compact JSON text."""
    return msgspec.json.encode(message).decode()


def acknowledgement(operation: str, connection_id: str, request_id: str, refusal: str = "") -> Json:
    """Answer to subscribe or unsubscribe; with a refusal, success is false and nothing was changed."""
    return {
        "success": not refusal,
        "ret_msg": refusal,
        "conn_id": connection_id,
        "req_id": request_id,
        "op": operation,
    }


def pong(connection_id: str, request_id: str) -> Json:
    """Answer to {"op":"ping"}: Bybit repeats op "ping" and says pong in ret_msg."""
    return {"success": True, "ret_msg": "pong", "conn_id": connection_id, "req_id": request_id, "op": "ping"}


def trade_row(instrument: Instrument, trades: MinuteTrades, row: int) -> Json:
    """One trade of a publicTrade frame."""
    return {
        "T": int(trades.at_ms[row]),
        "s": instrument.symbol,
        "S": "Buy" if trades.is_buy[row] else "Sell",
        "v": instrument.quantity_text(int(trades.steps[row])),
        "p": instrument.price_text(int(trades.ticks[row])),
        "L": TICK_DIRECTIONS[int(trades.direction[row])],
        "i": trades.trade_ids[row],
        "BT": False,
        "RPI": False,
        "seq": int(trades.sequence[row]),
    }


def late_row(instrument: Instrument, trade: LateTrade) -> Json:
    """A late trade as a row of a publicTrade frame."""
    return {
        "T": trade.at_ms,
        "s": instrument.symbol,
        "S": "Buy" if trade.is_buy else "Sell",
        "v": instrument.quantity_text(trade.steps),
        "p": instrument.price_text(trade.ticks),
        "L": "PlusTick",
        "i": trade.trade_id,
        "BT": False,
        "RPI": False,
        "seq": trade.sequence,
    }


def trade_frame(symbol: str, rows: list[Json], ts_ms: int) -> Json:
    """A publicTrade frame."""
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": ts_ms, "data": rows}


def trade_frames(instrument: Instrument, trades: MinuteTrades) -> list[tuple[int, Json]]:
    """One frame per match event as (T, frame), oldest first; ts is a millisecond after the match."""
    frames = []
    first = 0
    for end in event_ends(trades):
        rows = [trade_row(instrument, trades, row) for row in range(first, end)]
        at_ms = int(trades.at_ms[first])
        frames.append((at_ms, trade_frame(instrument.symbol, rows, at_ms + 1)))
        first = end
    return frames


def kline_row(instrument: Instrument, bars: Bars, row: int) -> dict[str, str]:
    """Prices and sums of one bar as text, without trailing zeros."""
    return {
        "open": trimmed(instrument.price_text(int(bars.open[row]))),
        "close": trimmed(instrument.price_text(int(bars.close[row]))),
        "high": trimmed(instrument.price_text(int(bars.high[row]))),
        "low": trimmed(instrument.price_text(int(bars.low[row]))),
        "volume": trimmed(instrument.quantity_text(int(bars.volume[row]))),
        "turnover": instrument.turnover_text(int(bars.turnover[row])),
    }


def kline_frame(instrument: Instrument, interval: str, bars: Bars, now_ms: int) -> Json:
    """A kline frame of consecutive bars; all that end before now are confirmed."""
    data = []
    length_ms = INTERVAL_MINUTES[interval] * MINUTE_MS
    for row in range(bars.size):
        start_ms = int(bars.start_minute[row]) * MINUTE_MS
        data.append(
            {
                "start": start_ms,
                "end": start_ms + length_ms - 1,
                "interval": interval,
                **kline_row(instrument, bars, row),
                "confirm": start_ms + length_ms <= now_ms,
                "timestamp": now_ms,
            }
        )
    return {"topic": f"kline.{interval}.{instrument.symbol}", "data": data, "ts": now_ms, "type": "snapshot"}


def envelope(result: Json, now_ms: int) -> Json:
    """A successful REST answer."""
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms}


def error_envelope(message: str, now_ms: int, code: int = REST_PARAMETER_ERROR) -> Json:
    """A refused REST request; Bybit answers these with HTTP status 200."""
    return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": now_ms}


def recent_trade_row(instrument: Instrument, trades: MinuteTrades, row: int) -> Json:
    """One trade of GET /v5/market/recent-trade."""
    return {
        "execId": trades.trade_ids[row],
        "symbol": instrument.symbol,
        "price": instrument.price_text(int(trades.ticks[row])),
        "size": instrument.quantity_text(int(trades.steps[row])),
        "side": "Buy" if trades.is_buy[row] else "Sell",
        "time": str(trades.at_ms[row]),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(trades.sequence[row]),
    }


def rest_kline_rows(instrument: Instrument, bars: Bars) -> list[list[str]]:
    """Rows of GET /v5/market/kline, newest first."""
    rows = []
    for row in range(bars.size - 1, -1, -1):
        text = kline_row(instrument, bars, row)
        names = ("open", "high", "low", "close", "volume", "turnover")
        rows.append([str(int(bars.start_minute[row]) * MINUTE_MS), *(text[name] for name in names)])
    return rows


def instrument_row(instrument: Instrument, symbol_id: int, launch_ms: int) -> Json:
    """One instrument of GET /v5/market/instruments-info?category=linear."""
    tick = plain(instrument.tick_scaled, instrument.price_scale)
    step = plain(instrument.step_scaled, instrument.quantity_scale)
    largest_price = plain(instrument.tick_scaled * 19_999_998, instrument.price_scale)
    largest_order = plain(instrument.step_scaled * 1_500_000, instrument.quantity_scale)
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": str(launch_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_scale),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": largest_price, "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": largest_order,
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": largest_order,
            "maxMktOrderQty": largest_order,
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
        "symbolId": symbol_id,
    }


def bad_frame(kind: str, instrument: Instrument, last: Json, now_ms: int) -> str:
    """The text of a frame that a client must refuse; `last` is a well-formed trade row of the symbol."""
    row = {**last, "T": now_ms, "i": f"bad-{kind}-{now_ms}", "seq": now_ms * 4 + 3}
    symbol = instrument.symbol
    if kind == "malformed":
        return encode(trade_frame(symbol, [row], now_ms))[:-17]
    if kind == "unknown_symbol":
        symbol = "NOSUCHUSDT"
        row["s"] = symbol
    elif kind == "negative_price":
        row["p"] = "-" + str(row["p"])
    elif kind == "nan_price":
        row["p"] = "NaN"
    elif kind == "far_time":
        row["T"] = now_ms + 86_400_000
    elif kind == "conflict":
        # The same id again with another price: the one that came first must win.
        row |= {"T": last["T"], "i": last["i"], "seq": last["seq"], "p": instrument.price_text(1)}
    return encode(trade_frame(symbol, [row], now_ms))
