"""Unary pulls of one subscription that outlive the wait of a single `pull()`.

Cancelling a pull may strand messages that the broker has just leased to it until their lease ends. So a pull that is
still open when its caller's wait is over stays open, and the next caller takes it up: nothing is cancelled but by
close(), and an idle consumer costs one request in half a minute.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1.types import AcknowledgeRequest, ModifyAckDeadlineRequest, PullRequest

from shared.bus.pubsub_client import PubSubClient
from shared.domain.errors import PermanentError, TransientError

PULL_SECONDS: Final = 30.0  # how long one request may stay open
WAIT_SECONDS_MIN: Final = 0.05  # a pull that "does not wait" still needs the way there and back
IDS_PER_REQUEST: Final = 1_000  # ack ids of about 200 bytes; a request takes 512 KiB


class Leased(NamedTuple):
    """One received message (raw protobuf) and when its lease ends by this process's monotonic clock."""

    received: Any
    ends_at_s: float


class Puller:
    """Pulls from one subscription for any number of callers at once."""

    def __init__(self, client: PubSubClient, subscription: str, ack_deadline_seconds: int) -> None:
        self._client = client
        self._name = subscription
        self._path = client.subscription_path(subscription)
        self._deadline_s = ack_deadline_seconds
        self._idle: list[asyncio.Task[list[Leased]]] = []
        self._open: set[asyncio.Task[list[Leased]]] = set()
        self._surplus: deque[Leased] = deque()
        self._giving_back: set[asyncio.Task[None]] = set()

    async def take(self, max_messages: int, wait_seconds: float) -> list[Leased]:
        """Leased messages, at most max_messages; empty when the wait is over or the client was closed."""
        if not self._surplus:
            pulling = self._next_pull(max_messages)
            try:
                await asyncio.wait({pulling}, timeout=max(wait_seconds, WAIT_SECONDS_MIN))
            finally:
                if not pulling.done() or _cancelled(asyncio.current_task()):
                    self._idle.append(pulling)  # for the next caller
            if not pulling.done() or pulling.cancelled():
                return []
            self._surplus.extend(pulling.result())
        taken = [self._surplus.popleft() for _ in range(min(max_messages, len(self._surplus)))]
        return await self._still_leased(taken)

    def _next_pull(self, max_messages: int) -> asyncio.Task[list[Leased]]:
        self._idle.sort(key=lambda task: not task.done())
        if self._idle:
            return self._idle.pop(0)
        task = asyncio.ensure_future(self._pull(max_messages))
        self._open.add(task)
        task.add_done_callback(self._pulled)
        return task

    async def _pull(self, max_messages: int) -> list[Leased]:
        request = PullRequest(subscription=self._path, max_messages=max_messages)
        try:
            response = await self._client.subscriber.pull(request=request, timeout=PULL_SECONDS, retry=None)
        except exceptions.DeadlineExceeded:
            return []
        except (exceptions.GoogleAPIError, GoogleAuthError, grpc.RpcError) as error:
            raise self._client.explained(f"subscription {self._name}", error) from error
        ends_at_s = time.monotonic() + self._deadline_s
        return [Leased(received, ends_at_s) for received in type(response).pb(response).received_messages]

    def _pulled(self, task: asyncio.Task[list[Leased]]) -> None:
        """Messages that nobody comes for, because this consumer has become a standby, go to others before the lease ends."""
        self._open.discard(task)
        if task in self._idle:
            asyncio.get_running_loop().call_later(self._deadline_s / 2, self._give_back_unclaimed, task)

    def _give_back_unclaimed(self, task: asyncio.Task[list[Leased]]) -> None:
        if task in self._idle and not self._client.closed:
            self._idle.remove(task)
            if not task.cancelled() and task.exception() is None and task.result():
                giving_back = asyncio.ensure_future(self._give_back(task.result()))
                self._giving_back.add(giving_back)
                giving_back.add_done_callback(self._giving_back.discard)

    async def _still_leased(self, taken: list[Leased]) -> list[Leased]:
        """Renew leases that have aged in the surplus; those that have ended come again and are dropped here."""
        now_s = time.monotonic()
        aged = [item for item in taken if item.ends_at_s - now_s < self._deadline_s / 2]
        if not aged:
            return taken
        alive = [item for item in taken if item.ends_at_s > now_s]
        await self.set_deadline([item.received.ack_id for item in alive], self._deadline_s)
        return [Leased(item.received, now_s + self._deadline_s) for item in alive]

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Outdated ids change nothing."""
        for some in _groups(ack_ids):
            request = AcknowledgeRequest(subscription=self._path, ack_ids=some)
            await self._client.call(f"subscription {self._name}", self._client.subscriber.acknowledge, request)

    async def set_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        """End the leases that many seconds from now; 0 gives the messages back at once."""
        for some in _groups(ack_ids):
            request = ModifyAckDeadlineRequest(subscription=self._path, ack_ids=some, ack_deadline_seconds=seconds)
            await self._client.call(f"subscription {self._name}", self._client.subscriber.modify_ack_deadline, request)

    async def _give_back(self, leased: Sequence[Leased]) -> None:
        try:
            await self.set_deadline([item.received.ack_id for item in leased], 0)
        except (PermanentError, TransientError):
            return  # then their leases end by themselves

    async def look(self, max_messages: int) -> list[Any]:
        """What is there now, leased, for who only looks: no pull stays open behind it.

        One that was cancelled may live on at the server for half a minute, take what is given back next, and strand it
        until its lease ends: whoever looks then sees nothing.
        """
        request = PullRequest(subscription=self._path, max_messages=max_messages, return_immediately=True)
        found: list[Any] = []
        while len(found) < max_messages:
            response = await self._client.call(f"subscription {self._name}", self._client.subscriber.pull, request)
            received = list(type(response).pb(response).received_messages)
            if not received:
                break
            found += received
        return found

    async def close(self) -> None:
        """Pending pulls return; what was fetched and not handed out goes back at once."""
        unclaimed = [*self._surplus]
        for task in self._idle:
            if task.done() and not task.cancelled() and task.exception() is None:
                unclaimed += task.result()
        self._surplus.clear()
        self._idle.clear()
        for pulling in tuple(self._open):
            pulling.cancel()
        await asyncio.gather(*self._open, *self._giving_back, return_exceptions=True)
        if unclaimed:
            await self._give_back(unclaimed)


def _cancelled(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and bool(task.cancelling())


def _groups(ack_ids: Sequence[str]) -> list[Sequence[str]]:
    return [ack_ids[start : start + IDS_PER_REQUEST] for start in range(0, len(ack_ids), IDS_PER_REQUEST)]
