"""One update from Telegram, from polling or from the webhook: received once, durable, answered, and done."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from telegram import Bot, CallbackQuery, Chat, MaybeInaccessibleMessage, Message, Update
from telegram.error import TelegramError

from services.notifier.commands import Commands
from services.notifier.core.commands import Command, parse
from services.notifier.people import Asked
from services.notifier.presses import Presses
from services.notifier.state import UpdateLog
from shared.domain.errors import TransientError
from shared.runtime.clock import Clock

ALLOWED_UPDATES: Final = ("message", "callback_query")
_IN_HAND_MAX: Final = 32


class Updates:
    """Dispatches updates. Commands of one chat are answered in order; presses side by side.

    chats: as the outbox names them, `<id>` or `<id>/<forum topic>`. bot_name: as groups address it.
    """

    def __init__(
        self,
        *,
        bot: Bot,
        bot_name: str,
        chats: Iterable[str],
        commands: Commands,
        presses: Presses,
        update_log: UpdateLog,
        clock: Clock,
        log: Any,
    ) -> None:
        self._bot = bot
        self._bot_name = bot_name
        self._chats = frozenset(chats)
        self._addresses = frozenset(chat.partition("/")[0] for chat in self._chats)
        self._commands = commands
        self._presses = presses
        self._update_log = update_log
        self._clock = clock
        self._log = log
        self._places = asyncio.Semaphore(_IN_HAND_MAX)
        self._order: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, update: Update) -> asyncio.Task[None] | None:
        """Keep it durably and start answering it; None for one that was received before. Raises TransientError."""
        if not await self._update_log.begin(update.update_id, update.to_json().encode()):
            self._log.info("update_seen_before", update_id=update.update_id)
            return None
        return self._start(update)

    async def resume(self) -> None:
        """Answer what a kill interrupted."""
        for content in await self._update_log.unfinished():
            update = Update.de_json(msgspec.json.decode(content, type=dict[str, Any]), self._bot)
            self._log.info("update_resumed", update_id=update.update_id)
            self._start(update)

    async def settle(self, timeout_seconds: float) -> None:
        """Wait until everything in hand is answered, at most so long."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_seconds)

    def _start(self, update: Update) -> asyncio.Task[None]:
        task = asyncio.create_task(self._handle(update))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _handle(self, update: Update) -> None:
        log = self._log.bind(update_id=update.update_id)
        try:
            async with self._places:
                if update.callback_query is not None:
                    await self._press(update.update_id, update.callback_query)
                elif update.message is not None:
                    await self._message(update.update_id, update.message)
            await self._update_log.finish(update.update_id)
        except TransientError as error:  # the store is away: it stays unfinished and is resumed at the next start
            log.warning("update_not_finished", reason=str(error))
        except TelegramError as error:
            log.warning("update_not_answered", reason=str(error))
        except Exception:  # one update must not end the others
            log.exception("update_failed")

    async def _press(self, update_id: int, query: CallbackQuery) -> None:
        message = query.message
        asked = Asked(
            update_id=update_id,
            chat=self._name_of(message),
            is_configured=self._is_configured(message),
            message_id=message.message_id if message else None,
            user_id=query.from_user.id,
            user_name=query.from_user.username or query.from_user.first_name,
            at_ms=self._clock.wall_ms(),  # a press carries no time of its own
        )
        await self._presses.press(asked, query.id, query.data)

    async def _message(self, update_id: int, message: Message) -> None:
        text = message.text or ""
        command = parse(text, self._bot_name)
        if command is None:
            if message.chat.type != Chat.PRIVATE or not text or text.startswith("/"):
                return  # groups talk among themselves
            command = Command(name="help", arguments=())
        user = message.from_user
        asked = Asked(
            update_id=update_id,
            chat=self._name_of(message),
            is_configured=self._is_configured(message),
            message_id=message.message_id,
            user_id=user.id if user else 0,
            user_name=(user.username or user.first_name) if user else "",
            at_ms=round(message.date.timestamp() * 1000),
        )
        async with self._order[asked.chat]:
            try:
                await self._commands.run(asked, command)
            except TransientError:
                await self._commands.apologise(asked)
                raise

    def _is_configured(self, message: MaybeInaccessibleMessage | None) -> bool:
        return message is not None and any(name in self._addresses for name in _names(message.chat))

    def _name_of(self, message: MaybeInaccessibleMessage | None) -> str:
        """As the outbox names it (its id or its @name, a topic's own entry first); the plain id of any other."""
        if message is None:
            return ""
        names = _names(message.chat)
        topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
        wanted = [f"{name}/{topic}" for name in names if topic is not None] + list(names)
        known = next((name for name in wanted if name in self._chats), None)
        return known or next((name for name in names if name in self._addresses), str(message.chat.id))


def _names(chat: Chat) -> tuple[str, ...]:
    return (str(chat.id), f"@{chat.username}") if chat.username else (str(chat.id),)
