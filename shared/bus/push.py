"""What Pub/Sub posts to a push endpoint (a function, a web service), as the Delivery that a pulling consumer gets.

Answer 2xx to acknowledge, anything else to have it again. PermanentError: the body or the event in it will never be
valid; dead-letter it by answering 2xx after storing it with Bus.refuse, else Pub/Sub repeats it until its attempts are up.
"""

import base64
import binascii

import msgspec

from shared.bus.port import Delivery
from shared.domain.errors import PermanentError
from shared.domain.wire import decode_event


class _Message(msgspec.Struct, frozen=True):
    data: str = ""
    attributes: dict[str, str] = {}
    message_id: str = msgspec.field(default="", name="messageId")


class _Body(msgspec.Struct, frozen=True):
    message: _Message
    subscription: str = ""
    attempt: int = msgspec.field(default=1, name="deliveryAttempt")


_DECODER = msgspec.json.Decoder(_Body)


def decode_push(body: bytes) -> Delivery:
    """The event and its attributes; raises PermanentError naming what is wrong. The token is empty: the answer acknowledges.

    The body is the documented one, {"subscription", "message": {"data" (base64), "attributes", "messageId", ...},
    "deliveryAttempt" where the subscription has dead letters}; the data of a CloudEvent `messagePublished` is the same.
    """
    try:
        pushed = _DECODER.decode(body)
        data = base64.b64decode(pushed.message.data, validate=True)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
        raise PermanentError(f"not a push body of Pub/Sub: {error}") from error
    attributes = pushed.message.attributes
    return Delivery(
        subscription=pushed.subscription.rpartition("/")[2],
        message_id=pushed.message.message_id,
        event=decode_event(data, attributes),
        attributes=attributes,
        attempt=max(1, pushed.attempt),
        token="",
    )
