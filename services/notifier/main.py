"""Builds the notifier from its settings and runs it: two consumers, one sender, and with a token the button bot."""

import asyncio
import contextlib
import re
from typing import Any, Final

from telegram import Bot
from telegram.error import InvalidToken, TelegramError

from services.notifier.bot import ButtonBot
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.charts import ChartService, strategy_kinds
from services.notifier.core.chart_model import ChartLook
from services.notifier.core.languages import LANGUAGES
from services.notifier.messengers.console import CONSOLE_CHAT, ConsoleMessenger
from services.notifier.messengers.port import Messenger
from services.notifier.messengers.telegram import TelegramMessenger, build_bot, close_bot
from services.notifier.notifier import Notifier
from services.notifier.settings import NotifierSettings
from shared.domain.errors import TransientError
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.leadership import process_owner
from shared.runtime.service import ServiceContext, run_service
from shared.runtime.settings import SettingsError

SUBSCRIPTIONS: Final = ("notifier--trade-signals-micro", "notifier--system-events")
_CHAT: Final = re.compile(r"-?[0-9]+|@[A-Za-z0-9_]+")
_TOKEN: Final = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")


def configured_chats(settings: NotifierSettings) -> tuple[str, ...]:
    """Ids of the chats in config/tracker.yaml; entries without an id mean TELEGRAM_CHAT_ID, if that is set.

    Raises SettingsError for anything that is no chat id.
    """
    chats = load_config(settings.tracker_config).chats
    named = [settings.telegram_chat_id if chat.id is None else str(chat.id) for chat in chats]
    found = tuple(dict.fromkeys(name.strip() for name in named if name.strip()))
    for name in found:
        if not _CHAT.fullmatch(name):
            raise SettingsError(
                f"a chat id must be a number or an @name, was {name!r} (TELEGRAM_CHAT_ID, or chats in {settings.tracker_config})"
            )
    return found


async def start(context: ServiceContext[NotifierSettings]) -> None:
    """Run until the service stops."""
    settings, words = context.settings, LANGUAGES[context.settings.language]
    bot = await _bot(context)
    chats = configured_chats(settings) if bot else ()
    if bot and not chats:
        context.log.warning("no_chat_configured", hint="write /start to the bot, then set TELEGRAM_CHAT_ID")
    pool = ProcessChartPool(workers=settings.chart_workers, waiting_max=settings.charts_waiting_max)
    messenger = _messenger(context, bot if chats else None)
    notifier = Notifier(
        store=context.store,
        messenger=messenger,
        clock=context.clock,
        chats=chats or (CONSOLE_CHAT,),
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
            look=ChartLook(theme=settings.chart_theme, scale=settings.chart_scale, language=settings.language),
            kinds=strategy_kinds(load_config(settings.tracker_config)),
        ),
        limits=settings.sender_limits(),
        words=words,
    )
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
                    chats=chats,
                    words=words,
                    poll_seconds=settings.telegram_poll_seconds,
                    log=context.log,
                )
                tasks.create_task(buttons.run(context.stopping))
    finally:
        await pool.close()
        await messenger.close()
        if bot:
            await close_bot(bot)


def _messenger(context: ServiceContext[NotifierSettings], bot: Bot | None) -> Messenger:
    settings = context.settings
    if bot:
        return TelegramMessenger(bot, LANGUAGES[settings.language])
    return ConsoleMessenger(
        folder=settings.outbox_dir, now_ms=context.clock.market_ms, output_format=settings.console_format
    )


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
