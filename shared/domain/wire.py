"""Events to JSON bytes and back, with the attributes that travel beside them."""

from typing import Any, Final

import msgspec
import numpy as np

from shared.domain.correlation import correlation_id
from shared.domain.errors import InvalidValueError, PermanentError
from shared.domain.events import EVENT_TYPES, SCHEMA_VERSION, Event


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot encode {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
_DECODER: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """JSON with the event's type under "type"."""
    return _ENCODER.encode(event)


def event_attributes(event: Event) -> dict[str, str]:
    """What travels beside the JSON: type, id, schema version, and the id that causes and consequences share."""
    return {
        "type": type(event).__name__,
        "event_id": event.event_id,
        "schema_version": str(SCHEMA_VERSION),
        "correlation_id": correlation_id(event),
    }


def decode_event(data: bytes, attributes: dict[str, str]) -> Event:
    """The event; raises InvalidValueError (permanent) naming what is wrong with it."""
    version = attributes.get("schema_version")
    if version != str(SCHEMA_VERSION):
        raise InvalidValueError(f"schema_version must be {SCHEMA_VERSION}, was {version!r} ({_place(attributes)})")
    try:
        return _DECODER.decode(data)
    except PermanentError:
        raise
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise InvalidValueError(f"not a valid event: {error} ({_place(attributes)})") from error


def event_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every event, by type name; infra/schemas/ holds them, a test fails when they drift."""
    return {name: msgspec.json.schema(event_type) for name, event_type in EVENT_TYPES.items()}


def _place(attributes: dict[str, str]) -> str:
    return f"type={attributes.get('type', 'unknown')} event_id={attributes.get('event_id', 'unknown')}"
