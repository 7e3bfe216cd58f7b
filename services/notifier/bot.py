"""What people press and write: chart buttons from configured chats, /start from anywhere."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

from telegram import Bot, CallbackQuery, Chat, Message, Update
from telegram.constants import ParseMode
from telegram.error import TelegramError

from services.notifier.core.callbacks import press_of
from services.notifier.core.languages import Words
from services.notifier.core.outbox import backoff_ms
from services.notifier.notifier import Notifier
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.runtime.consumer import wait_or_stop
from shared.store.messages import MessageStore
from shared.store.port import Store

_UPDATES: Final = ("message", "callback_query")
_OFFSET_TTL_MS: Final = 30 * 86_400_000
# A press counts as handled once its picture is out, so that a kill meanwhile brings it again; but nobody waits longer
# than this for another's picture.
_BATCH_SECONDS_MAX: Final = 3.0
_BACKOFF_MS_MAX: Final = 30_000


class ButtonBot:
    """Polls updates and answers them. The last update handled is kept in the cache; Telegram keeps what is newer."""

    def __init__(
        self,
        *,
        bot: Bot,
        notifier: Notifier,
        store: Store,
        cache: Cache,
        chats: Sequence[str],
        poll_seconds: float,
        log: Any,
    ) -> None:
        self._bot = bot
        self._notifier = notifier
        self._messages = MessageStore(store)
        self._cache = cache
        self._chats = frozenset(chats)
        self._poll_seconds = poll_seconds
        self._log = log
        # One bot's updates say nothing about another's.
        self._offset_key = f"telegram-offset:{bot.token.partition(':')[0]}"

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll until told to stop; failures of the connection are tried again with backoff."""
        offset = await self._known_offset()
        failures = 0
        while not stopping.is_set():
            try:
                updates = await self._poll(offset, stopping)
            except TelegramError as error:
                failures += 1
                seconds = min(backoff_ms(failures), _BACKOFF_MS_MAX) / 1000
                self._log.warning("poll_failed", reason=str(error), delay_seconds=seconds)
                await wait_or_stop(stopping, seconds)
                continue
            failures = 0
            if updates:
                await self._handle_all(updates)
                offset = updates[-1].update_id + 1
                await self._keep_offset(offset)

    async def _poll(self, offset: int | None, stopping: asyncio.Event) -> tuple[Update, ...]:
        seconds = int(self._poll_seconds)
        poll = asyncio.create_task(
            self._bot.get_updates(offset=offset, timeout=seconds, allowed_updates=list(_UPDATES))
        )
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({poll, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if poll.done():
            return poll.result()
        poll.cancel()
        with contextlib.suppress(asyncio.CancelledError, TelegramError):
            await poll
        return ()

    async def _handle_all(self, updates: Sequence[Update]) -> None:
        tasks = [asyncio.create_task(self._handle(update)) for update in updates]
        await asyncio.wait(tasks, timeout=_BATCH_SECONDS_MAX)
        await self._notifier.charts_done(_BATCH_SECONDS_MAX)

    async def _handle(self, update: Update) -> None:
        log = self._log.bind(update_id=update.update_id)
        try:
            if update.callback_query is not None:
                await self._press(update.callback_query, log)
            elif update.message is not None:
                await self._text(update.message, log)
        except TelegramError as error:
            log.warning("update_not_answered", reason=str(error))
        except Exception:  # one update must not end the others
            log.exception("update_failed")

    async def _press(self, query: CallbackQuery, log: Any) -> None:
        chat = self._configured(query.message.chat if query.message else None)
        press = press_of(query.data)
        words = self._words(chat)
        if chat is None:
            await self._answer(query, words.foreign_chat, log, alert=True)
        elif press is None or press.action != "chart":
            await self._answer(query, words.unknown_button, log, alert=True)
        else:
            await self._chart(query, chat, press.signal_id, log)

    async def _chart(self, query: CallbackQuery, chat: str, signal_id: str, log: Any) -> None:
        record = (await self._messages.get(chat, signal_id)).record
        if record is None:
            await self._answer(query, self._words(chat).chart_unknown, log, alert=True)
            return
        words = self._words(chat)
        started = self._notifier.start_chart(chat, record.signal, record.message_id)
        await self._answer(query, words.chart_coming if started else words.chart_busy, log, alert=False)
        log.info("chart_asked", chat=chat, signal_id=signal_id, started=started)

    async def _answer(self, query: CallbackQuery, text: str, log: Any, *, alert: bool) -> None:
        try:
            await query.answer(text=text, show_alert=alert)
        except TelegramError as error:  # too old after a restart, say: the chart comes all the same
            log.warning("press_not_answered", reason=str(error))

    async def _text(self, message: Message, log: Any) -> None:
        command = (message.text or "").partition(" ")[0].partition("@")[0]
        if command != "/start":
            return
        chat = self._configured(message.chat)
        configured, words = chat is not None, self._words(chat)
        status = words.start_configured if configured else words.start_unconfigured
        user_id = message.from_user.id if message.from_user else 0
        text = words.start.format(chat_id=message.chat.id, user_id=user_id, role="", status=status)
        await self._bot.send_message(chat_id=message.chat.id, text=text, parse_mode=ParseMode.HTML)
        log.info("started_by", chat=message.chat.id, user=user_id, configured=configured)

    def _words(self, chat: str | None) -> Words:
        return self._notifier.chats.voice(chat or "").words

    def _configured(self, chat: Chat | None) -> str | None:
        """The chat as the configuration spells it (its id or its @name); None for any other."""
        if chat is None:
            return None
        names = (str(chat.id), f"@{chat.username}" if chat.username else "")
        return next((name for name in names if name in self._chats), None)

    async def _known_offset(self) -> int | None:
        try:
            value = await self._cache.get(self._offset_key)
        except TransientError:
            return None
        return int(value) if value else None

    async def _keep_offset(self, offset: int) -> None:
        try:
            await self._cache.set(self._offset_key, str(offset).encode(), ttl_ms=_OFFSET_TTL_MS)
        except TransientError as error:  # Telegram itself confirms with the next poll
            self._log.warning("cache_write_failed", error=str(error))
