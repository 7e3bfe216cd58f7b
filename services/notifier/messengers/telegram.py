"""Telegram through python-telegram-bot: what each of its errors means for the outcome of a send."""

import importlib.util
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import httpx
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)
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

from services.notifier.core.callbacks import Keyboard
from services.notifier.core.texts import plain_text
from services.notifier.messengers.port import (
    ChatMovedError,
    EditRefusedError,
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
_CHAT_FAULTS: Final = (
    "chat not found",
    "chat_id is empty",
    "not enough rights",
    "have no rights",
    "user is deactivated",
)
_NOT_MODIFIED: Final = "message is not modified"
_OTHER_KIND: Final = ("there is no text in the message", "there is no caption in the message")
_BAD_MARKUP: Final = "can't parse entities"
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)
_Result = TypeVar("_Result")


class RotatingBot(Bot):
    """A client whose token can be exchanged: calls that begin afterwards use the new one, connections stay open."""

    def use_token(self, token: str) -> None:
        """The same bot under another token."""
        former = self._token
        self._base_url = self._base_url.removesuffix(former) + token
        self._base_file_url = self._base_file_url.removesuffix(former) + token
        self._token = token


def build_bot(
    token: str, api_url: str, *, timeout_seconds: float, connections: int, keepalive_seconds: float, poll_seconds: float
) -> RotatingBot:
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
    return RotatingBot(token, base_url=address, request=sending, get_updates_request=polling)


async def close_bot(bot: Bot) -> None:
    """Close both connection pools; Bot.shutdown() closes nothing unless initialize() was called."""
    for request in bot._request:  # noqa: SLF001 - there is no public way
        await request.shutdown()


OnMoved = Callable[[str, str], Awaitable[None]]  # former id, new id


class TelegramMessenger:
    """Sends and edits through a Bot. HTML, no link previews, buttons as the post has them.

    moved: ids of groups that became supergroups, former -> new; on_moved: told once for each that is found out here.
    """

    draws_charts = False

    def __init__(self, bot: Bot, *, moved: dict[str, str] | None = None, on_moved: OnMoved | None = None) -> None:
        self._bot = bot
        self._moved = dict(moved or {})
        self._on_moved = on_moved

    async def send(self, post: Post) -> int:
        """Send a new message; returns its id. Markup that Telegram cannot read is sent as plain text."""
        try:
            return await self._send(post, post.text, ParseMode.HTML)
        except RefusedError as error:
            if _BAD_MARKUP not in str(error).lower():
                raise
            return await self._send(post, plain_text(post.text), None)

    async def edit(self, post: Post, message_id: int) -> None:
        """Change a message; one that reads like this already is a success. Buttons are sent along, or they would go."""
        as_caption = post.has_picture
        try:
            await self._edit(post, message_id, as_caption=as_caption)
        except RefusedError as error:
            if not any(text in str(error).lower() for text in _OTHER_KIND):
                raise
            await self._edit(post, message_id, as_caption=not as_caption)  # its picture came or went meanwhile

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int | None) -> int:
        """A photo in reply to a message (without the reply where that message was deleted)."""
        message = await self._call(
            post.chat,
            self._bot.send_photo,
            photo=picture,
            filename="chart.png",
            caption=post.text,
            parse_mode=ParseMode.HTML,
            reply_markup=_markup(post.keyboard),
            reply_parameters=_reply(reply_to),
            message_thread_id=_topic(post.chat),
        )
        return int(message.message_id)

    async def set_picture(self, post: Post, picture: bytes, message_id: int) -> None:
        """Text to photo, or photo to photo, through editMessageMedia."""
        media = InputMediaPhoto(media=picture, caption=post.caption or post.text, parse_mode=ParseMode.HTML)
        await self._edit_call(
            post.chat,
            self._bot.edit_message_media,
            message_id=message_id,
            media=media,
            reply_markup=_markup(post.keyboard),
        )

    async def set_keyboard(self, post: Post, message_id: int) -> None:
        """The text stays as it is."""
        markup = _markup(post.keyboard)
        await self._edit_call(
            post.chat, self._bot.edit_message_reply_markup, message_id=message_id, reply_markup=markup
        )

    async def close(self) -> None:
        """The Bot belongs to whoever built it; see close_bot."""

    async def _send(self, post: Post, text: str, parse_mode: str | None) -> int:
        message: Message = await self._call(
            post.chat,
            self._bot.send_message,
            text=text,
            parse_mode=parse_mode,
            reply_markup=_markup(post.keyboard),
            link_preview_options=_NO_PREVIEW,
            reply_parameters=_reply(post.reply_to),
            message_thread_id=_topic(post.chat),
        )
        return message.message_id

    async def _edit(self, post: Post, message_id: int, *, as_caption: bool) -> None:
        values: dict[str, Any] = {
            "message_id": message_id,
            "parse_mode": ParseMode.HTML,
            "reply_markup": _markup(post.keyboard),
        }
        if as_caption:
            await self._edit_call(
                post.chat, self._bot.edit_message_caption, caption=post.caption or post.text, **values
            )
        else:
            values["link_preview_options"] = _NO_PREVIEW
            await self._edit_call(post.chat, self._bot.edit_message_text, text=post.text, **values)

    async def _edit_call(self, chat: str, method: Callable[..., Awaitable[Any]], **values: Any) -> None:
        """An edit: what is wrong with the message alone is an EditRefusedError."""
        try:
            await self._call(chat, method, **values)
        except RefusedError as error:
            reason = str(error).lower()
            if _NOT_MODIFIED in reason:
                return
            of_the_message = isinstance(error.__cause__, BadRequest) and not any(
                text in reason for text in _CHAT_FAULTS
            )
            if of_the_message and not any(text in reason for text in _OTHER_KIND):
                raise EditRefusedError(str(error)) from error
            raise

    async def _call(self, chat: str, method: Callable[..., Awaitable[_Result]], **values: Any) -> _Result:
        former = chat.partition("/")[0]
        address = self._moved.get(former, former)
        try:
            return await outcome_of(method(chat_id=address, **values))
        except ChatMovedError as error:
            cause = error.__cause__
            if isinstance(cause, ChatMigrated):
                self._moved[former] = str(cause.new_chat_id)
                if self._on_moved is not None:
                    await self._on_moved(former, str(cause.new_chat_id))
            raise


def _markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    rows = [[InlineKeyboardButton(button.text, callback_data=button.data) for button in row] for row in keyboard]
    return InlineKeyboardMarkup(rows) if rows else None


def _reply(reply_to: int | None) -> ReplyParameters | None:
    return None if reply_to is None else ReplyParameters(message_id=reply_to, allow_sending_without_reply=True)


def _topic(chat: str) -> int | None:
    topic = chat.partition("/")[2]
    return int(topic) if topic else None


async def outcome_of(call: Awaitable[_Result]) -> _Result:
    """Await a Bot API call, turning the library's errors into what they say about the outcome."""
    try:
        return await call
    except RetryAfter as error:
        wait = error.retry_after
        raise RetryLaterError(wait if isinstance(wait, int | float) else wait.total_seconds()) from error
    except ChatMigrated as error:
        raise ChatMovedError(str(error)) from error
    except (BadRequest, Forbidden) as error:
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
