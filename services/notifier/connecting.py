"""The way to Telegram, for the service and for the webhook: the client, its messenger, what it can say about chats."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

from telegram import Bot, BotCommand
from telegram.constants import ChatType
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, TelegramError

from services.notifier.chats import Chats
from services.notifier.configured import chat_profiles
from services.notifier.core.chats import ChatProfile
from services.notifier.core.commands import NEEDED_ROLE
from services.notifier.core.languages import LANGUAGES
from services.notifier.messengers.telegram import RotatingBot, TelegramMessenger, build_bot
from services.notifier.settings import NotifierSettings
from services.notifier.state import NotifierState
from shared.runtime.config import load_config
from shared.runtime.settings import SettingsError

_TOKEN: Final = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")


def configured_chats(settings: NotifierSettings) -> tuple[ChatProfile, ...]:
    """The chats of config/tracker.yaml; entries without an id mean TELEGRAM_CHAT_ID, if that is set.

    Raises SettingsError for anything that is no chat id.
    """
    place, chat_id = str(settings.tracker_config), settings.telegram_chat_id
    config = load_config(settings.tracker_config)
    return chat_profiles(config, default_chat=chat_id, language=settings.language, place=place)


async def open_bot(settings: NotifierSettings, log: Any) -> tuple[RotatingBot, str] | None:
    """The client of the configured token and the bot's name, None without a token. The name is empty while Telegram is away.

    Raises SettingsError where Telegram refuses the token.
    """
    token = settings.telegram_bot_token.get_secret_value().strip() if settings.telegram_bot_token else ""
    if not token:
        return None
    if not _TOKEN.fullmatch(token):
        raise SettingsError("TELEGRAM_BOT_TOKEN must look like 123456:ABC-def as @BotFather gives it (value hidden)")
    bot = build_bot(
        token,
        settings.telegram_api_url,
        timeout_seconds=settings.telegram_timeout_seconds,
        connections=settings.telegram_connections,
        keepalive_seconds=settings.telegram_keepalive_seconds,
        poll_seconds=settings.telegram_poll_seconds,
    )
    name = ""
    try:
        name = (await bot.get_me()).username or ""
        log.info("telegram_ready", bot=name)
    except InvalidToken as error:
        raise SettingsError(
            "TELEGRAM_BOT_TOKEN is refused by Telegram: ask @BotFather for the right one, or remove it to use the console"
        ) from error
    except TelegramError as error:  # messages wait in the outbox until it is back
        log.warning("telegram_unreachable", reason=str(error))
    return bot, name


async def telegram_messenger(bot: Bot, state: NotifierState, log: Any) -> TelegramMessenger:
    """Knows which groups moved, and remembers those it finds out about."""

    async def on_moved(former: str, new: str) -> None:
        log.warning(
            "chat_moved", former=former, new=new, hint="/start there tells the new id: put it into the configuration"
        )
        await state.keep_moved(former, new)

    return TelegramMessenger(bot, moved=await state.moved(), on_moved=on_moved)


async def settle_exit_replies(bot: Bot, chats: Chats, addresses: Sequence[str], log: Any) -> list[str]:
    """Ask which of the addresses are channels: there an exit is told by the edit alone, elsewhere by a reply, too.

    Returns those that Telegram could not be asked about just now. One that it does not know is taken for a group.
    """
    kinds = await asyncio.gather(*(_is_channel(bot, address, log) for address in addresses))
    for address, channel in zip(addresses, kinds, strict=True):
        if channel is not None:
            chats.settle_exit_reply(address, channel=channel)
    return [address for address, channel in zip(addresses, kinds, strict=True) if channel is None]


async def _is_channel(bot: Bot, address: str, log: Any) -> bool | None:
    """None: Telegram could not be asked."""
    if not address.startswith(("-100", "@")):  # only these can be channels
        return False
    try:
        return (await bot.get_chat(address)).type == ChatType.CHANNEL
    except (BadRequest, Forbidden, ChatMigrated) as error:
        log.warning("chat_not_readable", chat=address, reason=str(error))
        return False
    except TelegramError as error:
        log.warning("chat_kind_unknown", chat=address, reason=str(error))
        return None


async def offer_commands(bot: Bot, log: Any) -> None:
    """The menu of the chat window, in every language. Without it the commands work all the same."""
    try:
        for words in LANGUAGES.values():
            listed = [BotCommand(name, words.command[name]) for name in NEEDED_ROLE]
            await bot.set_my_commands(listed, language_code=None if words.code == "en" else words.code)
    except TelegramError as error:
        log.warning("commands_not_offered", reason=str(error))
