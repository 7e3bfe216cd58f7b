"""Draws what goes with a message that is out, beside everything else, and hands it over to be put in."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.core.living_message import stage_of
from services.notifier.core.macro_texts import bias_caption, told_biases
from services.notifier.core.outbox import Group
from services.notifier.core.texts import chart_caption
from services.notifier.macro_charts import MacroCharts
from services.notifier.means import Means
from services.notifier.messengers.port import (
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.pictures import Picture
from shared.domain.signals import Signal

MACRO_STAGE: Final = "macro"


class PictureMaker:
    """One picture at a time for each message and stage. offer: takes what is to join its message.

    charts, macro_charts: None draws none of them. What cannot be drawn is logged: the text says everything.
    """

    def __init__(
        self,
        means: Means,
        *,
        charts: ChartService | None,
        macro_charts: MacroCharts | None,
        offer: Callable[[Picture], None],
    ) -> None:
        self._means = means
        self._charts = charts
        self._macro_charts = macro_charts
        self._offer = offer
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[tuple[str, str, str]] = set()

    @property
    def in_the_making(self) -> int:
        """How many are being drawn or wait for it."""
        return len(self._tasks)

    async def of_signal(self, chat: str, signal: Signal, message_id: int) -> None:
        """Begin the picture of a signal's message; a console shows it as a message of its own."""
        if self._charts is None:
            return
        stage = stage_of(closed=signal.exit is not None)
        if self._means.messenger.draws_charts:
            work = self._show_beside(self._charts, chat, signal, message_id)
        elif self._means.chats.profile(chat).pictures:
            work = self._join(self._charts, chat, signal, stage)
        else:
            return
        self._begin((chat, signal.signal_id, stage), work)

    async def of_bias(self, group: Group, message_id: int) -> None:
        """Begin the small chart of a message that told the bias; a console shows pictures of signals only."""
        chats, messenger = self._means.chats, self._means.messenger
        if self._macro_charts is not None and not messenger.draws_charts and chats.profile(group.chat).pictures:
            work = self._join_bias(self._macro_charts, group, message_id)
            self._begin((group.chat, str(message_id), MACRO_STAGE), work)

    async def done(self, timeout_seconds: float | None = None) -> None:
        """Wait for the pictures in the making, at most so long."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_seconds)

    def _begin(self, key: tuple[str, str, str], work: Coroutine[Any, Any, None]) -> None:
        if key in self._in_hand:
            work.close()
            return
        self._in_hand.add(key)
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def end(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            self._in_hand.discard(key)

        task.add_done_callback(end)

    async def _join(self, charts: ChartService, chat: str, signal: Signal, stage: str) -> None:
        """The picture of the message itself."""
        log = self._means.log.bind(chat=chat, signal_id=signal.signal_id)
        try:
            voice = self._means.chats.voice(chat)
            look = msgspec.structs.replace(charts.look, language=voice.words.code, zone=voice.zone)
            content = await charts.picture(signal, look=look)
        except ChartUnavailableError as error:  # whoever presses Chart is told the reason
            log.warning("chart_unavailable", reason=str(error))
        except Exception:  # a picture must not stop what follows
            log.exception("chart_failed")
        else:
            self._offer(Picture(chat=chat, subject=signal.signal_id, stage=stage, content=content))

    async def _join_bias(self, charts: MacroCharts, group: Group, message_id: int) -> None:
        """The last two days of the strongest pair."""
        told, voice = told_biases(group.rows), self._means.chats.voice(group.chat)
        caption = bias_caption(voice, told, repeats=max(row.repeats for row in group.rows))
        if not caption:
            return
        try:
            strongest = max(told, key=lambda one: (one.binding is not None, one.bias.confidence))
            content = await charts.picture(voice, strongest)
        except Exception:  # a picture must not stop what follows
            self._means.log.exception("macro_chart_failed", chat=group.chat, message_id=message_id)
            return
        if content is not None:
            post = Post(chat=group.chat, text=caption, caption=caption, signal=None)
            subject = str(message_id)
            self._offer(
                Picture(
                    chat=group.chat,
                    subject=subject,
                    stage=MACRO_STAGE,
                    content=content,
                    post=post,
                    message_id=message_id,
                )
            )

    async def _show_beside(self, charts: ChartService, chat: str, signal: Signal, message_id: int) -> None:
        log = self._means.log.bind(chat=chat, signal_id=signal.signal_id)
        try:
            picture = await charts.picture(signal)
            caption = chart_caption(self._means.chats.voice(chat), signal)
            post = Post(chat=chat, text=caption, signal=signal)
            await self._means.messenger.show_chart(post, picture, reply_to=message_id)
            log.info("chart_shown", bytes=len(picture))
        except ChartUnavailableError as error:
            log.warning("chart_unavailable", reason=str(error))
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError, RefusedError) as error:
            log.warning("chart_not_shown", reason=str(error))
        except Exception:  # a picture must not stop what follows
            log.exception("chart_failed")
