"""What tests ask the server, the same in its own process and over its control interface."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec

from tests.support.telegram.faults import FaultRule
from tests.support.telegram.records import Call, StoredMessage


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """The server's state at one moment; messages in the order they were posted, deleted ones included."""

    messages: list[StoredMessage]
    calls: list[Call]
    callback_answers: dict[str, dict[str, Any]]
    chat_actions: list[tuple[int, str]]
    commands: list[dict[str, Any]]
    pending_update_count: int
    fault_rules: list[FaultRule]
    bot_id: int

    def messages_of(self, chat_id: int) -> list[StoredMessage]:
        """The bot's messages in one chat, oldest first; deleted ones left out."""
        return [m for m in self.messages if m.chat_id == chat_id and m.from_user_id == self.bot_id and not m.deleted]


class Inspection(ABC):
    """Questions answered from one snapshot."""

    poll_interval_s = 0.02

    @abstractmethod
    def state(self) -> StateView:
        """A snapshot of everything."""

    @abstractmethod
    def photo_bytes(self, sha256: str) -> bytes:
        """An uploaded picture. Raises KeyError where none has this digest."""

    def messages(self, chat_id: int) -> list[StoredMessage]:
        """The bot's messages in one chat, oldest first, each with its history; deleted ones left out."""
        return self.state().messages_of(chat_id)

    def sent_texts(self, chat_id: int) -> list[str]:
        """Texts (or captions) as first sent, markup parsed; edits do not change them."""
        return [message.history[0].text for message in self.messages(chat_id)]

    def shown_texts(self, chat_id: int) -> list[str]:
        """Texts (or captions) as a user reads them now."""
        return [message.text for message in self.messages(chat_id)]

    def calls(self, method: str | None = None) -> list[Call]:
        """Calls in order of arrival, refused ones included; of one method (any case) or of all."""
        return [c for c in self.state().calls if method is None or c.method.lower() == method.lower()]

    def wait_until(self, holds: Callable[[StateView], Any], timeout_s: float = 30.0) -> StateView:
        """Blocks until `holds` is true of a snapshot and returns it. Raises TimeoutError with what there was.

        Blocks the caller's thread: in a coroutine whose loop also runs the bot, await `wait_until_async`.
        """
        deadline = time.monotonic() + timeout_s
        while not holds(view := self.state()):
            _check(deadline, timeout_s, view)
            time.sleep(self.poll_interval_s)
        return view

    async def wait_until_async(self, holds: Callable[[StateView], Any], timeout_s: float = 30.0) -> StateView:
        """As wait_until, for coroutines."""
        deadline = time.monotonic() + timeout_s
        while not holds(view := self.state()):
            _check(deadline, timeout_s, view)
            await asyncio.sleep(self.poll_interval_s)
        return view


def _check(deadline: float, timeout_s: float, view: StateView) -> None:
    if time.monotonic() > deadline:
        tail = [(c.method, c.answer, c.description) for c in view.calls[-5:]]
        texts = [(m.chat_id, m.message_id, m.text[:60]) for m in view.messages[-5:]]
        raise TimeoutError(f"not true within {timeout_s} s; last calls {tail}, last messages {texts}")
