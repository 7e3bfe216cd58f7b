"""Makes, checks and removes the topics, subscriptions and dead-letter pairs that infra/topology.yaml declares."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec
from google.api_core import exceptions
from google.iam.v1.iam_policy_pb2 import TestIamPermissionsRequest
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    DeleteSubscriptionRequest,
    DeleteTopicRequest,
    ExpirationPolicy,
    GetSubscriptionRequest,
    GetTopicRequest,
    Subscription,
    Topic,
)

from shared.bus.pubsub_client import MissingResourceError, PubSubClient
from shared.domain.errors import PermanentError, TransientError
from shared.domain.topology import Topology

RETENTION_HOURS: Final = 7 * 24  # how long what nobody has acknowledged is kept; also dead letters
DEAD_LETTER_ACK_SECONDS: Final = 10
# Pub/Sub's own forwarding is the second net: it acts where the adapter, which states the reason, could not.
BROKER_ATTEMPTS_MORE: Final = 1
_CONSUME: Final = "pubsub.subscriptions.consume"
_PUBLISH: Final = "pubsub.topics.publish"
BROKER_ATTEMPTS_MIN, BROKER_ATTEMPTS_MAX = 5, 100


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to make. subscription_of: None for a topic, else the topic it reads."""

    name: str
    subscription_of: str | None = None
    ack_deadline_seconds: int = DEAD_LETTER_ACK_SECONDS
    dead_letter_topic: str | None = None
    broker_attempts: int = 0

    def __str__(self) -> str:
        return f"{'topic' if self.subscription_of is None else 'subscription'} {self.name}"


def declared_resources(topology: Topology) -> list[Resource]:
    """All topics, then all subscriptions: the order of making."""
    topics = [item.name for item in topology.topics] + [item.dead_letter_topic for item in topology.subscriptions]
    return [*(Resource(name=name) for name in topics), *_subscriptions(topology)]


def _subscriptions(topology: Topology) -> Iterator[Resource]:
    for item in topology.subscriptions:
        attempts = item.max_delivery_attempts + BROKER_ATTEMPTS_MORE
        yield Resource(
            name=item.name,
            subscription_of=item.topic,
            ack_deadline_seconds=item.ack_deadline_seconds,
            dead_letter_topic=item.dead_letter_topic,
            broker_attempts=min(max(attempts, BROKER_ATTEMPTS_MIN), BROKER_ATTEMPTS_MAX),
        )
        yield Resource(name=item.dead_letter_topic, subscription_of=item.dead_letter_topic)


async def create_resources(client: PubSubClient, topology: Topology) -> list[str]:
    """Make what is missing; returns what was made. What exists stays as it is."""
    resources = declared_resources(topology)
    made: list[str] = []
    for kind in (False, True):  # subscriptions need their topics
        some = [item for item in resources if (item.subscription_of is not None) is kind]
        results = await asyncio.gather(*(_create(client, item) for item in some))
        made += [str(item) for item, new in zip(some, results, strict=True) if new]
    return made


async def _create(client: PubSubClient, resource: Resource) -> bool:
    method: Any = client.publisher.create_topic
    request: Any = Topic(name=client.topic_path(resource.name))
    if resource.subscription_of is not None:
        method, request = client.subscriber.create_subscription, _subscription(client, resource)
    try:
        await client.call(str(resource), method, request)
    except TransientError as error:
        if isinstance(error.__cause__, exceptions.AlreadyExists):
            return False
        raise
    return True


def _subscription(client: PubSubClient, resource: Resource) -> Subscription:
    policy = None
    if resource.dead_letter_topic is not None:
        policy = DeadLetterPolicy(
            dead_letter_topic=client.topic_path(resource.dead_letter_topic),
            max_delivery_attempts=resource.broker_attempts,
        )
    return Subscription(
        name=client.subscription_path(resource.name),
        topic=client.topic_path(str(resource.subscription_of)),
        ack_deadline_seconds=resource.ack_deadline_seconds,
        message_retention_duration=timedelta(hours=RETENTION_HOURS),
        expiration_policy=ExpirationPolicy(),  # never: a quiet month must not delete a subscription
        dead_letter_policy=policy,
    )


