"""Telegram through python-telegram-bot: what each of its errors means for the outcome of a send."""

import importlib.util
import sys
from collections.abc import Awaitable
from typing import Final, TypeVar

import httpx
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from services.notifier.core.callbacks import chart_callback
from services.notifier.core.languages import Words
from services.notifier.messengers.port import (
    MessageGoneError,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)

# httpcore imports sniffio anew on every step of a request; where it is not installed each try searches the whole path
# (2 ms of every message). None in sys.modules makes the import fail at once, which httpcore takes as "asyncio".
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # documented, though not typed

# The request never left this machine, so nothing can have been posted.
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_GONE: Final = ("message to edit not found", "message can't be edited", "message_id_invalid")
_NOT_MODIFIED: Final = "message is not modified"
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)
_Result = TypeVar("_Result")


def build_bot(
    token: str, api_url: str, *, timeout_seconds: float, connections: int, keepalive_seconds: float, poll_seconds: float
) -> Bot:
    """The real client. api_url: https://api.telegram.org or a server of one's own, with or without /bot behind it.

    Sends and polls have connections of their own, so that a long poll never holds up a message.
    """
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=keepalive_seconds
    )
    sending = HTTPXRequest(
        connection_pool_size=connections,
        read_timeout=timeout_seconds,
        write_timeout=timeout_seconds,
        connect_timeout=timeout_seconds,
        pool_timeout=timeout_seconds,
        media_write_timeout=timeout_seconds * 3,
        httpx_kwargs={"limits": limits},
    )
    polling = HTTPXRequest(
        connection_pool_size=1, read_timeout=poll_seconds + timeout_seconds, connect_timeout=timeout_seconds
    )
    address = api_url.rstrip("/").removesuffix("/bot") + "/bot"  # the token follows without a slash
    return Bot(token, base_url=address, request=sending, get_updates_request=polling)


async def close_bot(bot: Bot) -> None:
    """Close both connection pools; Bot.shutdown() closes nothing unless initialize() was called."""
    for request in bot._request:  # noqa: SLF001 - there is no public way
        await request.shutdown()


class TelegramMessenger:
    """Sends and edits through a Bot. HTML, no link previews, a chart button under every signal."""

    draws_charts = False

    def __init__(self, bot: Bot, words: Words) -> None:
        self._bot = bot
        self._words = words

    async def send(self, post: Post) -> int:
        """Send a new message; returns its id."""
        message = await outcome_of(
            self._bot.send_message(
                chat_id=post.chat,
                text=post.text,
                parse_mode=ParseMode.HTML,
                reply_markup=self._buttons(post),
                link_preview_options=_NO_PREVIEW,
            )
        )
        return message.message_id

    async def edit(self, post: Post, message_id: int) -> None:
        """Change a message; one that reads like this already is a success. The button is sent along, or it would go."""
        try:
            await outcome_of(
                self._bot.edit_message_text(
                    chat_id=post.chat,
                    message_id=message_id,
                    text=post.text,
                    parse_mode=ParseMode.HTML,
                    reply_markup=self._buttons(post),
                    link_preview_options=_NO_PREVIEW,
                )
            )
        except RefusedError as error:
            reason = str(error).lower()
            if _NOT_MODIFIED in reason:
                return
            if any(text in reason for text in _GONE):
                raise MessageGoneError(str(error)) from error
            raise

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int) -> None:
        """A photo in reply to the signal's message (without the reply where that message was deleted)."""
        await outcome_of(
            self._bot.send_photo(
                chat_id=post.chat,
                photo=picture,
                filename="chart.png",
                caption=post.text,
                parse_mode=ParseMode.HTML,
                reply_parameters=ReplyParameters(message_id=reply_to, allow_sending_without_reply=True),
            )
        )

    async def close(self) -> None:
        """The Bot belongs to whoever built it; see close_bot."""

    def _buttons(self, post: Post) -> InlineKeyboardMarkup | None:
        if post.signal is None:
            return None
        button = InlineKeyboardButton(self._words.chart_button, callback_data=chart_callback(post.signal.signal_id))
        return InlineKeyboardMarkup([[button]])


async def outcome_of(call: Awaitable[_Result]) -> _Result:
    """Await a Bot API call, turning the library's errors into what they say about the outcome."""
    try:
        return await call
    except RetryAfter as error:
        wait = error.retry_after
        raise RetryLaterError(wait if isinstance(wait, int | float) else wait.total_seconds()) from error
    except (BadRequest, Forbidden, ChatMigrated) as error:
        raise RefusedError(str(error)) from error
    except (InvalidToken, Conflict) as error:
        # The token was revoked while running, or the like: nothing is posted, and no message is to blame.
        raise NotDeliveredError(str(error)) from error
    except NetworkError as error:
        if isinstance(error.__cause__, _NEVER_LEFT):
            raise NotDeliveredError(str(error)) from error
        raise OutcomeUnknownError(str(error)) from error
    except TelegramError as error:
        raise OutcomeUnknownError(str(error)) from error
