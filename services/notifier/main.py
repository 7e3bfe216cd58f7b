"""Builds the notifier from its settings and runs it: consumers, one sender, and with a token what answers people."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from telegram import Bot

from services.notifier.bot import Polling
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.charts import ChartService, strategy_kinds
from services.notifier.configured import addresses, followed
from services.notifier.connecting import (
    configured_chats,
    offer_commands,
    open_bot,
    settle_exit_replies,
    telegram_messenger,
)
from services.notifier.core.chart_model import ChartLook
from services.notifier.core.chats import ChatProfile
from services.notifier.engine_watch import EngineWatch
from services.notifier.macro_charts import MacroCharts
from services.notifier.messengers.console import CONSOLE_CHAT, ConsoleMessenger
from services.notifier.messengers.port import Messenger
from services.notifier.messengers.telegram import TelegramMessenger, close_bot
from services.notifier.notifier import Notifier
from services.notifier.people import Pace
from services.notifier.reception import build_updates
from services.notifier.rotation import follow_token
from services.notifier.settings import NotifierSettings
from services.notifier.state import NotifierState
from services.notifier.updates import Updates
from shared.domain.errors import TransientError
from shared.runtime.config import load_config
from shared.runtime.consumer import consume, wait_or_stop
from shared.runtime.leadership import process_owner
from shared.runtime.redaction import hide_chat
from shared.runtime.service import ServiceContext, run_service

SUBSCRIPTIONS: Final = (
    "notifier--trade-signals-micro",
    "notifier--macro-bias-updates",
    "notifier--system-events",
)
_ASKING_SECONDS_MAX: Final = 5.0
_ASK_AGAIN_SECONDS: Final = 5.0
SettingsT = TypeVar("SettingsT", bound=NotifierSettings)


async def start(context: ServiceContext[NotifierSettings]) -> None:
    """Run until the service stops."""
    settings = context.settings
    opened = await open_bot(settings, context.log)
    chats = configured_chats(settings) if opened else ()
    for profile in chats:
        hide_chat(profile.chat)
    if opened and not chats:
        context.log.warning("no_chat_configured", hint="write /start to the bot, then set TELEGRAM_CHAT_ID")
    pool = chart_pool(settings)
    charts = build_charts(context, pool)
    telegram = await telegram_messenger(opened[0], NotifierState(context.store), context.log) if opened else None
    messenger: Messenger = telegram if telegram and chats else _console(context)
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
        charts=charts,
        macro_charts=MacroCharts(context.store, pool, theme=settings.chart_theme),
        limits=limits if chats else msgspec.structs.replace(limits, rates=None),
        metrics=context.metrics,
        announce=followed(load_config(settings.tracker_config)) if chats else "",
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
            tasks.create_task(_send(context, opened[0] if opened and chats else None, notifier))
            watch = EngineWatch(
                bus=context.bus,
                cache=context.cache,
                clock=context.clock,
                budget_seconds=settings.engine_freshness_seconds,
                log=context.log,
            )
            tasks.create_task(watch.run(context.stopping))
            tasks.create_task(_report(context, notifier, watch, telegram=bool(chats)))
            tasks.create_task(_warm(pool, context.log))
            if opened:
                tasks.create_task(follow_token(context, opened[0]))
            if opened and telegram and settings.telegram_updates == "polling":
                updates = updates_of(context, opened, telegram, notifier, charts)
                tasks.create_task(_poll(context, opened[0], updates))
    finally:
        await pool.close()
        await messenger.close()
        if opened:
            await close_bot(opened[0])


async def _send(context: ServiceContext[NotifierSettings], bot: Bot | None, notifier: Notifier) -> None:
    """Events are queued meanwhile. Exits that waited for this start ring where they should: chats are asked about first."""
    unsettled: Sequence[str] = addresses(notifier.chats.profiles) if bot else ()
    if bot is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASKING_SECONDS_MAX):
                unsettled = await settle_exit_replies(bot, notifier.chats, unsettled, context.log)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(notifier.run(context.stopping))
        if bot is not None:
            tasks.create_task(_settle_the_rest(context, bot, notifier, unsettled))


async def _settle_the_rest(
    context: ServiceContext[NotifierSettings], bot: Bot, notifier: Notifier, unsettled: Sequence[str]
) -> None:
    """While Telegram is away nothing is sent anyway."""
    while unsettled and not await wait_or_stop(context.stopping, _ASK_AGAIN_SECONDS):
        unsettled = await settle_exit_replies(bot, notifier.chats, unsettled, context.log)


def chart_look(settings: NotifierSettings) -> ChartLook:
    """As the settings want charts to look where a chat does not say otherwise."""
    return ChartLook(theme=settings.chart_theme, scale=settings.chart_scale, language=settings.language)


def chart_pool(settings: NotifierSettings) -> ProcessChartPool:
    """The processes that draw."""
    look = chart_look(settings)
    return ProcessChartPool(workers=settings.chart_workers, waiting_max=settings.charts_waiting_max, look=look)


def build_charts(context: ServiceContext[SettingsT], pool: ProcessChartPool) -> ChartService:
    """Charts as the settings want them to look."""
    settings = context.settings
    return ChartService(
        store=context.store,
        cache=context.cache,
        pool=pool,
        log=context.log,
        cache_ttl_ms=round(settings.chart_cache_hours * 3_600_000),
        look=chart_look(settings),
        kinds=strategy_kinds(load_config(settings.tracker_config)),
    )


def updates_of(
    context: ServiceContext[SettingsT],
    opened: tuple[Bot, str],
    messenger: TelegramMessenger,
    notifier: Notifier,
    charts: ChartService,
) -> Updates:
    """What answers people, as the settings want it."""
    settings = context.settings
    return build_updates(
        bot=opened[0],
        bot_name=opened[1],
        messenger=messenger,
        notifier=notifier,
        store=context.store,
        cache=context.cache,
        charts=charts,
        config=load_config(settings.tracker_config),
        default_chat=settings.telegram_chat_id,
        clock=context.clock,
        log=context.log,
        pace=Pace(questions_max=settings.questions_max, seconds=settings.questions_seconds),
        look=charts.look,
        results_seconds=settings.results_seconds,
    )


async def _poll(context: ServiceContext[NotifierSettings], bot: Bot, updates: Updates) -> None:
    await offer_commands(bot, context.log)
    polling = Polling(
        bot=bot,
        updates=updates,
        cache=context.cache,
        poll_seconds=context.settings.telegram_poll_seconds,
        log=context.log,
    )
    await polling.run(context.stopping)


def _console(context: ServiceContext[NotifierSettings]) -> ConsoleMessenger:
    settings = context.settings
    return ConsoleMessenger(
        folder=settings.outbox_dir, now_ms=context.clock.market_ms, output_format=settings.console_format
    )


async def _warm(pool: ProcessChartPool, log: Any) -> None:
    """Start drawing's process ahead of the first chart. Texts go out even where nothing can be drawn."""
    try:
        await pool.warm()
    except Exception as error:
        log.warning("charts_unavailable", reason=str(error), exc_info=True)


async def _report(
    context: ServiceContext[NotifierSettings], notifier: Notifier, watch: EngineWatch, *, telegram: bool
) -> None:
    """Say how the service is, every few seconds."""
    while True:
        mode = "telegram" if telegram else "console"
        with contextlib.suppress(TransientError):  # a busy store: the next report comes in a few seconds
            backlog = [await context.bus.backlog(name) for name in SUBSCRIPTIONS]
            status = {"mode": mode, "backlog": sum(backlog), **notifier.status(), **watch.status()}
            await context.report_status(status)
        if await wait_or_stop(context.stopping, context.settings.status_seconds):
            return


def main() -> None:
    """The process's entry point."""
    run_service("notifier", NotifierSettings, start)


if __name__ == "__main__":
    main()
