"""Requests of clients: WebSocket operations, REST queries, fault orders."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

from services.simulator import binance, kraken
from services.simulator.connections import Connection
from services.simulator.core import wire
from services.simulator.core.bars import INTERVAL_MINUTES, Bars, interval_start, joined, rolled_up, rows
from services.simulator.core.faults import FaultOrderError, decode_order
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.simulation import Simulation

_TRADES_DEFAULT, _KLINES_DEFAULT, _INSTRUMENTS_DEFAULT, _LIMIT_MAX = 500, 200, 500, 1000
_CLOSE_NO_PING = 1000

log = structlog.get_logger()


class Operation(msgspec.Struct):
    """What a client sends: {"op":"subscribe","args":["publicTrade.BTCUSDT"],"req_id":"1"}."""

    op: str
    args: list[str] = []
    req_id: str = ""


class QueryError(ValueError):
    """A REST parameter Bybit would refuse with retCode 10001."""


def refusal_of(topic: str, symbols: dict[str, Any]) -> str:
    """Why a topic cannot be subscribed, in Bybit's words; empty when it can."""
    match topic.split("."):
        case ["publicTrade" | "tickers" | "allLiquidation", symbol]:
            known = True
        case ["kline", interval, symbol]:
            known = interval in INTERVAL_MINUTES
        case _:
            known, symbol = False, ""
    if not known:
        return f"error:handler not found,topic:{topic}"
    return "" if symbol in symbols else f"Invalid symbol :[{topic}]"


def answer(simulation: Simulation, connection: Connection, text: str) -> None:
    """Answers one message of a client and carries it out."""
    try:
        operation = msgspec.json.decode(text, type=Operation)
    except msgspec.DecodeError as error:
        reply = wire.acknowledgement("", connection.connection_id, "", f"error:invalid request,{error}")
        connection.send(wire.encode(reply))
        return
    if operation.op == "ping":
        connection.last_ping_s = time.monotonic()
        connection.send(wire.encode(wire.pong(connection.connection_id, operation.req_id)))
        return
    if operation.op not in {"subscribe", "unsubscribe"}:
        refusal = f"error:op not supported,op:{operation.op}"
    elif not operation.args:
        refusal = "error:args is empty"
    else:
        refusals = (refusal_of(topic, simulation.market.instruments) for topic in operation.args)
        refusal = next((text for text in refusals if text), "")
    reply = wire.acknowledgement(operation.op, connection.connection_id, operation.req_id, refusal)
    connection.send(wire.encode(reply))
    if refusal:
        return
    if operation.op == "subscribe":
        fresh = [topic for topic in operation.args if topic not in connection.topics]
        simulation.hub.subscribe(connection, fresh)
        simulation.greet(connection, fresh)
    else:
        simulation.hub.unsubscribe(connection, operation.args)


async def serve_client(
    simulation: Simulation,
    socket: WebSocket,
    *,
    ping_timeout_s: float,
    frames_queued_max: int,
    answer: Callable[[Simulation, Connection, str], None] = answer,
) -> None:
    """One client from its connection to its end; it is dropped when it sends no ping for too long."""
    if simulation.wall_ms() < simulation.refuse_until_ms:
        simulation.counters["refused_connections"] += 1
        await socket.close()
        return
    await socket.accept()
    connection = Connection(socket, frames_queued_max)
    connection.silent = simulation.wall_ms() < simulation.silence_until_ms
    simulation.hub.add(connection)
    simulation.counters["connections"] += 1
    writer = asyncio.create_task(connection.write())
    try:
        while True:
            remaining_s = connection.last_ping_s + ping_timeout_s - time.monotonic() if ping_timeout_s else None
            answer(simulation, connection, await asyncio.wait_for(socket.receive_text(), remaining_s))
    except TimeoutError:
        log.info("client_without_ping_dropped", conn_id=connection.connection_id)
        simulation.counters["dropped_without_ping"] += 1
        await socket.close(_CLOSE_NO_PING)
    except (WebSocketDisconnect, KeyError, RuntimeError):
        # KeyError: a binary message, which Bybit does not speak. RuntimeError: closed from this side meanwhile.
        log.info("client_gone", conn_id=connection.connection_id)
    finally:
        simulation.hub.remove(connection)
        writer.cancel()


def _integer(request: Request, name: str, default: int, minimum: int = 0) -> int:
    text = request.query_params.get(name)
    if text is None or not text:
        return default
    try:
        value = int(text)
    except ValueError as error:
        raise QueryError(f"params error: {name} invalid") from error
    if value < minimum:
        raise QueryError(f"params error: {name} invalid")
    return value


def _symbol(simulation: Simulation, request: Request) -> str:
    if request.query_params.get("category") != "linear":
        raise QueryError("params error: category invalid")
    symbol = request.query_params.get("symbol", "")
    if symbol not in simulation.market.instruments:
        raise QueryError("params error: symbol invalid")
    return symbol


async def market_time(simulation: Simulation, _: Request) -> wire.Json:
    """GET /v5/market/time."""
    now_ms = simulation.now_ms()
    return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}


