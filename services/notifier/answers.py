"""Answers to what people press and write: sent at once, counted against the chat's budget, never in the outbox."""

import asyncio
from typing import Any, Final

from services.notifier.core.rates import RateBudget
from services.notifier.messengers.port import (
    Messenger,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from shared.runtime.clock import Clock

_WAIT_SECONDS_MAX: Final = 30.0


class Answers:
    """Sends an answer once, and once more where Telegram asked for patience. What fails is logged: people ask again."""

    def __init__(self, messenger: Messenger, budget: RateBudget, clock: Clock, log: Any) -> None:
        self._messenger = messenger
        self._budget = budget
        self._clock = clock
        self._log = log

    async def send(self, chat: str, text: str, *, reply_to: int | None = None) -> bool:
        """Telegram HTML in reply to a message; whether it arrived."""
        post = Post(chat=chat, text=text, signal=None, reply_to=reply_to)
        return await self._try(chat, lambda: self._messenger.send(post))

    async def show(self, post: Post, picture: bytes, *, reply_to: int | None = None) -> bool:
        """A picture with the post's text as caption."""
        return await self._try(post.chat, lambda: self._messenger.show_chart(post, picture, reply_to=reply_to))

    async def replace_picture(self, post: Post, picture: bytes, message_id: int) -> bool:
        """Another picture in a message that was sent by `show`."""
        return await self._try(post.chat, lambda: self._messenger.set_picture(post, picture, message_id))

    async def set_keyboard(self, post: Post, message_id: int) -> bool:
        """Other buttons under a message."""
        return await self._try(post.chat, lambda: self._messenger.set_keyboard(post, message_id))

    async def _try(self, chat: str, call: Any) -> bool:
        self._budget.take(chat, self._clock.wall_ms())
        try:
            try:
                await call()
            except RetryLaterError as error:
                limits = self._budget.limits
                seconds = limits.wait_ms(error.seconds) / 1000 if limits else error.seconds
                await asyncio.sleep(min(seconds, _WAIT_SECONDS_MAX))
                await call()
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError, RefusedError) as error:
            self._log.warning("answer_not_delivered", chat=chat, reason=str(error))
            return False
        return True
