"""Telegram's HTML dialect: from marked-up text to plain text and message entities.

Follows the documented rules (core.telegram.org/bots/api#html-style): a short list of tags, every tag closed in order,
four named references; everything else is refused with the words of the real server, offsets in UTF-8 bytes.
"""

import re
from typing import Any

from tests.support.telegram.errors import ApiError, bad_request

_ENTITY_TYPES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "a": "text_link",
    "tg-emoji": "custom_emoji",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
_NAMED_REFERENCES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
# Other named references are no error: the real server shows them as they were typed.
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(lt|gt|amp|quot));?")
_TOKEN = re.compile(r"<[^<>]*>|<|[^<]+", re.DOTALL)
_ATTRIBUTE = re.compile(r"""\s*([^\s=>/]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+))?""")

Entity = dict[str, Any]


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the unit of every Telegram offset and of its length limits."""
    return len(text.encode("utf-16-le")) // 2


def decode_references(text: str) -> str:
    """Replaces `&lt; &gt; &amp; &quot;` and numeric references; leaves every other `&` as it is."""

    def replace(match: re.Match[str]) -> str:
        decimal, hexadecimal, name = match.groups()
        if name:
            return _NAMED_REFERENCES[name]
        code_point = int(decimal) if decimal else int(hexadecimal, 16)
        is_character = 0 < code_point < 0x110000 and not 0xD800 <= code_point < 0xE000
        return chr(code_point) if is_character else match.group(0)

    return _REFERENCE.sub(replace, text)


def parse_text(text: str, parse_mode: str | None) -> tuple[str, list[Entity]]:
    """Plain text and entities of `text` under `parse_mode` (None or HTML; others are not spoken here).

    Surrounding white space is dropped, as Telegram does. Raises ApiError 400 `can't parse entities: …`.
    """
    if not parse_mode:
        return text.strip(), []
    if parse_mode.lower() != "html":
        raise bad_request("unsupported parse_mode")
    plain, entities = _HtmlReader(text).read()
    return _trim(plain, entities)


def _trim(plain: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    stripped = plain.strip()
    lead = utf16_length(plain) - utf16_length(plain.lstrip())
    total = utf16_length(stripped)
    kept = []
    for entity in entities:
        start = min(max(entity["offset"] - lead, 0), total)
        end = min(max(entity["offset"] + entity["length"] - lead, 0), total)
        if end > start:
            kept.append({**entity, "offset": start, "length": end - start})
    return stripped, sorted(kept, key=lambda entity: (entity["offset"], -entity["length"]))


class _HtmlReader:
    """One pass over one text; keeps the stack of open tags as (name, attributes, UTF-16 offset, byte offset)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._plain: list[str] = []
        self._offset = 0
        self._open: list[tuple[str, dict[str, str], int, int]] = []
        self._entities: list[Entity] = []

    def read(self) -> tuple[str, list[Entity]]:
        byte_offset = 0
        for token in _TOKEN.findall(self._text):
            if not token.startswith("<"):
                self._append(decode_references(token))
            elif not token.endswith(">"):
                raise _refusal("Unclosed start tag", byte_offset)
            elif token.startswith("</"):
                self._end_tag(token[2:-1].strip().lower(), byte_offset)
            else:
                self._start_tag(token[1:-1], byte_offset)
            byte_offset += len(token.encode())
        if self._open:
            name, _, _, opened_at = self._open[-1]
            raise _refusal(f'Can\'t find end tag corresponding to start tag "{name}"', opened_at)
        return "".join(self._plain), self._entities

    def _append(self, text: str) -> None:
        self._plain.append(text)
        self._offset += utf16_length(text)

    def _start_tag(self, inside: str, byte_offset: int) -> None:
        name = (inside.split(maxsplit=1) or [""])[0].lower() if not inside[:1].isspace() else ""
        if name not in _ENTITY_TYPES:
            raise _refusal(f'Unsupported start tag "{name}"', byte_offset)
        attributes = {
            key.lower(): decode_references(value.strip("\"'")) for key, value in _ATTRIBUTE.findall(inside[len(name) :])
        }
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise _refusal('Tag "span" must have class "tg-spoiler"', byte_offset)
        self._open.append((name, attributes, self._offset, byte_offset))

    def _end_tag(self, name: str, byte_offset: int) -> None:
        if not self._open:
            raise _refusal("Unexpected end tag", byte_offset)
        opened, attributes, start, _ = self._open.pop()
        if name not in {"", opened}:  # Telegram lets `</>` close whatever is open
            text = f'Unmatched end tag at byte offset {byte_offset}, expected "</{opened}>", found "</{name}>"'
            raise bad_request(f"can't parse entities: {text}")
        if self._offset == start:
            return
        entity: Entity = {"type": _ENTITY_TYPES[opened], "offset": start, "length": self._offset - start}
        if opened == "a":
            url = attributes.get("href", "")
            if not re.match(r"(?:https?|tg|mailto|tel):|[\w.-]+\.\w{2,}", url):
                return  # the real server shows such a link as plain text
            entity["url"] = url
        elif opened == "tg-emoji":
            entity["custom_emoji_id"] = attributes.get("emoji-id", "")
        elif opened == "blockquote" and "expandable" in attributes:
            entity["type"] = "expandable_blockquote"
        self._entities.append(self._with_language(entity, opened, attributes))

    def _with_language(self, entity: Entity, opened: str, attributes: dict[str, str]) -> Entity:
        """`<pre><code class="language-x">` is one `pre` entity with a language, not two entities."""
        language = attributes.get("class", "").removeprefix("language-") if opened == "code" else ""
        if language and self._open and self._open[-1][0] == "pre":
            return {**entity, "language": language}
        if opened != "pre" or not self._entities:
            return entity
        inner = self._entities[-1]
        if inner["type"] == "code" and (inner["offset"], inner["length"]) == (entity["offset"], entity["length"]):
            self._entities.pop()
            return {**inner, "type": "pre"}
        return entity


def _refusal(rule: str, byte_offset: int) -> ApiError:
    return bad_request(f"can't parse entities: {rule} at byte offset {byte_offset}")
