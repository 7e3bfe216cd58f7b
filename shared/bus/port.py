"""The bus contract, the weakest of all brokers: at-least-once, any order, redelivery after a lease, dead letters.

Nothing above it relies on order, filters, negative acknowledgement or exactly-once. Undecodable messages never reach a
handler: the adapter dead-letters them with the reason.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from shared.domain.events import Event


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event handed to one subscription. attempt counts from 1. token: what acknowledging needs, opaque."""

    subscription: str
    message_id: str
    event: Event
    attributes: dict[str, str]
    attempt: int
    token: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that cannot be handled, as it came, with its reason. attempts: deliveries before; 0: it never was one."""

    subscription: str
    message_id: str
    data: bytes
    attributes: dict[str, str]
    reason: str
    dead_at_ms: int
    attempts: int = 0

    @property
    def was_event(self) -> bool:
        """Whether it was published as an event; what was refused before that (a malformed frame) cannot be handled ever."""
        return "schema_version" in self.attributes


class Bus(Protocol):
    """Publishes to declared topics, pulls from declared subscriptions. Undeclared names raise InvalidValueError."""

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Durable for every subscription of the topic when it returns. Raises TransientError when the bus is down."""

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        """Lease up to max_messages; waits at most wait_seconds for the first, then returns what there is (maybe none).

        A leased message comes again when it is not acknowledged within the subscription's ack deadline; after
        max_delivery_attempts it is dead-lettered instead.
        """

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """The effects are durable: never deliver these again (an expired lease makes it a no-op)."""

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        """Give back unhandled messages early: they come again after the delay. Brokers without this let the lease expire."""

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Move the message to the subscription's dead letters with its reason, and acknowledge it."""

    async def dead_letters(self, subscription: str, *, limit: int = 100) -> list[DeadLetter]:
        """The subscription's dead letters, oldest first."""

    async def dead_count(self, subscription: str) -> int:
        """How many dead letters there are (exact embedded; elsewhere those that this client has made)."""

    async def requeue(self, subscription: str, message_ids: Sequence[str]) -> list[str]:
        """Publish these dead letters again, for this subscription alone; returns the ids of those that were there.

        Each goes only once it is durable in its new place: a kill in between repeats it, never loses it. Its attempts count
        from 1 again, its message id is a new one. What never was an event stays where it is.
        """

    async def backlog(self, subscription: str) -> int:
        """How many messages wait or are leased (exact embedded, estimated elsewhere)."""

    async def refuse(self, subscription: str, data: bytes, attributes: dict[str, str], reason: str) -> None:
        """Store something that never was a valid event of ours (a malformed frame, say) as the subscription's dead letter."""

    async def prune(self) -> int:
        """Drop acknowledged messages older than their topic's retention; returns how many."""

    async def close(self) -> None:
        """Release connections; pending pulls return."""
