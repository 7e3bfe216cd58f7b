"""The bus on Google Pub/Sub: unary pull, effect, acknowledge; batched publish; dead letters under our own reasons.

Neither ordering keys nor filters nor exactly-once are used. What differs from the embedded adapters: `backlog` knows only
what this client holds, and `acknowledge` of an ended lease may still take effect (the effects are durable by then).
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from google.pubsub_v1.types import PublishRequest

from shared.bus.port import DeadLetter, Delivery
from shared.bus.pubsub_client import PubSubClient
from shared.bus.pubsub_dead_letters import (
    REQUEUED_FOR,
    chosen_among,
    dead_attributes,
    is_for,
    not_acknowledged,
    read_dead_letters,
)
from shared.bus.pubsub_pull import Leased, Puller
from shared.domain.errors import PermanentError, TransientError
from shared.domain.events import Event
from shared.domain.topology import Subscription, Topology
from shared.domain.wall_clock import WallClock
from shared.domain.wire import decode_event, encode_event, event_attributes

MESSAGES_PER_REQUEST: Final = 1_000
REQUEST_BYTES_MAX: Final = 9_000_000  # Pub/Sub takes 10 MB with everything around the data
MESSAGE_BYTES_MAX: Final = 9_900_000
REQUESTS_AT_ONCE: Final = 4
DEADLINE_SECONDS_MAX: Final = 600  # of a lease
DEAD_LETTERS_LEASE_SECONDS: Final = 10
_MESSAGE_OVERHEAD_BYTES: Final = 64
_ATTRIBUTE_OVERHEAD_BYTES: Final = 12

_Message = tuple[bytes, dict[str, str]]
_NewRequest: Final[Callable[..., Any]] = PublishRequest.pb()


class PubSubBus:
    """The bus port over one PubSubClient, which close() closes too."""

    def __init__(self, client: PubSubClient, topology: Topology, clock: WallClock) -> None:
        self._client = client
        self._topology = topology
        self._clock = clock
        self._publishing = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._pullers = {
            item.name: Puller(client, item.name, item.ack_deadline_seconds) for item in topology.subscriptions
        }
        self._dead = {
            item.name: Puller(client, item.dead_letter_topic, DEAD_LETTERS_LEASE_SECONDS)
            for item in topology.subscriptions
        }
        self._buried = dict.fromkeys(self._pullers, 0)
        self._held: dict[str, dict[str, float]] = {name: {} for name in self._pullers}  # token -> end of its lease

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """In requests of up to 1000 messages and 9 MB. PermanentError for an event beyond Pub/Sub's size, before any goes out."""
        self._topology.subscriptions_of(topic)  # refuses an undeclared one
        await self._publish(topic, [(encode_event(event), event_attributes(event)) for event in events])

    async def _publish(self, topic: str, messages: Sequence[_Message]) -> None:
        if self._client.closed:
            raise TransientError("the bus is closed: the service is shutting down")
        requests = _requests(self._client.topic_path(topic), messages, topic)
        if len(requests) == 1:
            await self._send(topic, requests[0])
            return
        results = await asyncio.gather(*(self._send(topic, item) for item in requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send(self, topic: str, request: Any) -> None:
        async with self._publishing:
            await self._client.call(f"topic {topic}", self._client.publisher.publish, PublishRequest.wrap(request))

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        """Pub/Sub may hand out fewer than there are. Undecodable and worn-out messages are dead-lettered on the way."""
        declared = self._topology.subscription(subscription)
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + wait_seconds
        while not self._client.closed:
            leased = await self._pullers[subscription].take(max_messages, ends_at_s - loop.time())
            deliveries = [item for item in [await self._opened(declared, one) for one in leased] if item is not None]
            if deliveries or loop.time() >= ends_at_s:
                self._held[subscription].update((item.token, _lease_end_s(item)) for item in deliveries)
                return deliveries
        return []

    async def _opened(self, subscription: Subscription, leased: Leased) -> Delivery | None:
        message = leased.received.message
        attributes = dict(message.attributes)
        attempt = max(1, leased.received.delivery_attempt)
        if not is_for(subscription.name, attributes):
            await self._pullers[subscription.name].acknowledge([leased.received.ack_id])
            return None
        attributes.pop(REQUEUED_FOR, None)
        try:
            event = _judged(message.data, attributes, attempt, subscription.max_delivery_attempts)
        except PermanentError as error:
            await self._bury(subscription, (message.data, attributes), message.message_id, str(error), attempts=attempt)
            await self._pullers[subscription.name].acknowledge([leased.received.ack_id])
            return None
        return Delivery(
            subscription=subscription.name,
            message_id=message.message_id,
            event=event,
            attributes=attributes,
            attempt=attempt,
            token=f"{leased.ends_at_s:.3f} {leased.received.ack_id}",
        )

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """One request per subscription and thousand."""
        self._let_go(deliveries)
        for subscription, ack_ids in _by_subscription(deliveries).items():
            await self._pullers[subscription].acknowledge(ack_ids)

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        """To whole seconds, upwards, and at most ten minutes. The attempt counts."""
        seconds = min(math.ceil(delay_seconds), DEADLINE_SECONDS_MAX)
        self._let_go(deliveries)
        for subscription, ack_ids in _by_subscription(filter(_is_leased, deliveries)).items():
            await self._pullers[subscription].set_deadline(ack_ids, seconds)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """A no-op when the lease has ended: whoever holds the message now will judge it too."""
        subscription = self._topology.subscription(delivery.subscription)
        if _is_leased(delivery):
            message = (encode_event(delivery.event), delivery.attributes)
            await self._bury(subscription, message, delivery.message_id, reason, attempts=delivery.attempt)
            await self.acknowledge([delivery])

    async def _bury(
        self, subscription: Subscription, message: _Message, message_id: str, reason: str, *, attempts: int
    ) -> None:
        data, attributes = message
        if len(data) > MESSAGE_BYTES_MAX:
            reason = f"{reason} (cut from {len(data)} bytes)"
            data = data[: MESSAGE_BYTES_MAX - len(reason)]
        dead_at_ms = self._clock.wall_ms()
        story = dead_attributes(
            attributes, reason=reason, message_id=message_id, dead_at_ms=dead_at_ms, attempts=attempts
        )
        await self._publish(subscription.dead_letter_topic, [(data, story)])
        self._buried[subscription.name] += 1

    async def dead_letters(self, subscription: str, *, limit: int = 100) -> list[DeadLetter]:
        """Looked at and put back; who looks at the same moment may see a part."""
        declared = self._topology.subscription(subscription)
        dead = self._dead[subscription]
        found = await dead.look(limit)
        await dead.set_deadline([item.ack_id for item in found], 0)
        return read_dead_letters(found, declared)[:limit]

    async def dead_count(self, subscription: str) -> int:
        """A lower bound: what this client has put there. The broker's own count is a Cloud Monitoring metric."""
        self._topology.subscription(subscription)
        return self._buried[subscription]

    async def requeue(self, subscription: str, message_ids: Sequence[str]) -> list[str]:
        """To the topic, marked for the subscription: the topic's other readers acknowledge it unread."""
        declared, dead = self._topology.subscription(subscription), self._dead[subscription]
        revived: dict[str, DeadLetter] = {}
        others: list[str] = []
        while set(revived) != set(message_ids):
            received = await dead.look(MESSAGES_PER_REQUEST)
            if not received:
                break
            wanted = chosen_among(received, declared, message_ids)
            chosen_ids = {ack_id for ack_id, _ in wanted}
            others += [item.ack_id for item in received if item.ack_id not in chosen_ids]
            again = {letter.message_id: letter for _, letter in wanted if letter.message_id not in revived}
            mark = {REQUEUED_FOR: subscription}
            await self._publish(declared.topic, [(one.data, {**one.attributes, **mark}) for one in again.values()])
            await dead.acknowledge(list(chosen_ids))
            revived |= again
        await dead.set_deadline(others, 0)
        return list(revived)

    async def backlog(self, subscription: str) -> int:
        """A lower bound: what this client has pulled and not settled. The broker's own count is a Cloud Monitoring metric."""
        self._topology.subscription(subscription)
        now_s = time.monotonic()
        held = {token: ends_at_s for token, ends_at_s in self._held[subscription].items() if ends_at_s > now_s}
        self._held[subscription] = held
        return len(held)

    async def refuse(self, subscription: str, data: bytes, attributes: dict[str, str], reason: str) -> None:
        """Its message id is "refused-<id of the dead letter>"."""
        await self._bury(self._topology.subscription(subscription), (data, attributes), "", reason, attempts=0)

    async def prune(self) -> int:
        """Pub/Sub drops by itself what is acknowledged and out of retention."""
        return 0

    async def close(self) -> None:
        """Pending pulls return empty; messages fetched ahead go back; bounded by the deadline of one call."""
        pullers = (*self._pullers.values(), *self._dead.values())
        await asyncio.gather(*(puller.close() for puller in pullers))
        await self._client.close()

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._held[delivery.subscription].pop(delivery.token, None)


def _requests(path: str, messages: Sequence[_Message], topic: str) -> list[Any]:
    """Raw publish requests within Pub/Sub's limits."""
    requests: list[Any] = []
    free_bytes = free_messages = 0
    for data, attributes in messages:
        if len(data) > MESSAGE_BYTES_MAX:
            kind = f"{attributes.get('type')} {attributes.get('event_id')}"
            raise PermanentError(
                f"an event must be at most {MESSAGE_BYTES_MAX} bytes, was {len(data)} ({kind}, topic {topic})"
            )
        around = sum(len(name) + len(value) + _ATTRIBUTE_OVERHEAD_BYTES for name, value in attributes.items())
        size = len(data) + around + _MESSAGE_OVERHEAD_BYTES
        if not requests or not free_messages or size > free_bytes:
            requests.append(_NewRequest(topic=path))
            free_bytes, free_messages = REQUEST_BYTES_MAX, MESSAGES_PER_REQUEST
        requests[-1].messages.add(data=data, attributes=attributes)
        free_bytes -= size
        free_messages -= 1
    return requests


def _judged(data: bytes, attributes: dict[str, str], attempt: int, attempts_max: int) -> Event:
    """The event; PermanentError where nobody shall handle it."""
    if attempt > attempts_max:
        raise PermanentError(not_acknowledged(attempts_max))
    return decode_event(data, attributes)


def _by_subscription(deliveries: Iterable[Delivery]) -> dict[str, list[str]]:
    """Ack ids by subscription."""
    groups: dict[str, list[str]] = {}
    for delivery in deliveries:
        groups.setdefault(delivery.subscription, []).append(delivery.token.split(" ", 1)[1])
    return groups


def _lease_end_s(delivery: Delivery) -> float:
    return float(delivery.token.split(" ", 1)[0])


def _is_leased(delivery: Delivery) -> bool:
    return time.monotonic() < _lease_end_s(delivery)
