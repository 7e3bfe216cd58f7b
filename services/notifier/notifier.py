"""The notifier as one object: events in, messages out. main.py runs it live; a replay drives it on event time."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from services.notifier.charts import ChartService
from services.notifier.chats import Chats
from services.notifier.core.chats import ChatProfile
from services.notifier.handlers import Queue
from services.notifier.limits import SenderLimits
from services.notifier.macro_charts import MacroCharts
from services.notifier.means import Hooks, Means
from services.notifier.messengers.port import (
    Messenger,
)
from services.notifier.picture_making import PictureMaker
from services.notifier.pictures import Picture
from services.notifier.platform_notices import PlatformNotices
from services.notifier.sender import Sender
from services.notifier.state import NotifierState
from shared.bus.port import Bus, Delivery
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import Event, Severity, SystemEvent
from shared.domain.outbox import OutboxRow
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
        self._bus = bus
        self._log = log
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
        self._pictures = PictureMaker(means, charts=charts, macro_charts=macro_charts, offer=self._offer_picture)
        hooks = Hooks(
            on_lead=self._came_up if announce else None,
            on_leave=self._going_down if announce else None,
            show_signal=self._pictures.of_signal if charts is not None else None,
            show_bias=self._pictures.of_bias if macro_charts is not None else None,
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
        await self._pictures.done(_CHART_WAIT_SECONDS_MAX)

    def _offer_picture(self, picture: Picture) -> None:
        self._sender.offer_picture(picture)

    async def _came_up(self) -> None:
        await self._notices.up()

    async def _going_down(self) -> Sequence[OutboxRow]:
        return await self._notices.down()

    async def drain(self) -> None:
        """Send all that may go now; returns when it is recorded and every picture is out."""
        await self._sender.drain()
        await self._pictures.done()

    def status(self) -> dict[str, object]:
        """Figures for `status`."""
        counts = {"charts_in_the_making": self._pictures.in_the_making, "chats": len(self.chats.names)}
        return {**self._sender.status(), **counts}

    async def charts_done(self, timeout_seconds: float) -> None:
        """Wait for the pictures in the making, at most so long."""
        await self._pictures.done(timeout_seconds)

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
