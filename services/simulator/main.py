"""Starts the simulator: `python -m services.simulator.main`."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from pydantic import ValidationError
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from services.simulator.connections import Connection, Hub
from services.simulator.core.bars import interval_start
from services.simulator.core.clock import MarketClock
from services.simulator.core.day_plan import DAY_MINUTES
from services.simulator.core.faults import FaultName, Schedule
from services.simulator.core.generated_source import GeneratedSource
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.core.source import TradeSource
from services.simulator.core.tape_source import TapeError, TapeSource
from services.simulator.handlers import build_app
from services.simulator.settings import Settings
from services.simulator.simulation import Cadence, Simulation
from services.simulator.tape_file import tape_lines

_EXACT_TURNOVER_MINUTES = 26 * 60
_SHUTDOWN_S = 3
_EXIT_CONFIGURATION = 2

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to us, so that SIGTERM ends the process with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def abort_websockets(self, connection: Connection | None) -> None:
        """Breaks the socket of one client, or of all for None, without a close frame."""
        address = connection.socket.client if connection else None
        for protocol in list(self.server_state.connections):
            if not isinstance(protocol, WebSocketsSansIOProtocol):
                continue
            if address is None or protocol.client == (address.host, address.port):
                protocol.transport.abort()


def build_source(settings: Settings) -> TradeSource:
    """The tape when one is set, else the generator. Raises TapeError."""
    if settings.tape is not None:
        chosen = frozenset(settings.symbols) if "symbols" in settings.model_fields_set else frozenset()
        return TapeSource(
            tape_lines(settings.tape),
            name=str(settings.tape),
            origin_market_ms=settings.origin_market_ms,
            symbols=chosen,
        )
    origin_minute = settings.origin_market_ms // MINUTE_MS
    return GeneratedSource(
        settings.symbols,
        seed=settings.seed,
        slot_minutes=settings.event_every_minutes,
        first_minute=interval_start(origin_minute - settings.history_days * DAY_MINUTES, "W"),
        exact_from_minute=origin_minute - _EXACT_TURNOVER_MINUTES,
    )


def build_simulation(settings: Settings) -> Simulation:
    """The simulation as the settings say, without a server."""
    market = Market(build_source(settings))
    clock = MarketClock(
        origin_wall_ms=settings.origin_wall_ms, origin_market_ms=settings.origin_market_ms, speed=settings.speed
    )
    every_s: dict[FaultName, float] = {
        "late_trade": settings.late_trade_every_s,
        "duplicate": settings.duplicate_every_s,
        "malformed": settings.bad_frame_every_s,
        "cut": settings.cut_every_s,
    }
    schedules = [
        Schedule(
            seed=settings.seed,
            fault=fault,
            every_ms=int(seconds * 1000),
            symbols=tuple(market.instruments),
            seconds=settings.cut_refuse_s if fault == "cut" else 0.0,
            delay_s=settings.late_trade_delay_s,
        )
        for fault, seconds in every_s.items()
        if seconds > 0
    ]
    cadence = Cadence(ticker_ms=settings.ticker_interval_ms, kline_ms=settings.kline_interval_ms)
    return Simulation(market, clock, Hub(), schedules=schedules, cadence=cadence)


def build_server(settings: Settings) -> tuple[_Server, Simulation]:
    """Server and simulation, not started; the simulation steps as long as the server lives."""
    simulation = build_simulation(settings)

    async def pump() -> None:
        while True:
            simulation.step()
            await asyncio.sleep(settings.pump_interval_ms / 1000)

    @contextlib.asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        task = asyncio.create_task(pump())
        task.add_done_callback(_stop_on_failure)
        yield
        task.cancel()

    def _stop_on_failure(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("market_stopped", error=repr(task.exception()))
            server.should_exit = True

    app = build_app(simulation, ping_timeout_s=settings.ping_timeout_s, frames_queued_max=settings.frames_queued_max)
    app.router.lifespan_context = lifespan
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )
    simulation.hub.abort = server.abort_websockets
    return server, simulation


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Raises OSError when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(server: _Server, listener: socket.socket) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listener])


def main() -> int:
    """Runs until SIGTERM; returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = Settings()
        listener = listen(settings)
        server, simulation = build_server(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        prefix = "" if field.isupper() else Settings.model_config.get("env_prefix", "")  # some have names of their own
        name = f"{prefix}{field}".upper() or "settings"
        reason = first["msg"].removeprefix("Value error, ")
        given = "" if "was" in reason else f", was {first['input']!r}"
        return _refuse(f"{name}: {reason}{given}; correct the environment variable")
    except TapeError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(
            f"port {settings.port} on {settings.host} is not free ({error.strerror}); "
            "stop what listens there or set SIMULATOR_PORT"
        )
    port = listener.getsockname()[1]
    log.info("simulator_started", port=port, speed=settings.speed, seed=settings.seed, market_ms=simulation.now_ms())
    asyncio.run(_serve(server, listener))
    log.info("simulator_stopped", **simulation.counters)
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"simulator: {reason}\n")
    return _EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
