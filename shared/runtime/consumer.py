"""The loop every consumer runs: pull, handle a list, acknowledge. Poison is set aside, everything else is tried again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from structlog.contextvars import bound_contextvars

from shared.bus.port import Bus, Delivery
from shared.domain.errors import PermanentError

Handler = Callable[[Sequence[Delivery]], Awaitable[None]]
PULL_WAIT_SECONDS: Final = 1.0
RETRY_SECONDS_FIRST: Final = 0.2
RETRY_SECONDS_MAX: Final = 10.0


async def consume(
    bus: Bus,
    subscription: str,
    handle: Handler,
    *,
    stopping: asyncio.Event,
    log: Any,
    max_messages: int = 200,
) -> None:
    """Run until `stopping` is set; the list in hand is finished first.

    A handler returns only after its effects are durable; then the list is acknowledged. PermanentError: the list is
    handled again one by one, and those that raise it are dead-lettered with the reason. Any other error: the list is
    given back and comes again after a backoff (0.2 s doubling to 10 s).
    """
    failures = 0
    while not stopping.is_set():
        try:
            deliveries = await bus.pull(subscription, max_messages=max_messages, wait_seconds=PULL_WAIT_SECONDS)
            if deliveries:
                await _handle(bus, deliveries, handle, log=log, delay_seconds=_backoff_seconds(failures))
            failures = 0
        except Exception as error:  # whatever it was, the message is not lost: it comes again
            failures += 1
            delay_seconds = _backoff_seconds(failures)
            log.warning(
                "will_try_again",
                subscription=subscription,
                error=str(error),
                delay_seconds=delay_seconds,
                exc_info=failures == 1,
            )
            await wait_or_stop(stopping, delay_seconds)


async def _handle(bus: Bus, deliveries: Sequence[Delivery], handle: Handler, *, log: Any, delay_seconds: float) -> None:
    with bound_contextvars(**_correlation(deliveries)):
        await _handle_bound(bus, deliveries, handle, log=log, delay_seconds=delay_seconds)


def _correlation(deliveries: Sequence[Delivery]) -> dict[str, str]:
    """For every log line of the handling: the id that came with the messages, where they have one in common."""
    ids = {delivery.attributes.get("correlation_id", "") for delivery in deliveries}
    return {"correlation_id": ids.pop()} if len(ids) == 1 and "" not in ids else {}


async def _handle_bound(
    bus: Bus, deliveries: Sequence[Delivery], handle: Handler, *, log: Any, delay_seconds: float
) -> None:
    try:
        await handle(deliveries)
    except PermanentError as error:
        if len(deliveries) > 1:
            for delivery in deliveries:
                await _handle(bus, [delivery], handle, log=log, delay_seconds=delay_seconds)
            return
        [delivery] = deliveries
        log.warning(
            "dead_letter", subscription=delivery.subscription, message_id=delivery.message_id, reason=str(error)
        )
        await bus.dead_letter(delivery, str(error))
    except Exception:
        await bus.release(deliveries, delay_seconds=delay_seconds)
        raise
    else:
        await bus.acknowledge(deliveries)


def _backoff_seconds(failures: int) -> float:
    """Exponential with jitter, so that several consumers do not come back in step."""
    jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return float(min(RETRY_SECONDS_MAX, RETRY_SECONDS_FIRST * 2 ** min(failures, 10))) * jitter


async def wait_or_stop(stopping: asyncio.Event, seconds: float) -> bool:
    """Sleep, but wake at once when stopping; returns whether it is stopping."""
    try:
        await asyncio.wait_for(stopping.wait(), timeout=seconds)
    except TimeoutError:
        return False
    return True
