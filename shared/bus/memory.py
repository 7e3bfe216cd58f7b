"""The bus inside one process: the same contract without a file. With encode=False events pass as the objects they are, without attributes."""

import asyncio
import heapq
from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec

from shared.bus.port import DeadLetter, Delivery
from shared.domain.checks import require
from shared.domain.errors import PermanentError, TransientError
from shared.domain.events import Event
from shared.domain.topology import Subscription, Topology
from shared.domain.wall_clock import WallClock
from shared.domain.wire import decode_event, encode_event, event_attributes

NO_ATTRIBUTES: Final[dict[str, str]] = {}  # of an event that is handed over as an object
_POLL_SECONDS: Final = 0.005  # a clock that is moved by hand tells nobody
_HOUR_MS: Final = 3_600_000


class _Message(msgspec.Struct, eq=False):
    """A published message. Exactly one of data and event is there: bytes when encoded, else the object."""

    number: int
    published_at_ms: int
    given: dict[str, str] | None
    data: bytes | None
    event: Event | None
    open_deliveries: int

    @property
    def attributes(self) -> dict[str, str]:
        """What travels beside the bytes; of an object it is made when asked for, which costs a hash."""
        if self.given is not None:
            return self.given
        assert self.event is not None  # noqa: S101 - for the type checker: one of the two is there
        return event_attributes(self.event)

    def wire(self) -> bytes:
        """Its bytes."""
        if self.data is not None:
            return self.data
        assert self.event is not None  # noqa: S101 - for the type checker: one of the two is there
        return encode_event(self.event)


class _Pending(msgspec.Struct, eq=False):
    """A message that one subscription has not acknowledged. token: of the pull that holds it, empty for none."""

    message: _Message
    visible_at_ms: int
    attempts: int = 0
    token: str = ""


class _Queue:
    """What waits for one subscription; the heap may hold outdated entries, which are skipped."""

    def __init__(self, declared: Subscription) -> None:
        self.declared = declared
        self.pending: dict[int, _Pending] = {}
        self.ready: list[tuple[int, int]] = []
        self.dead: list[DeadLetter] = []
        self.settled_at_ms: list[int] = []  # when the messages were published that nobody has yet to acknowledge
        self.arrived = asyncio.Event()

    def show(self, pending: _Pending, visible_at_ms: int) -> None:
        """Make it visible from then on."""
        pending.visible_at_ms = visible_at_ms
        heapq.heappush(self.ready, (visible_at_ms, pending.message.number))
        self.arrived.set()

    def due_at_ms(self) -> int | None:
        """When the next one may be pulled, None when there is none."""
        while self.ready:
            visible_at_ms, number = self.ready[0]
            pending = self.pending.get(number)
            if pending is not None and pending.visible_at_ms == visible_at_ms:
                return visible_at_ms
            heapq.heappop(self.ready)
        return None

    def held(self, delivery: Delivery) -> _Pending | None:
        """The pending message if the delivery's lease is still the one that holds it."""
        pending = self.pending.get(int(delivery.message_id))
        return pending if pending is not None and pending.token == delivery.token else None

    def settle(self, pending: _Pending) -> None:
        """It needs no further delivery."""
        message = pending.message
        message.open_deliveries -= 1
        if not message.open_deliveries:
            self.settled_at_ms.append(message.published_at_ms)
        del self.pending[pending.message.number]

    def bury(self, pending: _Pending, reason: str, now_ms: int) -> None:
        """Move it to the dead letters."""
        message = pending.message
        self.settle(pending)
        self.dead.append(
            DeadLetter(
                subscription=self.declared.name,
                message_id=str(message.number),
                data=message.wire(),
                attributes=message.attributes,
                reason=reason,
                dead_at_ms=now_ms,
                attempts=pending.attempts,
            )
        )


