"""Message in: events become outbox rows, one per chat. Durable when this returns; then the caller acknowledges."""

from collections.abc import Callable, Iterable, Sequence

from shared.domain.errors import PermanentError
from shared.domain.events import AlertRaised, Event, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.outbox import OutboxEvent, OutboxRow
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point
from shared.store.outbox import OutboxStore, StoredRow

Offer = Callable[[Iterable[StoredRow]], None]


async def queue_events(
    events: Sequence[Event], *, chats: Sequence[str], outbox: OutboxStore, clock: Clock, offer: Offer
) -> None:
    """Store one row per event and chat and hand the new ones to the sender. A redelivered event changes nothing.

    Raises PermanentError for an event that no chat is told.
    """
    now_ms = clock.wall_ms()
    told = [_told(event) for event in events]
    rows = {
        (chat, event.event_id): OutboxRow(chat=chat, event=event, queued_at_ms=now_ms)
        for event in told
        for chat in chats
    }
    if not rows:
        return
    added = await outbox.add(list(rows.values()))
    crash_point("notifier.queued")
    offer(added)


def _told(event: Event) -> OutboxEvent:
    if isinstance(event, SignalOpened | SignalProgressed | SignalClosed | AlertRaised | SystemEvent):
        return event
    raise PermanentError(f"the notifier tells signals, alerts and system events, was {type(event).__name__}")
