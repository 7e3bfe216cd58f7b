"""Dead letters on Pub/Sub: the message as it came, on the topic `<subscription>--dead`, its story in the attributes."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from shared.bus.port import DeadLetter
from shared.domain.topology import Subscription

REASON: Final = "dead_letter_reason"
MESSAGE_ID: Final = "dead_letter_message_id"
DEAD_AT_MS: Final = "dead_letter_at_ms"
ATTEMPTS: Final = "dead_letter_attempts"
REQUEUED_FOR: Final = "requeued_for"  # the one subscription a message published again is meant for
_OURS: Final = (REASON, MESSAGE_ID, DEAD_AT_MS, ATTEMPTS, REQUEUED_FOR)
_BROKERS_PREFIX: Final = "CloudPubSubDeadLetterSource"  # what Pub/Sub adds where it forwards by itself
_BROKERS_ATTEMPTS: Final = f"{_BROKERS_PREFIX}DeliveryCount"
ATTRIBUTE_BYTES_MAX: Final = 1024  # Pub/Sub's limit for a value


def not_acknowledged(attempts: int | str) -> str:
    """The reason of a message that used up its attempts."""
    return f"not acknowledged in {attempts} attempts"


def dead_attributes(
    attributes: dict[str, str], *, reason: str, message_id: str, dead_at_ms: int, attempts: int
) -> dict[str, str]:
    """The message's attributes and its story; the reason is cut to what an attribute may hold."""
    cut = reason.encode()[:ATTRIBUTE_BYTES_MAX].decode(errors="ignore")
    story = {REASON: cut, MESSAGE_ID: message_id, DEAD_AT_MS: str(dead_at_ms), ATTEMPTS: str(attempts)}
    return {**attributes, **story}


def is_for(subscription: str, attributes: dict[str, str]) -> bool:
    """Whether the message is this subscription's at all: one that was published again is only its former owner's."""
    return attributes.get(REQUEUED_FOR, subscription) == subscription


def read_dead_letters(received: Iterable[Any], subscription: Subscription) -> list[DeadLetter]:
    """From ReceivedMessages of the dead-letter subscription; oldest first.

    A message that Pub/Sub forwarded by itself carries no story of ours: nobody handled it in all its attempts.
    """
    ordered = sorted(received, key=_age)
    return [_read(item.message, subscription) for item in ordered]


def chosen_among(
    received: Iterable[Any], subscription: Subscription, message_ids: Collection[str]
) -> list[tuple[str, DeadLetter]]:
    """(ack id, dead letter) of those that have one of the ids and were events."""
    read = [(item.ack_id, _read(item.message, subscription)) for item in received]
    return [(ack_id, letter) for ack_id, letter in read if letter.message_id in message_ids and letter.was_event]


def _read(message: Any, subscription: Subscription) -> DeadLetter:
    attributes: dict[str, str] = dict(message.attributes)
    own = {
        name: value for name, value in attributes.items() if name not in _OURS and not name.startswith(_BROKERS_PREFIX)
    }
    brokers = attributes.get(_BROKERS_ATTEMPTS, str(subscription.max_delivery_attempts))
    attempts = attributes.get(ATTEMPTS, "0" if REASON in attributes else brokers)
    return DeadLetter(
        subscription=subscription.name,
        message_id=attributes.get(MESSAGE_ID) or f"refused-{message.message_id}",
        data=message.data,
        attributes=own,
        reason=attributes.get(REASON) or not_acknowledged(attempts),
        dead_at_ms=_dead_at_ms(message),
        attempts=int(attempts) if attempts.isdecimal() else 0,
    )


def _dead_at_ms(message: Any) -> int:
    stated = message.attributes.get(DEAD_AT_MS, "")
    return int(stated) if stated.isdecimal() else int(message.publish_time.ToMilliseconds())


def _age(received: Any) -> tuple[int, int, str]:
    message = received.message
    return _dead_at_ms(message), len(message.message_id), message.message_id
