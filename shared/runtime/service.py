"""The skeleton of a process: adapters, signals, status, bounded shutdown, one line for every fatal error."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn

import structlog

from shared.domain.errors import PermanentError
from shared.runtime.adapters import chosen, open_adapters
from shared.runtime.logs import configure_logging, redact
from shared.runtime.metrics import Metrics
from shared.runtime.observed_bus import ObservedBus
from shared.runtime.observing import observed
from shared.runtime.service_context import ServiceContext, SettingsT
from shared.runtime.settings import require_writable
from shared.runtime.topology import load_topology

__all__ = ["ServiceContext", "SettingsT", "fail", "open_context", "run_service"]

EXIT_CONFIGURATION: Final = 2
EXIT_FAILURE: Final = 1
_CANCEL_SECONDS_MAX: Final = 0.5
_CLOSE_SECONDS_MAX: Final = 2.0  # after SHUTDOWN_SECONDS_MAX, until the process is cut off: 9.5 s after SIGTERM


@contextlib.asynccontextmanager
async def open_context(name: str, settings: SettingsT) -> AsyncIterator[ServiceContext[SettingsT]]:
    """Open the adapters that the settings choose, and close them again."""
    if chosen(settings).embedded:
        require_writable(settings.data_dir, "DATA_DIR")
    topology, clock = load_topology(), settings.clock()
    metrics = Metrics(name, observed=settings.is_observed, market_speed=settings.market_clock_speed)
    async with open_adapters(settings, topology, clock, service=name) as adapters:
        yield ServiceContext(
            name=name,
            settings=settings,
            bus=ObservedBus(adapters.bus, metrics, clock, structlog.get_logger().bind(service=name)),
            store=adapters.store,
            cache=adapters.cache,
            clock=clock,
            topology=topology,
            stopping=asyncio.Event(),
            metrics=metrics,
        )


Start = Callable[[ServiceContext[SettingsT]], Awaitable[None]]


def run_service(name: str, settings_class: type[SettingsT], start: Start[SettingsT]) -> NoReturn:
    """Run the service until SIGTERM or SIGINT; exit 0 then, 2 on a wrong setting, 1 on any other fatal error."""
    try:
        settings = settings_class.load()
        configure_logging(settings)
        asyncio.run(_run(name, settings, start))
    except Exception as error:  # noqa: BLE001 - the last resort: one line for people, the trace for the log
        root = _root(error)
        if isinstance(root, PermanentError | OSError):
            fail(name, root, EXIT_CONFIGURATION)
        structlog.get_logger().exception("service_failed", service=name)
        fail(name, root, EXIT_FAILURE)
    sys.exit(0)


def fail(name: str, error: BaseException, code: int) -> NoReturn:
    """One line on standard error, then exit."""
    print(f"{name}: {redact(' '.join(str(error).split())) or type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201 - for people
    sys.exit(code)


async def _run(name: str, settings: SettingsT, start: Start[SettingsT]) -> None:
    async with open_context(name, settings) as context, observed(context):
        _stop_on_signals(context)
        context.log.info("service_started", instance_id=settings.instance_id, pid=os.getpid())
        task = asyncio.ensure_future(start(context))
        stop = asyncio.ensure_future(context.stopping.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            await asyncio.wait({task}, timeout=settings.shutdown_seconds_max)
        if not task.done():
            context.log.warning("shutdown_forced", seconds=settings.shutdown_seconds_max)
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_SECONDS_MAX)
            return
        task.result()
        context.log.info("service_stopped")


def _stop_on_signals(context: ServiceContext[Any]) -> None:
    """SIGTERM, SIGINT: end in good order; what hangs even so (the event loop, a driver) is cut off, which loses as little
    as a kill. The handler is the interpreter's, not the event loop's, which may be what hangs.
    """
    loop = asyncio.get_running_loop()
    seconds = context.settings.shutdown_seconds_max + _CLOSE_SECONDS_MAX

    def stop(*_: object) -> None:
        context.vitals.stopping = True
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(context.stopping.set)
        watchdog = threading.Timer(seconds, os._exit, (EXIT_FAILURE,))
        watchdog.daemon = True
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _root(error: BaseException) -> BaseException:
    """What went wrong: of tasks that ended together, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
