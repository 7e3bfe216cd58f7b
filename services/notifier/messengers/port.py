"""What the sender needs of a messenger, and the outcomes it must tell apart."""

from typing import Protocol

import msgspec

from shared.domain.signals import Signal


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent or edited. text: Telegram HTML. signal: what it is about; None without a chart button."""

    chat: str
    text: str
    signal: Signal | None


class RetryLaterError(RuntimeError):
    """Certainly not delivered; the messenger asked for a pause of this many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"retry after {seconds:g} s")
        self.seconds = seconds


class NotDeliveredError(RuntimeError):
    """Certainly not delivered: the request never left, or was refused for a reason that passes."""


class OutcomeUnknownError(RuntimeError):
    """It may have been delivered: timeout, reset, 5xx, an answer that cannot be read."""


class RefusedError(RuntimeError):
    """Refused for good: a blocked bot, a chat that is gone, a message that breaks a rule."""


class MessageGoneError(RefusedError):
    """The message to edit is not there any more; a new one may be sent."""


class Messenger(Protocol):
    """Sends and edits. Every call either succeeds or raises one of the errors above."""

    draws_charts: bool
    """Whether a picture goes with every entry and exit by itself, instead of on a button press."""

    async def send(self, post: Post) -> int:
        """Send a new message; returns its id."""

    async def edit(self, post: Post, message_id: int) -> None:
        """Change a message; one that reads like this already is a success."""

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int) -> None:
        """Show a PNG with the post's text as caption, below the message it belongs to."""

    async def close(self) -> None:
        """Release connections."""
