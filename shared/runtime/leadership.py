"""One active instance at a time: lead while the lease is held, stand by otherwise."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from shared.domain.errors import FencedError, TransientError
from shared.runtime.consumer import wait_or_stop
from shared.runtime.service import ServiceContext
from shared.store.leases import owner_of
from shared.store.port import Lease

_RENEWALS_PER_TTL: Final = 3
Job = Callable[[], Awaitable[None]]


def process_owner(instance_id: str) -> str:
    """The owner of this process's leases: its instance, and a boot whose text rises with every start."""
    return owner_of(instance_id, f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}")


class _Claim:
    """The lease as this process asks for it: under its instance's name and a boot of its own.

    A restarted process thus takes over at once, and what a paused predecessor still writes carries a lower fence.
    """

    def __init__(self, context: ServiceContext[Any], name: str, ttl_ms: int) -> None:
        self.name = name
        self.ttl_ms = ttl_ms
        self._context = context
        self._owner = process_owner(context.settings.instance_id)

    async def acquire(self) -> Lease | None:
        """Take or renew it; None while another holds it or the store cannot be reached."""
        try:
            return await self._context.store.acquire_lease(self.name, self._owner, ttl_ms=self.ttl_ms)
        except TransientError as error:
            self._context.log.warning("lease_not_reachable", error=str(error))
            return None


class Term:
    """One term of office. over: set when the service stops or the lease is lost; every job ends then."""

    def __init__(self, context: ServiceContext[Any], claim: _Claim, lease: Lease) -> None:
        self.over = asyncio.Event()
        self.fence = lease.fence
        self._lease = lease
        self._claim = claim
        self._context = context

    def lost(self, error: FencedError) -> None:
        """A write was refused, or the lease could not be renewed: another one leads."""
        self._context.log.warning("lease_lost", error=str(error))
        self.over.set()

    async def run(self, *jobs: Job) -> None:
        """Run the jobs side by side until each has ended; a job that raises ends the term and the service."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for job in (self._stop_with_service, self._renew, *jobs):
                    tasks.create_task(_running(job))
        finally:
            self.over.set()

    async def _stop_with_service(self) -> None:
        stop = asyncio.ensure_future(self._context.stopping.wait())
        over = asyncio.ensure_future(self.over.wait())
        await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        over.cancel()
        self.over.set()

    async def _renew(self) -> None:
        seconds = self._claim.ttl_ms / 1000 / _RENEWALS_PER_TTL
        held_until_ms = self._lease.expires_at_ms
        while not await wait_or_stop(self.over, seconds):
            lease = await self._claim.acquire()
            if lease is not None and lease.fence == self.fence:
                held_until_ms = lease.expires_at_ms
            elif lease is not None or self._context.clock.wall_ms() >= held_until_ms:
                self.lost(FencedError(f"lease {self._claim.name} is no longer ours (fence {self.fence})"))


async def lead(
    context: ServiceContext[Any],
    name: str,
    serve: Callable[[Term], Awaitable[None]],
    *,
    ttl_ms: int,
    retry_seconds: float,
) -> None:
    """Until the service stops: wait for the lease, `serve` one term (which calls `Term.run`), wait again when it is lost.

    The lease is released at the end of a term, so that a standby need not wait for it to expire. After an error of `serve`
    it is not: nobody knows what is still on its way.
    """
    claim = _Claim(context, name, ttl_ms)
    while not context.stopping.is_set():
        lease = await claim.acquire()
        if lease is None:
            await context.report_status({"role": "standby"})
            await wait_or_stop(context.stopping, retry_seconds)
            continue
        context.log.info("lease_acquired", fence=lease.fence)
        await serve(Term(context, claim, lease))
        with contextlib.suppress(TransientError):
            await context.store.release_lease(lease)


async def _running(job: Job) -> None:
    await job()
