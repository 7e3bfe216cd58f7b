"""The skeleton of a process: adapters, signals, status, bounded shutdown, one line for every fatal error."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
import structlog

from shared.bus.port import Bus
from shared.cache.port import Cache
from shared.domain.errors import PermanentError, TransientError
from shared.domain.topology import Topology
from shared.runtime.adapters import open_adapters
from shared.runtime.clock import Clock
from shared.runtime.logs import configure_logging, redact
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.port import Store

EXIT_CONFIGURATION = 2
EXIT_FAILURE = 1
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class ServiceContext(Generic[SettingsT]):
    """What a service's start function gets: its settings, adapters, clock, log, and the event that says stop."""

    def __init__(
        self,
        *,
        name: str,
        settings: SettingsT,
        bus: Bus,
        store: Store,
        cache: Cache,
        clock: Clock,
        topology: Topology,
        stopping: asyncio.Event,
    ) -> None:
        self.name = name
        self.settings = settings
        self.bus = bus
        self.store = store
        self.cache = cache
        self.clock = clock
        self.topology = topology
        self.stopping = stopping
        self.log: Any = structlog.get_logger().bind(service=name)

    async def report_status(self, values: dict[str, object]) -> None:
        """Say how the service is, for `status` and the demo's screen; it vanishes when the service stops reporting."""
        status = {**values, "pid": os.getpid(), "at_ms": self.clock.wall_ms()}
        ttl_ms = self.settings.status_ttl_seconds * 1000
        with contextlib.suppress(TransientError):
            await self.cache.set(f"status:{self.name}", msgspec.json.encode(status), ttl_ms=ttl_ms)


@contextlib.asynccontextmanager
async def open_context(name: str, settings: SettingsT) -> AsyncIterator[ServiceContext[SettingsT]]:
    """Open the adapters that the settings choose, and close them again."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    topology, clock = load_topology(), settings.clock()
    async with open_adapters(settings, topology, clock, service=name) as adapters:
        yield ServiceContext(
            name=name,
            settings=settings,
            bus=adapters.bus,
            store=adapters.store,
            cache=adapters.cache,
            clock=clock,
            topology=topology,
            stopping=asyncio.Event(),
        )


Start = Callable[[ServiceContext[SettingsT]], Awaitable[None]]


def run_service(name: str, settings_class: type[SettingsT], start: Start[SettingsT]) -> NoReturn:
    """Run the service until SIGTERM or SIGINT; exit 0 then, 2 on a wrong setting, 1 on any other fatal error."""
    try:
        settings = settings_class.load()
        configure_logging(settings)
        asyncio.run(_run(name, settings, start))
    except (PermanentError, OSError) as error:
        fail(name, error, EXIT_CONFIGURATION)
    except Exception as error:  # noqa: BLE001 - the last resort: one line for people, the trace for the log
        structlog.get_logger().exception("service_failed", service=name)
        fail(name, error, EXIT_FAILURE)
    sys.exit(0)


def fail(name: str, error: BaseException, code: int) -> NoReturn:
    """One line on standard error, then exit."""
    print(f"{name}: {redact(' '.join(str(error).split())) or type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201 - for people
    sys.exit(code)


async def _run(name: str, settings: SettingsT, start: Start[SettingsT]) -> None:
    async with open_context(name, settings) as context:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, context.stopping.set)
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
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return
        task.result()
        context.log.info("service_stopped")
