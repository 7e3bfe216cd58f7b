"""Kraken's public REST over the same market, for the macro engine: GET /0/public/Time, AssetPairs and OHLC.

The market's symbols appear under Kraken's names: BTCUSDT is the pair XBT/USDT with the symbol XBTUSDT.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response

from services.simulator.core.bars import INTERVAL_MINUTES, Bars, interval_start, joined, rolled_up, rows
from services.simulator.core.day_plan import DAY_MINUTES
from services.simulator.core.instruments import Instrument, plain
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.simulation import Simulation

_ROWS_MAX: Final = 720
_ASSETS: Final = {"BTC": "XBT", "DOGE": "XDG"}
_INTERVALS: Final = {"1": "1", "5": "5", "15": "15", "30": "30", "60": "60", "240": "240", "1440": "D"}
_PAIR: Final = "EQuery:Unknown asset pair"
_ARGUMENTS: Final = "EGeneral:Invalid arguments"


class KrakenError(ValueError):
    """What Kraken answers in `error`."""


def add_routes(app: FastAPI, simulation: Simulation) -> None:
    """Answer Kraken's paths, too."""
    queries = {"Time": _time, "AssetPairs": _pairs, "OHLC": _ohlc}

    async def query(request: Request) -> Response:
        if simulation.wall_ms() < simulation.rest_down_until_ms:
            simulation.counters["rest_refused"] += 1
            return _json({"error": ["EService:Unavailable"]})
        simulation.counters["rest_requests"] += 1
        handler = queries.get(request.path_params["name"])
        if handler is None:
            return _json({"error": ["EGeneral:Unknown method"]}, HTTPStatus.NOT_FOUND)
        try:
            return _json({"error": [], "result": await handler(simulation, request)})
        except KrakenError as error:
            return _json({"error": [str(error)]})

    app.add_api_route("/0/public/{name}", query, methods=["GET"], response_model=None)


async def _time(simulation: Simulation, _: Request) -> dict[str, Any]:
    return {"unixtime": simulation.now_ms() // 1000, "rfc1123": ""}


async def _pairs(simulation: Simulation, _: Request) -> dict[str, Any]:
    return {_symbol(item): _pair(item) for item in simulation.market.instruments.values()}


async def _ohlc(simulation: Simulation, request: Request) -> dict[str, Any]:
    """At most the newest 720 rows with time > since, the forming one last."""
    wanted = request.query_params.get("pair", "")
    instrument = next((i for i in simulation.market.instruments.values() if _symbol(i) == wanted), None)
    if instrument is None:
        raise KrakenError(_PAIR)
    interval = _INTERVALS.get(request.query_params.get("interval", "1"))
    since = request.query_params.get("since", "0")
    if interval is None or not since.isdecimal():
        raise KrakenError(_ARGUMENTS)
    now_ms = simulation.now_ms()
    length = INTERVAL_MINUTES[interval]
    last = interval_start(now_ms // MINUTE_MS, interval)
    first = max(last - (_ROWS_MAX - 1) * length, int(since) // 60 // length * length + length)
    bars = await _bars(simulation, instrument.symbol, max(first, simulation.market.first_minute))
    bars = rolled_up(bars, interval)
    bars = rows(bars, slice(max(0, bars.size - _ROWS_MAX), bars.size))
    return {_symbol(instrument): [_row(instrument, bars, i) for i in range(bars.size)], "last": (last - length) * 60}


async def _bars(simulation: Simulation, symbol: str, first: int) -> Bars:
    """One-minute bars from the minute on, the forming one last. Their turnover is an estimate: nothing reads Kraken's vwap."""
    market, now_ms = simulation.market, simulation.now_ms()
    now = now_ms // MINUTE_MS
    pieces = []
    for day in range(first // DAY_MINUTES, now // DAY_MINUTES + 1):
        begin, end = max(first, day * DAY_MINUTES), min(now - 1, day * DAY_MINUTES + DAY_MINUTES - 1)
        if begin <= end:
            pieces.append(market.quick_bars(symbol, begin, end))
            await asyncio.sleep(0)
    return joined([*pieces, market.forming_minute(symbol, now_ms)])


def _symbol(instrument: Instrument) -> str:
    return f"{_ASSETS.get(instrument.base, instrument.base)}{instrument.quote}"


def _pair(instrument: Instrument) -> dict[str, Any]:
    base = _ASSETS.get(instrument.base, instrument.base)
    return {
        "altname": _symbol(instrument),
        "wsname": f"{base}/{instrument.quote}",
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": instrument.quote,
        "pair_decimals": instrument.price_scale,
        "lot_decimals": 8,
        "ordermin": plain(instrument.step_scaled, instrument.quantity_scale),
        "status": "online",
    }


def _row(instrument: Instrument, bars: Bars, row: int) -> list[Any]:
    prices = [instrument.price_text(int(column[row])) for column in (bars.open, bars.high, bars.low, bars.close)]
    volume, turnover = int(bars.volume[row]), int(bars.turnover[row])
    mean = instrument.price_text(round(turnover / volume)) if volume else "0.0"
    # The market counts trades by minute only; a row of several minutes says that there were some.
    return [int(bars.start_minute[row]) * 60, *prices, mean, instrument.quantity_text(volume), int(volume > 0)]


def _json(content: Any, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")
