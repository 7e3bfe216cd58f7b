"""Dead letters on Pub/Sub: the message as it came, on the topic `<subscription>--dead`, its story in the attributes."""

from collections.abc import Iterable
from typing import Any, Final

from shared.bus.port import DeadLetter
from shared.domain.topology import Subscription

REASON: Final = "dead_letter_reason"
MESSAGE_ID: Final = "dead_letter_message_id"
DEAD_AT_MS: Final = "dead_letter_at_ms"
_OURS: Final = (REASON, MESSAGE_ID, DEAD_AT_MS)
_BROKERS_PREFIX: Final = "CloudPubSubDeadLetterSource"  # what Pub/Sub adds where it forwards by itself
_ATTEMPTS: Final = f"{_BROKERS_PREFIX}DeliveryCount"
ATTRIBUTE_BYTES_MAX: Final = 1024  # Pub/Sub's limit for a value


def not_acknowledged(attempts: int | str) -> str:
    """The reason of a message that used up its attempts."""
    return f"not acknowledged in {attempts} attempts"


def dead_attributes(attributes: dict[str, str], *, reason: str, message_id: str, dead_at_ms: int) -> dict[str, str]:
    """The message's attributes and its story; the reason is cut to what an attribute may hold."""
    cut = reason.encode()[:ATTRIBUTE_BYTES_MAX].decode(errors="ignore")
    return {**attributes, REASON: cut, MESSAGE_ID: message_id, DEAD_AT_MS: str(dead_at_ms)}


def read_dead_letters(received: Iterable[Any], subscription: Subscription) -> list[DeadLetter]:
    """From ReceivedMessages of the dead-letter subscription; oldest first.

    A message that Pub/Sub forwarded by itself carries no story of ours: nobody handled it in all its attempts.
    """
    ordered = sorted(received, key=_age)
    return [_read(item.message, subscription) for item in ordered]


def _read(message: Any, subscription: Subscription) -> DeadLetter:
    attributes = dict(message.attributes)
    own = {
        name: value for name, value in attributes.items() if name not in _OURS and not name.startswith(_BROKERS_PREFIX)
    }
    attempts = attributes.get(_ATTEMPTS, subscription.max_delivery_attempts)
    return DeadLetter(
        subscription=subscription.name,
        message_id=attributes.get(MESSAGE_ID) or f"refused-{message.message_id}",
        data=message.data,
        attributes=own,
        reason=attributes.get(REASON) or not_acknowledged(attempts),
        dead_at_ms=_dead_at_ms(message),
    )


def _dead_at_ms(message: Any) -> int:
    stated = message.attributes.get(DEAD_AT_MS, "")
    return int(stated) if stated.isdecimal() else int(message.publish_time.ToMilliseconds())


def _age(received: Any) -> tuple[int, int, str]:
    message = received.message
    return _dead_at_ms(message), len(message.message_id), message.message_id
