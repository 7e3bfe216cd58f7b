"""What a service's start function gets."""

import asyncio
import contextlib
import os
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from shared.bus.port import Bus
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.topology import Topology
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.runtime.settings import ServiceSettings
from shared.runtime.vitals import Vitals
from shared.store.port import Store

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
        metrics: Metrics | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.bus = bus
        self.store = store
        self.cache = cache
        self.clock = clock
        self.topology = topology
        self.stopping = stopping
        self.metrics = metrics or Metrics(name, observed=False)
        self.vitals = Vitals(self.metrics, report_seconds_max=settings.status_ttl_seconds)
        self.log: Any = structlog.get_logger().bind(service=name)

    async def report_status(self, values: dict[str, object]) -> None:
        """Say how the service is, for `status`, the demo's screen, /ready and the metrics; it vanishes when the service stops
        reporting.
        """
        self.vitals.reported(values)
        status = {**values, "pid": os.getpid(), "at_ms": self.clock.wall_ms()}
        ttl_ms = self.settings.status_ttl_seconds * 1000
        with contextlib.suppress(TransientError):
            await self.cache.set(f"status:{self.name}", msgspec.json.encode(status), ttl_ms=ttl_ms)
