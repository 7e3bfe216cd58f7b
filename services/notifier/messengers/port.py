"""What the sender needs of a messenger, and the outcomes it must tell apart."""

from typing import Protocol

import msgspec

from services.notifier.core.callbacks import Keyboard
from shared.domain.signals import Signal


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent or edited.

    chat:     `<id>` or `<id>/<forum topic>`. text: Telegram HTML, at most 4,096 characters once parsed.
    caption:  the same for a message that carries a picture, at most 1,024; empty where it never will.
    signal:   what it is about, if it is about one. keyboard: the buttons under it.
    reply_to: the message it answers; one that was deleted is no fault.
    has_picture: whether the message to be edited is a picture with a caption.
    """

    chat: str
    text: str
    signal: Signal | None
    caption: str = ""
    keyboard: Keyboard = ()
    reply_to: int | None = None
    has_picture: bool = False


class RetryLaterError(RuntimeError):
    """Certainly not delivered; the messenger asked for a pause of this many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"retry after {seconds:g} s")
        self.seconds = seconds


class NotDeliveredError(RuntimeError):
    """Certainly not delivered: the request never left, or was refused for a reason that passes."""


class ChatMovedError(NotDeliveredError):
    """Certainly not delivered: the group became a supergroup with another id; the messenger uses it from now on."""


class OutcomeUnknownError(RuntimeError):
    """It may have been delivered: timeout, reset, 5xx, an answer that cannot be read."""


class RefusedError(RuntimeError):
    """Refused for good: a blocked bot, a chat that is gone, a message that breaks a rule."""


class EditRefusedError(RefusedError):
    """This message cannot be edited (it was deleted, say); what has to be said may be said in a new one."""


class Messenger(Protocol):
    """Sends and edits. Every call either succeeds or raises one of the errors above."""

    draws_charts: bool
    """Whether a picture goes with every entry and exit as a message of its own (console)."""

    async def send(self, post: Post) -> int:
        """Send a new message; returns its id."""

    async def edit(self, post: Post, message_id: int) -> None:
        """Change a message's text or caption; one that reads like this already is a success."""

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int | None) -> int:
        """Show a PNG with the post's text as caption, below the message it belongs to; returns the new message's id."""

    async def set_picture(self, post: Post, picture: bytes, message_id: int) -> None:
        """Put a PNG into a message, text or picture before, with the post's caption and buttons."""

    async def set_keyboard(self, post: Post, message_id: int) -> None:
        """Change the buttons alone, whatever the message says by now; those it has already are a success."""

    async def close(self) -> None:
        """Release connections."""
