"""The content of a call: its parameters, its text with entities, its keyboard, checked as Telegram checks them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.support.telegram.entities import Entity, parse_text, utf16_length
from tests.support.telegram.errors import bad_request

TEXT_LENGTH_MAX = 4096
CAPTION_LENGTH_MAX = 1024
CALLBACK_DATA_BYTES_MAX = 64
_BUTTON_ACTIONS = frozenset({"url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "pay"})


class Request:
    """Parameters of one call, as the form or JSON body brought them, and the uploaded files by field name."""

    def __init__(self, parameters: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        self.parameters = dict(parameters)
        self.files = files

    def text(self, name: str) -> str:
        """The parameter as text, empty where it is missing."""
        value = self.parameters.get(name, "")
        return value if isinstance(value, str) else str(value)

    def integer(self, name: str, default: int = 0) -> int:
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise bad_request(f"invalid {name} specified") from None

    def json(self, name: str) -> Any:
        """A parameter that holds JSON (form bodies carry it as text); None where it is missing."""
        value = self.parameters.get(name)
        if not isinstance(value, str):
            return value
        try:
            return msgspec.json.decode(value) if value else None
        except msgspec.DecodeError as error:
            raise bad_request(f"can't parse {name} JSON object: {error}") from error


def formatted(request: Request, name: str, media: Mapping[str, Any] | None = None) -> tuple[str, list[Entity]]:
    """Text or caption (`name`) with its entities, from the call's own fields or from the InputMedia object it carries.

    Telegram counts lengths after parsing. Raises ApiError 400 for bad markup and for too long a text.
    """
    fields = request.parameters if media is None else media
    text, entities = parse_text(str(fields.get(name, "")), fields.get("parse_mode"))
    given_name = "entities" if name == "text" else "caption_entities"
    given = request.json(given_name) if media is None else media.get(given_name)
    if given and not fields.get("parse_mode"):
        entities = list(given)
    if name == "text" and utf16_length(text) > TEXT_LENGTH_MAX:
        raise bad_request("message is too long")
    if name == "caption" and utf16_length(text) > CAPTION_LENGTH_MAX:
        raise bad_request("message caption is too long")
    return text, entities


def inline_keyboard(request: Request) -> dict[str, Any] | None:
    """The inline keyboard, checked button by button; None where there is none. Other keyboards are kept as they are."""
    markup = request.json("reply_markup")
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    rows = markup.get("inline_keyboard", [])
    for button in (button for row in rows for button in row):
        _check_button(button)
    if "inline_keyboard" in markup:
        return {"inline_keyboard": [row for row in rows if row]} if any(rows) else None
    return markup


def _check_button(button: dict[str, Any]) -> None:
    if not button.get("text"):
        raise bad_request("can't parse inline keyboard button: Can't find field \"text\"")
    if not _BUTTON_ACTIONS & button.keys():
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= CALLBACK_DATA_BYTES_MAX:
        raise bad_request("BUTTON_DATA_INVALID")
