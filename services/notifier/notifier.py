"""The notifier as one object: events in, messages out. main.py runs it live; a replay drives it on event time."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.chats import Chats
from services.notifier.core.chats import ChatProfile
from services.notifier.core.living_message import stage_of
from services.notifier.core.macro_texts import bias_caption, told_biases
from services.notifier.core.outbox import Group
from services.notifier.core.texts import chart_caption
from services.notifier.handlers import Queue
from services.notifier.limits import SenderLimits
from services.notifier.macro_charts import MacroCharts
from services.notifier.means import Hooks, Means
from services.notifier.messengers.port import (
    Messenger,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.pictures import Picture
from services.notifier.platform_notices import PlatformNotices
from services.notifier.sender import Sender
from services.notifier.state import NotifierState
from shared.bus.port import Bus, Delivery
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import Event, Severity, SystemEvent
from shared.domain.outbox import OutboxRow
from shared.domain.signals import Signal
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.store.outbox import OutboxStore
from shared.store.port import Store

_HOUR_MS: Final = 3_600_000
_CHART_WAIT_SECONDS_MAX: Final = 30.0


class Notifier:
    """Outbox, sender and charts over one messenger.

    chats:  profiles, or ids as text for chats that want everything.
    announce: what the notices of a start and a stop say is running; empty: there are none.
    charts: None draws nothing (replay). bus: where a refusal is announced; None only logs it.
    """

    def __init__(
        self,
        *,
        store: Store,
        messenger: Messenger,
        clock: Clock,
        chats: Sequence[ChatProfile | str],
        log: Any,
        owner: str,
        bus: Bus | None = None,
        cache: Cache | None = None,
        charts: ChartService | None = None,
        macro_charts: MacroCharts | None = None,
        limits: SenderLimits | None = None,
        metrics: Metrics | None = None,
        announce: str = "",
    ) -> None:
        profiles = [ChatProfile(chat=chat) if isinstance(chat, str) else chat for chat in chats]
        limits = limits or SenderLimits()
        self.state = NotifierState(store)
        self.chats = Chats(profiles, self.state)
        self._clock = clock
        self._messenger = messenger
        self._charts = charts
        self._macro_charts = macro_charts
        self._bus = bus
        self._log = log
        self._chart_tasks: set[asyncio.Task[None]] = set()
        self._charts_in_hand: set[tuple[str, str, str]] = set()
        means = Means(
            store=store,
            cache=cache,
            messenger=messenger,
            clock=clock,
            chats=self.chats,
            limits=limits,
            log=log,
            metrics=metrics or Metrics("notifier", observed=False),
        )
        hooks = Hooks(
            on_lead=self._came_up if announce else None,
            on_leave=self._going_down if announce else None,
            show_signal=self._picture_after_text if charts is not None else None,
            show_bias=self._macro_picture if macro_charts is not None else None,
            on_refused=self._announce_refusal,
        )
        self._sender = Sender(means, owner=owner, hooks=hooks)
        self.budget = self._sender.budget
        self._queue = Queue(
            outbox=OutboxStore(store),
            state=self.state,
            chats=self.chats,
            clock=clock,
            offer=self._sender.offer,
            alert_gather_ms=limits.alert_gather_ms,
        )
        self._notices = PlatformNotices(
            queue=self._queue,
            state=self.state,
            clock=clock,
            log=log,
            what=announce,
            pause_ms=limits.system_pause_ms,
        )

    async def handle(self, events: Sequence[Event]) -> None:
        """Queue the events durably; sending goes on beside. A replay hands in one event and drains, so that what is
        merged does not depend on the size of its batches.
        """
        await self._queue.add(events)

    async def handle_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """For shared.runtime.consumer: durable when it returns."""
        await self.handle([delivery.event for delivery in deliveries])

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop; pictures in the making are finished."""
        await self._sender.run(stopping)
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks), timeout=_CHART_WAIT_SECONDS_MAX)

    async def _came_up(self) -> None:
        await self._notices.up()

    async def _going_down(self) -> Sequence[OutboxRow]:
        return await self._notices.down()

    async def drain(self) -> None:
        """Send all that may go now; returns when it is recorded and every picture is out."""
        await self._sender.drain()
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks))

    def status(self) -> dict[str, object]:
        """Figures for `status`."""
        counts = {"charts_in_the_making": len(self._chart_tasks), "chats": len(self.chats.names)}
        return {**self._sender.status(), **counts}

    async def charts_done(self, timeout_seconds: float) -> None:
        """Wait for the pictures in the making, at most so long."""
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks), timeout=timeout_seconds)

    def _in_hand(self, key: tuple[str, str, str], work: Any) -> bool:
        if key in self._charts_in_hand:
            work.close()
            return False
        self._charts_in_hand.add(key)
        task = asyncio.create_task(work)
        self._chart_tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._chart_tasks.discard(finished)
            self._charts_in_hand.discard(key)

        task.add_done_callback(done)
        return True

    async def _picture_after_text(self, chat: str, signal: Signal, message_id: int) -> None:
        key = (chat, signal.signal_id, stage_of(closed=signal.exit is not None))
        if self._messenger.draws_charts:
            self._in_hand(key, self._show_chart(chat, signal, message_id))
        elif self.chats.profile(chat).pictures:
            self._in_hand(key, self._join_picture(chat, signal))

    async def _join_picture(self, chat: str, signal: Signal) -> None:
        """The picture of the message itself: drawn beside, put in when the chat's budget has room."""
        if self._charts is None:
            return
        try:
            voice = self.chats.voice(chat)
            look = msgspec.structs.replace(self._charts.look, language=voice.words.code, zone=voice.zone)
            content = await self._charts.picture(signal, look=look)
        except ChartUnavailableError as error:  # the text says everything; whoever presses Chart is told the reason
            self._log.warning("chart_unavailable", chat=chat, signal_id=signal.signal_id, reason=str(error))
            return
        except Exception:  # noqa: BLE001 - a picture must not stop what follows
            self._log.exception("chart_failed", chat=chat, signal_id=signal.signal_id)
            return
        stage = stage_of(closed=signal.exit is not None)
        self._sender.offer_picture(Picture(chat=chat, signal_id=signal.signal_id, stage=stage, content=content))

    async def _macro_picture(self, group: Group, message_id: int) -> None:
        """A console shows pictures of signals only."""
        if not self._messenger.draws_charts and self.chats.profile(group.chat).pictures:
            self._in_hand((group.chat, str(message_id), "macro"), self._join_macro_picture(group, message_id))

    async def _join_macro_picture(self, group: Group, message_id: int) -> None:
        """Put the small chart of the strongest pair into the message that told the bias; without it the text stands."""
        told, voice = told_biases(group.rows), self.chats.voice(group.chat)
        caption = bias_caption(voice, told, repeats=max(row.repeats for row in group.rows))
        if self._macro_charts is None or not caption:
            return
        log = self._log.bind(chat=group.chat, message_id=message_id)
        try:
            strongest = max(told, key=lambda one: (one.binding is not None, one.bias.confidence))
            content = await self._macro_charts.picture(voice, strongest)
            if content is not None:
                self.budget.take(group.chat, self._clock.wall_ms())
                post = Post(chat=group.chat, text=caption, caption=caption, signal=None)
                await self._messenger.set_picture(post, content, message_id)
                log.info("macro_chart_shown", pair=strongest.pair, bytes=len(content))
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError, RefusedError, TransientError) as error:
            log.warning("macro_chart_not_shown", reason=str(error))
        except Exception:  # a picture must not stop what follows
            log.exception("macro_chart_failed")

    async def _show_chart(self, chat: str, signal: Signal, message_id: int) -> None:
        if self._charts is None:
            return
        log = self._log.bind(chat=chat, signal_id=signal.signal_id)
        try:
            picture = await self._charts.picture(signal)
            caption = chart_caption(self.chats.voice(chat), signal)
            await self._messenger.show_chart(Post(chat=chat, text=caption, signal=signal), picture, reply_to=message_id)
            log.info("chart_shown", bytes=len(picture))
        except ChartUnavailableError as error:
            log.warning("chart_unavailable", reason=str(error))
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError, RefusedError) as error:
            log.warning("chart_not_shown", reason=str(error))
        except Exception:
            log.exception("chart_failed")

    async def _announce_refusal(self, row: OutboxRow, reason: str) -> None:
        """Tell the other chats, once an hour per chat; a refused system event is only logged, or it would go round."""
        if self._bus is None or isinstance(row.event, SystemEvent):
            return
        now_ms = self._clock.wall_ms()
        event = SystemEvent(
            kind="message_refused",
            subject=f"notifier#{row.chat}",
            version=now_ms // _HOUR_MS,
            severity=Severity.ERROR,
            text=f"Telegram refuses messages to chat {row.chat}: {reason}",
            at_ms=now_ms - now_ms % _HOUR_MS,
        )
        try:
            await self._bus.publish("system-events", [event])
        except TransientError as error:
            self._log.warning("refusal_not_announced", error=str(error))
