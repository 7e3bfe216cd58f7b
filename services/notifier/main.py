"""Builds the notifier from its settings and runs it: two consumers, one sender, and with a token the button bot."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from telegram import Bot
from telegram.constants import ChatType
from telegram.error import InvalidToken, TelegramError

from services.notifier.bot import ButtonBot
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.charts import ChartService, strategy_kinds
from services.notifier.configured import addresses, chat_profiles
from services.notifier.core.chart_model import ChartLook
from services.notifier.core.chats import ChatProfile
from services.notifier.messengers.console import CONSOLE_CHAT, ConsoleMessenger
from services.notifier.messengers.port import Messenger
from services.notifier.messengers.telegram import TelegramMessenger, build_bot, close_bot
from services.notifier.notifier import Notifier
from services.notifier.settings import NotifierSettings
from services.notifier.state import NotifierState
from shared.domain.errors import TransientError
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.leadership import process_owner
from shared.runtime.service import ServiceContext, run_service
from shared.runtime.settings import SettingsError

SUBSCRIPTIONS: Final = (
    "notifier--trade-signals-micro",
    "notifier--macro-bias-updates",
    "notifier--system-events",
)
_TOKEN: Final = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")


def configured_chats(settings: NotifierSettings) -> tuple[ChatProfile, ...]:
    """The chats of config/tracker.yaml; entries without an id mean TELEGRAM_CHAT_ID, if that is set.

    Raises SettingsError for anything that is no chat id.
    """
    place, chat_id = str(settings.tracker_config), settings.telegram_chat_id
    config = load_config(settings.tracker_config)
    return chat_profiles(config, default_chat=chat_id, language=settings.language, place=place)


async def start(context: ServiceContext[NotifierSettings]) -> None:
    """Run until the service stops."""
    settings = context.settings
    bot = await _bot(context)
    chats = configured_chats(settings) if bot else ()
    if bot and not chats:
        context.log.warning("no_chat_configured", hint="write /start to the bot, then set TELEGRAM_CHAT_ID")
    look = ChartLook(theme=settings.chart_theme, scale=settings.chart_scale, language=settings.language)
    pool = ProcessChartPool(workers=settings.chart_workers, waiting_max=settings.charts_waiting_max, look=look)
    state = NotifierState(context.store)
    messenger = await _messenger(context, state, bot if chats else None)
    limits = settings.sender_limits()
    notifier = Notifier(
        store=context.store,
        messenger=messenger,
        clock=context.clock,
        chats=chats or (ChatProfile(chat=CONSOLE_CHAT, language=settings.language),),
        log=context.log,
        owner=process_owner(settings.instance_id),
        bus=context.bus,
        cache=context.cache,
        charts=ChartService(
            store=context.store,
            cache=context.cache,
            pool=pool,
            log=context.log,
            cache_ttl_ms=round(settings.chart_cache_hours * 3_600_000),
            look=look,
            kinds=strategy_kinds(load_config(settings.tracker_config)),
        ),
        limits=limits if chats else msgspec.structs.replace(limits, rates=None),
    )
    if bot and chats:
        notifier.chats.settle_exit_replies(await _channels(bot, addresses(chats), context.log))
    try:
        async with asyncio.TaskGroup() as tasks:
            for subscription in SUBSCRIPTIONS:
                consumer = consume(
                    context.bus,
                    subscription,
                    notifier.handle_deliveries,
                    stopping=context.stopping,
                    log=context.log,
                )
                tasks.create_task(consumer)
            tasks.create_task(notifier.run(context.stopping))
            tasks.create_task(_report(context, notifier, telegram=bool(bot and chats)))
            tasks.create_task(_warm(pool, context.log))
            if bot:
                buttons = ButtonBot(
                    bot=bot,
                    notifier=notifier,
                    store=context.store,
                    cache=context.cache,
                    chats=addresses(chats),
                    poll_seconds=settings.telegram_poll_seconds,
                    log=context.log,
                )
                tasks.create_task(buttons.run(context.stopping))
    finally:
        await pool.close()
        await messenger.close()
        if bot:
            await close_bot(bot)


async def _messenger(context: ServiceContext[NotifierSettings], state: NotifierState, bot: Bot | None) -> Messenger:
    settings = context.settings
    if bot is None:
        return ConsoleMessenger(
            folder=settings.outbox_dir, now_ms=context.clock.market_ms, output_format=settings.console_format
        )

    async def on_moved(former: str, new: str) -> None:
        context.log.warning("chat_moved", former=former, new=new, hint="put the new id into the configuration")
        await state.keep_moved(former, new)

    return TelegramMessenger(bot, moved=await state.moved(), on_moved=on_moved)


async def _channels(bot: Bot, chats: Sequence[str], log: Any) -> frozenset[str]:
    """Which of the chats are channels: there an exit is told by the edit alone. A chat that cannot be asked is none."""
    found = set()
    for chat in chats:
        if chat.startswith("-100"):  # only these can be channels by number
            try:
                if (await bot.get_chat(chat)).type == ChatType.CHANNEL:
                    found.add(chat)
            except TelegramError as error:
                log.warning("chat_not_readable", chat=chat, reason=str(error))
    return frozenset(found)


async def _bot(context: ServiceContext[NotifierSettings]) -> Bot | None:
    """The client of the configured token, None without one. Raises SettingsError where Telegram refuses the token."""
    settings = context.settings
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
    try:
        me = await bot.get_me()
        context.log.info("telegram_ready", bot=me.username)
    except InvalidToken as error:
        raise SettingsError(
            "TELEGRAM_BOT_TOKEN is refused by Telegram: ask @BotFather for the right one, or remove it to use the console"
        ) from error
    except TelegramError as error:  # messages wait in the outbox until it is back
        context.log.warning("telegram_unreachable", reason=str(error))
    return bot


async def _warm(pool: ProcessChartPool, log: Any) -> None:
    """Start drawing's process ahead of the first chart. Texts go out even where nothing can be drawn."""
    try:
        await pool.warm()
    except Exception as error:
        log.warning("charts_unavailable", reason=str(error), exc_info=True)


async def _report(context: ServiceContext[NotifierSettings], notifier: Notifier, *, telegram: bool) -> None:
    """Say how the service is, every few seconds."""
    while True:
        mode = "telegram" if telegram else "console"
        with contextlib.suppress(TransientError):  # a busy store: the next report comes in a few seconds
            backlog = [await context.bus.backlog(name) for name in SUBSCRIPTIONS]
            await context.report_status({"mode": mode, "backlog": sum(backlog), **notifier.status()})
        if await wait_or_stop(context.stopping, context.settings.status_seconds):
            return


def main() -> None:
    """The process's entry point."""
    run_service("notifier", NotifierSettings, start)


if __name__ == "__main__":
    main()