async def missing_resources(client: PubSubClient, topology: Topology) -> list[str]:
    """What is declared and does not exist, e.g. "topic candles-closed"."""
    resources = declared_resources(topology)
    found = await asyncio.gather(*(_exists(client, item) for item in resources))
    return [str(item) for item, exists in zip(resources, found, strict=True) if not exists]


async def _exists(client: PubSubClient, resource: Resource) -> bool:
    try:
        if resource.subscription_of is None:
            topic = GetTopicRequest(topic=client.topic_path(resource.name))
            await client.call(str(resource), client.publisher.get_topic, topic)
        else:
            subscription = GetSubscriptionRequest(subscription=client.subscription_path(resource.name))
            await client.call(str(resource), client.subscriber.get_subscription, subscription)
    except MissingResourceError:
        return False
    return True


async def require_resources(client: PubSubClient, topology: Topology, *, service: str = "") -> None:
    """For the start of a process: raise PermanentError naming all that is missing, or why nothing can be seen.

    Later, a missing topic is transient: the messages that wait for it are innocent. An account that may not look (a
    service needs no more than publishing and subscribing) is asked what it may do instead.
    """
    try:
        missing = await missing_resources(client, topology)
    except TransientError as error:
        if isinstance(error.__cause__, exceptions.PermissionDenied):
            await _require_rights(client, topology, service)
            return
        raise PermanentError(str(error)) from error
    if missing:
        where = f"project {client.project} at {client.host}"
        raise PermanentError(
            f"missing in {where}: {', '.join(missing)}; GOOGLE_CLOUD_PROJECT or PUBSUB_PROJECT_ID names the project,"
            " `cst infra create` makes them on emulators"
        )


async def _require_rights(client: PubSubClient, topology: Topology, service: str) -> None:
    """Raise PermanentError naming what the service needs and its account may not do. Asking this needs no right at all."""
    name = service.replace("_", "-")
    reads = [item.name for item in topology.subscriptions if item.name.startswith(f"{name}--")]
    publishes = [topic for item in topology.services if item.name == name for topic in item.publishes]
    needs = [(_CONSUME, "subscription", one, client.subscription_path(one)) for one in reads]
    needs += [(_PUBLISH, "topic", one, client.topic_path(one)) for one in publishes]
    allowed = await asyncio.gather(*(_may(client, permission, path) for permission, _, _, path in needs))
    lacking = [f"{kind} {one}" for (_, kind, one, _), may in zip(needs, allowed, strict=True) if not may]
    if lacking:
        raise PermanentError(
            f"no permission in project {client.project} at {client.host}: {', '.join(lacking)}; GOOGLE_CLOUD_PROJECT or"
            f" PUBSUB_PROJECT_ID names the wrong project, or the account lacks {_CONSUME} and {_PUBLISH} (infra/ grants them)"
        )


async def _may(client: PubSubClient, permission: str, path: str) -> bool:
    """Where that cannot be said (an emulator has no accounts), it is believed."""
    request = TestIamPermissionsRequest(resource=path, permissions=[permission])
    try:
        answer = await client.call(f"rights on {path}", client.subscriber.test_iam_permissions, request)
    except (PermanentError, TransientError) as error:
        return not isinstance(error.__cause__, exceptions.PermissionDenied | exceptions.NotFound)
    return permission in answer.permissions


async def delete_resources(client: PubSubClient, topology: Topology) -> list[str]:
    """Remove what exists, subscriptions first; returns what was removed."""
    removed = []
    for resource in reversed(declared_resources(topology)):
        method: Any = client.publisher.delete_topic
        request: Any = DeleteTopicRequest(topic=client.topic_path(resource.name))
        if resource.subscription_of is not None:
            method = client.subscriber.delete_subscription
            request = DeleteSubscriptionRequest(subscription=client.subscription_path(resource.name))
        try:
            await client.call(str(resource), method, request)
        except MissingResourceError:
            continue
        removed.append(str(resource))
    return removed
