"""The notifier as one object: events in, messages out. main.py runs it live; a replay drives it on event time."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.core.languages import LANGUAGES, Words
from services.notifier.core.texts import chart_caption
from services.notifier.delivery import SenderLimits
from services.notifier.handlers import queue_events
from services.notifier.messengers.port import (
    Messenger,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.sender import Sender
from shared.bus.port import Bus, Delivery
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import Event, Severity, SystemEvent
from shared.domain.outbox import OutboxRow
from shared.domain.signals import Signal
from shared.runtime.clock import Clock
from shared.store.outbox import OutboxStore
from shared.store.port import Store

_HOUR_MS: Final = 3_600_000
_CHART_WAIT_SECONDS_MAX: Final = 30.0


class Notifier:
    """Outbox, sender and charts over one messenger.

    chats:  ids as text; every event goes to each of them.
    charts: None draws nothing (replay). bus: where a refusal is announced; None only logs it.
    """

    def __init__(
        self,
        *,
        store: Store,
        messenger: Messenger,
        clock: Clock,
        chats: Sequence[str],
        log: Any,
        owner: str,
        bus: Bus | None = None,
        cache: Cache | None = None,
        charts: ChartService | None = None,
        limits: SenderLimits | None = None,
        words: Words = LANGUAGES["en"],
    ) -> None:
        self.chats = tuple(chats)
        self._clock = clock
        self._messenger = messenger
        self._charts = charts
        self._bus = bus
        self._words = words
        self._log = log
        self._outbox = OutboxStore(store)
        self._chart_tasks: set[asyncio.Task[None]] = set()
        self._charts_in_hand: set[tuple[str, str, bool]] = set()
        self._sender = Sender(
            store=store,
            cache=cache,
            messenger=messenger,
            clock=clock,
            chats=chats,
            words=words,
            owner=owner,
            limits=limits or SenderLimits(),
            log=log,
            show_signal=self._picture_after_text if charts is not None and messenger.draws_charts else None,
            on_refused=self._announce_refusal,
        )

    async def handle(self, events: Sequence[Event]) -> None:
        """Queue the events durably; sending goes on beside. A replay hands in one event and drains, so that what is
        merged does not depend on the size of its batches.
        """
        await queue_events(events, chats=self.chats, outbox=self._outbox, clock=self._clock, offer=self._sender.offer)

    async def handle_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """For shared.runtime.consumer: durable when it returns."""
        await self.handle([delivery.event for delivery in deliveries])

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop; pictures in the making are finished."""
        await self._sender.run(stopping)
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks), timeout=_CHART_WAIT_SECONDS_MAX)

    async def drain(self) -> None:
        """Send all that may go now; returns when it is recorded and every picture is out."""
        await self._sender.drain()
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks))

    def status(self) -> dict[str, object]:
        """Figures for `status`."""
        return {**self._sender.status(), "charts_in_the_making": len(self._chart_tasks), "chats": len(self.chats)}

    def start_chart(self, chat: str, signal: Signal, message_id: int) -> bool:
        """Draw and show a signal's chart in the background; False where the same one is already on its way."""
        key = (chat, signal.signal_id, signal.exit is not None)
        if key in self._charts_in_hand:
            return False
        self._charts_in_hand.add(key)
        task = asyncio.create_task(self._show_chart(chat, signal, message_id))
        self._chart_tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._chart_tasks.discard(finished)
            self._charts_in_hand.discard(key)

        task.add_done_callback(done)
        return True

    async def charts_done(self, timeout_seconds: float) -> None:
        """Wait for the pictures in the making, at most so long."""
        if self._chart_tasks:
            await asyncio.wait(set(self._chart_tasks), timeout=timeout_seconds)

    async def _picture_after_text(self, chat: str, signal: Signal, message_id: int) -> None:
        self.start_chart(chat, signal, message_id)

    async def _show_chart(self, chat: str, signal: Signal, message_id: int) -> None:
        if self._charts is None:
            return
        log = self._log.bind(chat=chat, signal_id=signal.signal_id)
        try:
            picture = await self._charts.picture(signal)
            post = Post(chat=chat, text=chart_caption(self._words, signal), signal=signal)
            await self._show(post, picture, message_id)
            log.info("chart_shown", bytes=len(picture))
        except ChartUnavailableError as error:
            log.warning("chart_unavailable", reason=str(error))
            await self._say_unavailable(chat, signal, str(error))
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError, RefusedError) as error:
            log.warning("chart_not_shown", reason=str(error))
        except Exception:
            log.exception("chart_failed")

    async def _show(self, post: Post, picture: bytes, message_id: int) -> None:
        try:
            await self._messenger.show_chart(post, picture, reply_to=message_id)
        except RetryLaterError as error:  # once more; a picture is asked for again by pressing again
            await asyncio.sleep(min(error.seconds, _CHART_WAIT_SECONDS_MAX))
            await self._messenger.show_chart(post, picture, reply_to=message_id)

    async def _say_unavailable(self, chat: str, signal: Signal, reason: str) -> None:
        if not self._messenger.draws_charts:  # somebody pressed a button and waits
            text = self._words.chart_failed.format(signal_id=signal.signal_id, reason=reason)
            await self._messenger.send(Post(chat=chat, text=text, signal=None))

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
