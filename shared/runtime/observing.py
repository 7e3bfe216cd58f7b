"""What looks at a running service from beside it: the port, the push of metrics, the count of what waits on the bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.domain.errors import PermanentError, TransientError
from shared.domain.topology import Subscription, Topology
from shared.runtime.service_context import ServiceContext


@contextlib.asynccontextmanager
async def observed(context: ServiceContext[Any]) -> AsyncIterator[None]:
    """As long as the block lasts. Raises SettingsError where the port is taken."""
    settings = context.settings
    async with contextlib.AsyncExitStack() as stack:
        jobs = [context.vitals.beat()]
        if settings.http_port is not None:
            from shared.runtime.http_port import opened_port

            door = opened_port(settings.http_host, settings.http_port, context.vitals, context.metrics)
            context.log.info("http_port_open", port=stack.enter_context(door))
        if settings.otlp_endpoint is not None:
            from shared.runtime.otlp import Push

            push = Push(settings, context.metrics, context.log)
            stack.push_async_callback(push.close)
            jobs.append(push.run())
        if settings.is_observed:
            jobs.append(_count_messages(context))
        tasks = [asyncio.ensure_future(job) for job in jobs]
        stack.push_async_callback(_cancelled, tasks)
        yield


def own_subscriptions(name: str, topology: Topology) -> list[Subscription]:
    """Those the service reads: `logic_engine` reads every `logic-engine--...`."""
    reader = name.replace("_", "-")
    return [item for item in topology.subscriptions if item.name.startswith(f"{reader}--")]


async def _count_messages(context: ServiceContext[Any]) -> None:
    """Until cancelled. A bus that is away is counted when it is back."""
    while True:
        with contextlib.suppress(TransientError, PermanentError):
            for subscription in own_subscriptions(context.name, context.topology):
                name = subscription.name
                context.metrics.set("cst_backlog_messages", await context.bus.backlog(name), subscription=name)
                context.metrics.set("cst_dead_letters", await context.bus.dead_count(name), subscription=name)
        await asyncio.sleep(context.settings.metrics_every_seconds)


async def _cancelled(tasks: "Sequence[asyncio.Future[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