async def recent_trade(simulation: Simulation, request: Request) -> wire.Json:
    """GET /v5/market/recent-trade: the newest trades, newest first, at most 1,000, no paging."""
    symbol = _symbol(simulation, request)
    limit = min(_integer(request, "limit", _TRADES_DEFAULT, 1), _LIMIT_MAX)
    instrument = simulation.market.instruments[symbol]
    found = simulation.market.recent(symbol, simulation.now_ms(), limit)
    listed = [wire.recent_trade_row(instrument, trades, row) for trades, row in found]
    return {"category": "linear", "list": listed}


async def kline(simulation: Simulation, request: Request) -> wire.Json:
    """GET /v5/market/kline: bars that begin in [start, end], newest first, the forming one included.

    With start alone the oldest `limit` bars from there, else the newest `limit` up to the end.
    """
    symbol = _symbol(simulation, request)
    interval = request.query_params.get("interval", "")
    if interval not in INTERVAL_MINUTES:
        raise QueryError("params error: interval invalid")
    now_ms = simulation.now_ms()
    limit = min(_integer(request, "limit", _KLINES_DEFAULT, 1), _LIMIT_MAX)
    start_ms, end_ms = _integer(request, "start", -1), min(_integer(request, "end", now_ms), now_ms)
    length = INTERVAL_MINUTES[interval]
    last = interval_start(end_ms // MINUTE_MS, interval)
    first = last - (limit - 1) * length
    if start_ms >= 0:
        # A bar that began before start is not asked for.
        first_wanted = interval_start((start_ms + length * MINUTE_MS - 1) // MINUTE_MS, interval)
        if "end" in request.query_params:
            first = max(first, first_wanted)
        else:
            first, last = first_wanted, min(last, first_wanted + (limit - 1) * length)
    pieces: list[Bars] = []
    for piece in simulation.market.kline_pieces(symbol, interval, first, last + length - 1, now_ms):
        pieces.append(piece)
        await asyncio.sleep(0)
    bars = rolled_up(joined(pieces), interval)
    bars = rows(bars, slice(max(0, bars.size - limit), bars.size))
    listed = wire.rest_kline_rows(simulation.market.instruments[symbol], bars)
    return {"symbol": symbol, "category": "linear", "list": listed}


async def instruments_info(simulation: Simulation, request: Request) -> wire.Json:
    """GET /v5/market/instruments-info: one symbol, or pages by cursor."""
    if request.query_params.get("category") != "linear":
        raise QueryError("params error: category invalid")
    limit = min(_integer(request, "limit", _INSTRUMENTS_DEFAULT, 1), _LIMIT_MAX)
    instruments = simulation.market.instruments
    launch_ms = simulation.market.first_minute * MINUTE_MS
    numbered = [(number, instrument) for number, instrument in enumerate(instruments.values(), start=1)]
    if request.query_params.get("symbol"):
        symbol = _symbol(simulation, request)
        numbered = [pair for pair in numbered if pair[1].symbol == symbol]
    first = _integer(request, "cursor", 0)
    page = [
        wire.instrument_row(instrument, number, launch_ms) for number, instrument in numbered[first : first + limit]
    ]
    cursor = str(first + limit) if first + limit < len(numbered) else ""
    return {"category": "linear", "list": page, "nextPageCursor": cursor}


def _json(content: Any, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")


def build_app(simulation: Simulation, *, ping_timeout_s: float, frames_queued_max: int) -> FastAPI:
    """The web application: Bybit's public paths, and /control for faults."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    queries = {
        "time": market_time,
        "recent-trade": recent_trade,
        "kline": kline,
        "instruments-info": instruments_info,
    }

    async def query(request: Request) -> Response:
        if simulation.wall_ms() < simulation.rest_down_until_ms:
            simulation.counters["rest_refused"] += 1
            return Response("Service Unavailable", status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        simulation.counters["rest_requests"] += 1
        handler = queries.get(request.path_params["name"])
        if handler is None:
            return Response("Not Found", status_code=HTTPStatus.NOT_FOUND)
        try:
            result = await handler(simulation, request)
        except QueryError as error:
            return _json(wire.error_envelope(str(error), simulation.now_ms()))
        return _json(wire.envelope(result, simulation.now_ms()))

    async def order_fault(request: Request) -> Response:
        try:
            order = decode_order(await request.body(), frozenset(simulation.market.instruments))
        except FaultOrderError as error:
            return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        return _json({"fault": order.fault, "affected": simulation.apply(order), "state": simulation.state()})

    async def read_state() -> Response:
        return _json(simulation.state())

    async def connect(socket: WebSocket) -> None:
        await serve_client(simulation, socket, ping_timeout_s=ping_timeout_s, frames_queued_max=frames_queued_max)

    app.add_api_route("/v5/market/{name}", query, methods=["GET"], response_model=None)
    app.add_api_route("/control/faults", order_fault, methods=["POST"], response_model=None)
    app.add_api_route("/control/state", read_state, methods=["GET"], response_model=None)

    async def connect_binance(socket: WebSocket) -> None:
        # Binance pings its clients; the server library answers for them, so that no silence of theirs is counted.
        await serve_client(
            simulation, socket, ping_timeout_s=0, frames_queued_max=frames_queued_max, answer=binance.answer
        )

    app.add_api_websocket_route("/v5/public/linear", connect)
    app.add_api_websocket_route("/stream", connect_binance)
    binance.add_routes(app, simulation)
    kraken.add_routes(app, simulation)
    return app
