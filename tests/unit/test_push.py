"""The body that Pub/Sub posts to a push endpoint."""

import base64

import msgspec
import pytest

from shared.bus.push import decode_push
from shared.domain.errors import PermanentError
from shared.domain.wire import encode_event, event_attributes
from tests.contract.harness import a_fact


def body(**changes: object) -> bytes:
    """The documented wrapped body, both spellings of every name, as Pub/Sub and its emulator send them."""
    event = a_fact(1)
    message = {
        "attributes": event_attributes(event),
        "data": base64.b64encode(encode_event(event)).decode(),
        "messageId": "2070443601311540",
        "message_id": "2070443601311540",
        "orderingKey": "",
        "publishTime": "2026-02-26T19:13:55.749Z",
        "publish_time": "2026-02-26T19:13:55.749Z",
        **changes,
    }
    return msgspec.json.encode(
        {"message": message, "subscription": "projects/p/subscriptions/notifier--system-events", "deliveryAttempt": 5}
    )


def test_the_documented_body_becomes_the_delivery_of_a_pulling_consumer():
    delivery = decode_push(body())

    assert delivery.event == a_fact(1)
    assert delivery.attributes == event_attributes(a_fact(1))
    assert delivery.subscription == "notifier--system-events"
    assert (delivery.message_id, delivery.attempt, delivery.token) == ("2070443601311540", 5, "")


def test_a_subscription_without_dead_letters_sends_no_attempt():
    plain = msgspec.json.decode(body())
    del plain["deliveryAttempt"]

    assert decode_push(msgspec.json.encode(plain)).attempt == 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not a push body"),
        (b"[]", "not a push body"),
        (b'{"subscription": "s"}', "message"),
        (b'{"message": {"data": "%%%"}}', "not a push body"),
        (b'{"message": {"data": "\xff"}}', "not a push body"),
        (body(data=""), "not a valid event"),
        (body(attributes={}), "schema_version must be 1"),
        (body(attributes={"schema_version": 1}), "attributes"),
    ],
)
def test_what_never_was_an_event_of_ours_is_permanent(sent: bytes, said: str):
    with pytest.raises(PermanentError, match=said):
        decode_push(sent)
