"""Message in: events become outbox rows, one per chat that wants them. Durable when this returns; then it is acknowledged."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from services.notifier.chats import Chats
from services.notifier.core import outbox as rules
from services.notifier.core.bias_changes import KnownBias, follow
from services.notifier.state import NotifierState
from shared.domain.errors import PermanentError
from shared.domain.events import (
    AlertRaised,
    Event,
    MacroBiasUpdated,
    SignalClosed,
    SignalOpened,
    SignalProgressed,
    SystemEvent,
)
from shared.domain.outbox import OutboxEvent, OutboxRow, OutboxState
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point
from shared.store.outbox import OutboxStore, StoredRow

Offer = Callable[[Iterable[StoredRow]], None]


class Queue:
    """Turns events into rows. A redelivered event finds its rows and changes nothing.

    alert_gather_ms: how long alerts of a pair wait for one another, so that one message tells them.
    """

    def __init__(
        self,
        *,
        outbox: OutboxStore,
        state: NotifierState,
        chats: Chats,
        clock: Clock,
        offer: Offer,
        alert_gather_ms: int,
    ) -> None:
        self._outbox = outbox
        self._state = state
        self._chats = chats
        self._clock = clock
        self._offer = offer
        self._alert_gather_ms = alert_gather_ms

    async def add(self, events: Sequence[Event]) -> list[OutboxRow]:
        """Store the rows and hand the new ones to the sender; returns those that wait to be sent. Raises PermanentError for an event that no chat is told."""
        await self._chats.refresh(self._clock.wall_ms())  # a pause from the webhook's process holds here, too
        rows: dict[tuple[str, str], OutboxRow] = {}
        learned: dict[tuple[str, str], tuple[KnownBias, int]] = {}
        for event in events:
            told = _told(event)
            if isinstance(told, MacroBiasUpdated):
                found = await self._bias_rows(told, learned)
            else:
                found = [self._row(chat, told) for chat in self._chats.wanting(told)]
            rows |= {(row.chat, row.event_id): row for row in found}
        waiting: list[StoredRow] = []
        if rows:
            added = await self._outbox.add(list(rows.values()))
            crash_point("notifier.queued")
            waiting = [item for item in added if not item.row.is_final]
            self._offer(waiting)
        for known, revision in learned.values():  # after the rows: were it before, a kill between would lose them
            await self._state.keep_bias(known, revision)
        return [item.row for item in waiting]

    def _row(self, chat: str, event: OutboxEvent) -> OutboxRow:
        now_ms = self._clock.wall_ms()
        waits_ms = self._alert_gather_ms if isinstance(event, AlertRaised) else 0
        row = OutboxRow(chat=chat, event=event, queued_at_ms=now_ms, not_before_ms=now_ms + waits_ms if waits_ms else 0)
        reason = self._chats.withheld_reason(chat, event, now_ms)
        return rules.ended(row, OutboxState.WITHHELD, reason=reason) if reason else row

    async def _bias_rows(
        self, event: MacroBiasUpdated, learned: dict[tuple[str, str], tuple[KnownBias, int]]
    ) -> list[OutboxRow]:
        pair = event.bias.base, event.bias.quote
        known, revision = learned[pair] if pair in learned else await self._state.bias(*pair)
        after, worth_telling = follow(known, event.bias)
        learned[pair] = after, revision
        if not worth_telling:
            return []
        before = known.told if known else None
        return [
            msgspec.structs.replace(self._row(chat, event), bias_binding=after.binding, bias_before=before)
            for chat in self._chats.wanting(event)
        ]


def _told(event: Event) -> OutboxEvent:
    if isinstance(event, SignalOpened | SignalProgressed | SignalClosed | AlertRaised | MacroBiasUpdated | SystemEvent):
        return event
    raise PermanentError(f"the notifier tells signals, alerts, bias and system events, was {type(event).__name__}")