class MemoryBus:
    """The bus port in memory; deterministic: order by visibility, then publication; leases by the given clock."""

    def __init__(self, topology: Topology, clock: WallClock, *, encode: bool = True) -> None:
        self._topology = topology
        self._clock = clock
        self._encode = encode
        self._closed = False
        self._numbers = count(1)
        self._leases = count(1)
        self._queues = {item.name: _Queue(item) for item in topology.subscriptions}
        self._readers = {
            topic.name: [self._queues[item.name] for item in topology.subscriptions_of(topic.name)]
            for topic in topology.topics
        }

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Every subscription of the topic has it when this returns."""
        if self._closed:
            raise TransientError("the bus is closed: the service is shutting down")
        require(topic in self._readers, "topics are declared in infra/topology.yaml", topic, "bus")
        for event in events:
            if self._encode:
                self._add(topic, encode_event(event), None, event_attributes(event))
            else:
                self._add(topic, None, event, None)

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        """Leases by the clock, waits by the event loop."""
        queue = self._queue(subscription)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        while not self._closed:
            deliveries = self._lease(queue, max_messages)
            remaining = deadline - loop.time()
            if deliveries or remaining <= 0:
                return deliveries
            queue.arrived.clear()
            await _set_within(queue.arrived, remaining if queue.due_at_ms() is None else min(remaining, _POLL_SECONDS))
        return []

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forgets those still under the lease of their pull."""
        for delivery in deliveries:
            queue = self._queue(delivery.subscription)
            pending = queue.held(delivery)
            if pending is not None:
                queue.settle(pending)

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        """The attempt counts."""
        visible_at_ms = self._clock.wall_ms() + round(delay_seconds * 1000)
        for delivery in deliveries:
            queue = self._queue(delivery.subscription)
            pending = queue.held(delivery)
            if pending is not None:
                pending.token = ""
                queue.show(pending, visible_at_ms)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """A no-op when its lease is another's now."""
        queue = self._queue(delivery.subscription)
        pending = queue.held(delivery)
        if pending is not None:
            queue.bury(pending, reason, self._clock.wall_ms())

    async def dead_letters(self, subscription: str, *, limit: int = 100) -> list[DeadLetter]:
        """In the order in which they died."""
        return self._queue(subscription).dead[:limit]

    async def dead_count(self, subscription: str) -> int:
        """Exact."""
        return len(self._queue(subscription).dead)

    async def requeue(self, subscription: str, message_ids: Sequence[str]) -> list[str]:
        """At once; as bytes, also where events pass as objects."""
        queue, wanted = self._queue(subscription), frozenset(message_ids)
        going = [dead for dead in queue.dead if dead.message_id in wanted and dead.was_event]
        queue.dead = [dead for dead in queue.dead if dead not in going]
        now_ms = self._clock.wall_ms()
        for dead in going:
            message = _Message(next(self._numbers), now_ms, dead.attributes, dead.data, None, 1)
            pending = queue.pending[message.number] = _Pending(message, now_ms)
            queue.show(pending, now_ms)
        return [dead.message_id for dead in going]

    async def backlog(self, subscription: str) -> int:
        """Exact."""
        return len(self._queue(subscription).pending)

    async def refuse(self, subscription: str, data: bytes, attributes: dict[str, str], reason: str) -> None:
        """Its message id is "refused-<number>"."""
        queue = self._queue(subscription)
        queue.dead.append(
            DeadLetter(
                subscription=subscription,
                message_id=f"refused-{next(self._numbers)}",
                data=data,
                attributes=attributes,
                reason=reason,
                dead_at_ms=self._clock.wall_ms(),
            )
        )

    async def prune(self) -> int:
        """Counts: what everybody has acknowledged is not kept, only when it was published."""
        pruned = 0
        for topic in self._topology.topics:
            before_ms = self._clock.wall_ms() - round(topic.retention_hours * _HOUR_MS)
            for queue in self._readers[topic.name]:
                kept = [published_at_ms for published_at_ms in queue.settled_at_ms if published_at_ms >= before_ms]
                pruned += len(queue.settled_at_ms) - len(kept)
                queue.settled_at_ms = kept
        return pruned

    async def close(self) -> None:
        """Pending pulls return empty."""
        self._closed = True
        for queue in self._queues.values():
            queue.arrived.set()

    def _add(self, topic: str, data: bytes | None, event: Event | None, attributes: dict[str, str] | None) -> None:
        readers = self._readers[topic]
        now_ms = self._clock.wall_ms()
        message = _Message(next(self._numbers), now_ms, attributes, data, event, len(readers))
        for queue in readers:
            pending = queue.pending[message.number] = _Pending(message, now_ms)
            queue.show(pending, now_ms)

    def _lease(self, queue: _Queue, max_messages: int) -> list[Delivery]:
        now_ms = self._clock.wall_ms()
        deliveries: list[Delivery] = []
        ready, token = queue.ready, str(next(self._leases))
        while ready and ready[0][0] <= now_ms and len(deliveries) < max_messages:
            visible_at_ms, number = heapq.heappop(ready)
            pending = queue.pending.get(number)
            if pending is None or pending.visible_at_ms != visible_at_ms:
                continue  # an outdated entry
            delivery = self._deliver(queue, pending, token, now_ms)
            if delivery is not None:
                deliveries.append(delivery)
        return deliveries

    def _deliver(self, queue: _Queue, pending: _Pending, token: str, now_ms: int) -> Delivery | None:
        """Lease one message; None where it was dead-lettered instead."""
        pending.attempts += 1
        attempts_max = queue.declared.max_delivery_attempts
        if pending.attempts > attempts_max:
            queue.bury(pending, f"not acknowledged in {attempts_max} attempts", now_ms)
            return None
        message = pending.message
        try:
            event = message.event or decode_event(message.wire(), message.attributes)
        except PermanentError as error:
            queue.bury(pending, str(error), now_ms)
            return None
        pending.token = token
        ends_at_ms = now_ms + queue.declared.ack_deadline_seconds * 1000
        pending.visible_at_ms = ends_at_ms
        heapq.heappush(queue.ready, (ends_at_ms, message.number))
        return Delivery(
            subscription=queue.declared.name,
            message_id=str(message.number),
            event=event,
            attributes=message.given or NO_ATTRIBUTES,
            attempt=pending.attempts,
            token=token,
        )

    def _queue(self, subscription: str) -> _Queue:
        queue = self._queues.get(subscription)
        if queue is None:
            self._topology.subscription(subscription)  # raises, naming it
            raise AssertionError(subscription)
        return queue


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
