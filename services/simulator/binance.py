"""Binance spot's requests: SUBSCRIBE on the combined stream, REST queries. Only a tape numbers its trades as Binance does."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from services.simulator.connections import Connection
from services.simulator.core import binance_wire as wire
from services.simulator.core.instruments import Instrument
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.core.wire import encode
from services.simulator.simulation import Simulation

_LIMIT_DEFAULT, _LIMIT_MAX = 500, 1000
_INVALID_REQUEST = 2


class Operation(msgspec.Struct):
    """What a client sends: {"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}."""

    method: str
    params: list[str] = []
    id: int | None = None


class RefusedError(ValueError):
    """A REST request that Binance would refuse with a code and HTTP status 400."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = wire.error(code, message)


def answer(simulation: Simulation, connection: Connection, text: str) -> None:
    """Answers one message of a client and carries it out; streams of unknown symbols are acknowledged, as there."""
    try:
        operation = msgspec.json.decode(text, type=Operation)
    except msgspec.DecodeError as error:
        refusal = wire.error(_INVALID_REQUEST, f"Invalid request: {error}")
        connection.send(encode({"error": refusal, "id": None}))
        return
    match operation.method:
        case "SUBSCRIBE":
            simulation.hub.subscribe(connection, operation.params)
        case "UNSUBSCRIBE":
            simulation.hub.unsubscribe(connection, operation.params)
        case _:
            refusal = wire.error(_INVALID_REQUEST, f"Invalid request: unknown method {operation.method}")
            connection.send(encode({"error": refusal, "id": operation.id}))
            return
    connection.send(encode({"result": None, "id": operation.id}))


def _integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise RefusedError(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _limit(request: Request) -> int:
    return min(max(1, _integer(request, "limit", _LIMIT_DEFAULT)), _LIMIT_MAX)


def _instrument(simulation: Simulation, symbol: str) -> Instrument:
    if simulation.market.numbers(symbol) is None:
        raise RefusedError(*wire.INVALID_SYMBOL)
    return simulation.market.instruments[symbol]


async def _time(simulation: Simulation, _: Request) -> Any:
    return {"serverTime": simulation.now_ms()}


async def _trades(simulation: Simulation, request: Request) -> Any:
    """The newest trades, oldest first."""
    instrument = _instrument(simulation, request.query_params.get("symbol", ""))
    return _rows(simulation, instrument, None, _limit(request))


async def _historical_trades(simulation: Simulation, request: Request) -> Any:
    """Trades from an id on, oldest first; the newest without one."""
    instrument = _instrument(simulation, request.query_params.get("symbol", ""))
    from_id = _integer(request, "fromId", -1)
    return _rows(simulation, instrument, from_id if from_id >= 0 else None, _limit(request))


def _rows(simulation: Simulation, instrument: Instrument, from_id: int | None, limit: int) -> list[wire.Json]:
    trades = simulation.market.numbered(instrument.symbol, simulation.now_ms(), from_id, limit)
    return [wire.rest_trade(instrument, trades, row) for row in range(trades.at_ms.size)]


async def _klines(simulation: Simulation, request: Request) -> Any:
    """Bars that begin in [startTime, endTime], oldest first, the forming one included."""
    instrument = _instrument(simulation, request.query_params.get("symbol", ""))
    interval = request.query_params.get("interval", "")
    if interval not in wire.INTERVALS:
        raise RefusedError(-1120, "Invalid interval.")
    now_ms = simulation.now_ms()
    end_ms = min(_integer(request, "endTime", now_ms), now_ms)
    start_ms = _integer(request, "startTime", -1)
    trades = simulation.market.numbered(instrument.symbol, now_ms, 0, None)
    first = -(-start_ms // MINUTE_MS) if start_ms >= 0 else simulation.market.first_minute
    rows = wire.kline_rows(instrument, trades, interval, first, end_ms // MINUTE_MS)
    limit = _limit(request)
    return rows[:limit] if start_ms >= 0 else rows[-limit:]


async def _exchange_info(simulation: Simulation, request: Request) -> Any:
    """All markets, one, or those of a JSON list; one unknown symbol refuses the request."""
    wanted = [name for name in simulation.market.instruments if simulation.market.numbers(name) is not None]
    if "symbol" in request.query_params:
        wanted = [request.query_params["symbol"]]
    elif "symbols" in request.query_params:
        try:
            wanted = msgspec.json.decode(request.query_params["symbols"], type=list[str])
        except msgspec.DecodeError as error:
            raise RefusedError(-1100, "Illegal characters found in parameter 'symbols'.") from error
    rows = [wire.symbol_row(_instrument(simulation, symbol)) for symbol in wanted]
    return {"timezone": "UTC", "serverTime": simulation.now_ms(), "rateLimits": [], "symbols": rows}


_QUERIES: dict[str, Callable[[Simulation, Request], Awaitable[Any]]] = {
    "time": _time,
    "trades": _trades,
    "historicalTrades": _historical_trades,
    "klines": _klines,
    "exchangeInfo": _exchange_info,
}


def add_routes(app: FastAPI, simulation: Simulation) -> None:
    """Binance's REST paths; the WebSocket stands beside Bybit's, as both are served alike."""

    async def query(request: Request) -> Response:
        if simulation.wall_ms() < simulation.rest_down_until_ms:
            simulation.counters["rest_refused"] += 1
            return Response("Service Unavailable", status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        simulation.counters["rest_requests"] += 1
        handler = _QUERIES.get(request.path_params["name"])
        if handler is None:
            return Response("Not Found", status_code=HTTPStatus.NOT_FOUND)
        try:
            content, status = await handler(simulation, request), HTTPStatus.OK
        except RefusedError as error:
            content, status = error.body, HTTPStatus.BAD_REQUEST
        return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")

    app.add_api_route("/api/v3/{name}", query, methods=["GET"], response_model=None)
