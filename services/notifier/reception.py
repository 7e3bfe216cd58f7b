"""Puts together what answers people: the same for polling and for the webhook."""

from typing import Any

from telegram import Bot

from services.notifier.answers import Answers
from services.notifier.charts import ChartService
from services.notifier.commands import Commands
from services.notifier.configured import roles_of
from services.notifier.core.chart_model import DEFAULT_LOOK, ChartLook
from services.notifier.looking import Looking
from services.notifier.messengers.port import Messenger
from services.notifier.notifier import Notifier
from services.notifier.people import Pace, People
from services.notifier.presses import Presses
from services.notifier.state import UpdateLog
from services.notifier.updates import Updates
from services.notifier.why import Why
from shared.cache.port import Cache
from shared.runtime.clock import Clock
from shared.runtime.config import TrackerConfig
from shared.store.port import Store


def build_updates(
    *,
    bot: Bot,
    bot_name: str,
    messenger: Messenger,
    notifier: Notifier,
    store: Store,
    cache: Cache,
    charts: ChartService | None,
    config: TrackerConfig,
    default_chat: str,
    clock: Clock,
    log: Any,
    pace: Pace,
    look: ChartLook = DEFAULT_LOOK,
    results_seconds: float = 0.0,
) -> Updates:
    """Everything between an update and its answer. default_chat: TELEGRAM_CHAT_ID; its owner is admin."""
    roles = roles_of(config, default_chat=default_chat)
    people = People(roles, notifier.chats, notifier.state, pace, log)
    looking = Looking(
        store=store,
        cache=cache,
        config=config,
        status=notifier.status,
        look=look,
        results_seconds=results_seconds,
    )
    answers = Answers(messenger, notifier.budget, clock, log)
    why = Why(store, config)
    commands = Commands(people=people, looking=looking, why=why, charts=charts, answers=answers, clock=clock, log=log)
    presses = Presses(
        bot=bot,
        store=store,
        people=people,
        looking=looking,
        commands=commands,
        why=why,
        charts=charts,
        answers=answers,
        clock=clock,
        log=log,
    )
    return Updates(
        bot=bot,
        bot_name=bot_name,
        chats=notifier.chats.names,
        commands=commands,
        presses=presses,
        update_log=UpdateLog(store, bot.token.partition(":")[0]),
        clock=clock,
        log=log,
    )
