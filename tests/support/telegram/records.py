"""What the server remembers: versions of messages, photos, calls."""

import hashlib
import struct
from typing import Any, Self

import msgspec

from tests.support.telegram.entities import Entity
from tests.support.telegram.errors import bad_request

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_PHOTO_BYTES_MAX = 10 * 1024 * 1024
_PHOTO_SIDES_MAX = 10_000
_PHOTO_RATIO_MAX = 20


class Photo(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded picture; `file_id` is what later calls and getFile name it by.

    content: the bytes as uploaded; empty where the record came over the control interface (see `photo_bytes`).
    """

    file_id: str
    sha256: str
    format: str
    width: int
    height: int
    size_bytes: int
    content: bytes = b""

    def as_sizes(self) -> list[dict[str, Any]]:
        """The Bot API's PhotoSize list; one size, the original."""
        size = {"file_id": self.file_id, "file_unique_id": self.sha256[:16], "file_size": self.size_bytes}
        return [{**size, "width": self.width, "height": self.height}]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it read between two edits. `text` is the text, or the caption where `photo` is set; `source` is the
    text before its markup was parsed."""

    text: str
    source: str
    entities: tuple[Entity, ...]
    reply_markup: dict[str, Any] | None
    photo: Photo | None
    method: str
    at_wall_ns: int

    def shows_the_same_as(self, other: Self) -> bool:
        """Whether a user would see no difference; the rule behind `message is not modified`."""
        mine, theirs = (v.photo.sha256 if v.photo else None for v in (self, other))
        same_text = (self.text, self.entities) == (other.text, other.entities)
        return same_text and self.reply_markup == other.reply_markup and mine == theirs

    def buttons(self) -> list[str]:
        """Callback data of every button, row by row."""
        rows = (self.reply_markup or {}).get("inline_keyboard", [])
        return [button["callback_data"] for row in rows for button in row if "callback_data" in button]


class StoredMessage(msgspec.Struct, kw_only=True):
    """One message with every version it ever had, oldest first."""

    chat_id: int
    message_id: int
    from_user_id: int
    sent_at_wall_ns: int
    history: list[Version]
    reply_to_message_id: int | None = None
    thread_id: int | None = None
    deleted: bool = False

    @property
    def current(self) -> Version:
        return self.history[-1]

    @property
    def text(self) -> str:
        """Text or caption as shown now, markup parsed."""
        return self.history[-1].text

    @property
    def photo(self) -> Photo | None:
        return self.history[-1].photo

    @property
    def edit_count(self) -> int:
        return len(self.history) - 1


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One API call. `accepted` says that its effect took place, whatever the client saw.

    answer: "200", an error's status, "reset", or "" while the answer is still to come.
    first_byte_monotonic_ns / _wall_ns: when the first byte of the request reached the server; the monotonic clock is
        one for all processes of a Linux machine, so a benchmark may subtract across processes.
    """

    sequence: int
    method: str
    chat_id: int | None
    message_id: int | None
    parameters: dict[str, Any]
    accepted: bool
    answer: str
    description: str
    fault: str
    first_byte_monotonic_ns: int
    first_byte_wall_ns: int
    done_monotonic_ns: int


def read_photo(content: bytes) -> Photo:
    """Checks signature, size and proportions as Telegram does. Raises ApiError 400."""
    if content.startswith(_PNG_SIGNATURE) and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        image_format = "png"
    elif content.startswith(_JPEG_SIGNATURE):
        width, height = _jpeg_sides(content)
        image_format = "jpeg"
    else:
        raise bad_request("IMAGE_PROCESS_FAILED")
    if len(content) > _PHOTO_BYTES_MAX:
        raise bad_request(f"file of size {len(content)} bytes is too big for a photo; the maximum size is 10 MB")
    shorter, longer = sorted((width, height))
    if shorter == 0 or shorter + longer > _PHOTO_SIDES_MAX or longer > _PHOTO_RATIO_MAX * shorter:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    digest = hashlib.sha256(content).hexdigest()
    return Photo(
        file_id=f"AgAC{digest[:40]}",
        sha256=digest,
        format=image_format,
        width=width,
        height=height,
        size_bytes=len(content),
        content=content,
    )


def _jpeg_sides(content: bytes) -> tuple[int, int]:
    """Width and height from the frame header (SOF0 to SOF15 without the table markers)."""
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", content[position + 5 : position + 9])
            return width, height
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    raise bad_request("IMAGE_PROCESS_FAILED")
