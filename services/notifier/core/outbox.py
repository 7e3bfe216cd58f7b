"""What becomes of an outbox row: its states, and which rows are sent next."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from shared.domain.outbox import OutboxRow, OutboxState, Priority

BACKOFF_FIRST_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 300_000


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one subject in one chat that one message tells together, in the order of their versions."""

    chat: str
    subject: str
    rows: tuple[OutboxRow, ...]

    @property
    def priority(self) -> Priority:
        """The most urgent row decides."""
        return min(row.priority for row in self.rows)

    @property
    def queued_at_ms(self) -> int:
        """When its oldest row was queued (wall clock)."""
        return min(row.queued_at_ms for row in self.rows)

    @property
    def not_before_ms(self) -> int:
        """A row that must wait holds back its whole subject: order within a signal is kept."""
        return max(row.not_before_ms for row in self.rows)


def claimed(row: OutboxRow, *, fence: int) -> OutboxRow:
    """Taken by the sender with this fence. After an unknown outcome the attempt is a repeat."""
    return msgspec.structs.replace(
        row,
        state=OutboxState.CLAIMED,
        attempts=row.attempts + 1,
        repeats=row.repeats + int(row.outcome_unknown),
        claim_fence=fence,
    )


def sent(row: OutboxRow, *, message_id: int) -> OutboxRow:
    """The chat has it."""
    return msgspec.structs.replace(row, state=OutboxState.SENT, message_id=message_id, reason="")


def merged(row: OutboxRow, *, message_id: int) -> OutboxRow:
    """Told by the message of another row of its subject."""
    return msgspec.structs.replace(row, state=OutboxState.MERGED, message_id=message_id, reason="")


def failed(row: OutboxRow, *, reason: str) -> OutboxRow:
    """Refused for good."""
    return msgspec.structs.replace(row, state=OutboxState.FAILED, reason=reason)


def requeued(row: OutboxRow, *, not_before_ms: int, reason: str) -> OutboxRow:
    """Certainly not delivered (retry_after, no connection): the next attempt is no repeat of this one.

    An earlier attempt of unknown outcome stays counted in `repeats`.
    """
    return msgspec.structs.replace(row, state=OutboxState.QUEUED, not_before_ms=not_before_ms, reason=reason)


def unknown(row: OutboxRow, *, not_before_ms: int, reason: str) -> OutboxRow:
    """It may have been delivered: the next attempt is a repeat and says so."""
    return msgspec.structs.replace(row, state=OutboxState.UNKNOWN, not_before_ms=not_before_ms, reason=reason)


def backoff_ms(attempts: int, *, first_ms: int = BACKOFF_FIRST_MS, max_ms: int = BACKOFF_MAX_MS) -> int:
    """How long to wait after the n-th attempt (from 1): first_ms, twice that, ... at most max_ms."""
    return min(max_ms, first_ms << min(max(attempts, 1) - 1, 20))


class OutboxBook:
    """The open rows this sender knows, and which of them may go now. Reads no clock: times are handed in (wall, ms).

    One subject is never in flight twice, so order within a signal is kept; a chat has at most `in_flight_max` at once,
    and a less urgent class starts only when nothing more urgent of the chat is on its way; a paused chat (retry_after)
    holds back nobody else.
    """

    def __init__(self, *, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._rows: dict[str, dict[str, dict[str, OutboxRow]]] = {}
        self._in_flight: dict[str, dict[str, Priority]] = {}
        self._paused_until_ms: dict[str, int] = {}

    def put(self, rows: Iterable[OutboxRow]) -> None:
        """Add rows, or replace those known."""
        for row in rows:
            self._rows.setdefault(row.chat, {}).setdefault(row.subject, {})[row.event_id] = row

    def drop(self, row: OutboxRow) -> None:
        """Forget a row: it is final, or another sender has it."""
        subjects = self._rows.get(row.chat, {})
        rows = subjects.get(row.subject, {})
        rows.pop(row.event_id, None)
        if not rows:
            subjects.pop(row.subject, None)

    def knows(self, row: OutboxRow) -> bool:
        """Whether the row is in the book."""
        return row.event_id in self._rows.get(row.chat, {}).get(row.subject, {})

    def pause(self, chat: str, until_ms: int) -> None:
        """Nothing goes to the chat before then."""
        self._paused_until_ms[chat] = max(until_ms, self._paused_until_ms.get(chat, 0))

    def start(self, group: Group) -> None:
        """The group is on its way."""
        self._in_flight.setdefault(group.chat, {})[group.subject] = group.priority

    def finish(self, group: Group) -> None:
        """Its outcome is recorded, or it was given up."""
        self._in_flight.get(group.chat, {}).pop(group.subject, None)

    def ready(self, chats: Iterable[str], now_ms: int) -> list[Group]:
        """What may start now: exits first, then entries, then the rest, each oldest first."""
        found: list[Group] = []
        for chat in chats:
            if self._paused_until_ms.get(chat, 0) <= now_ms:
                found += self._ready_of(chat, now_ms)
        return sorted(found, key=_urgency)

    def next_time_ms(self, chats: Iterable[str], now_ms: int) -> int | None:
        """When something that waits for a time may start; None when nothing does."""
        times = []
        for chat in chats:
            pause_ms = self._paused_until_ms.get(chat, 0)
            times += [max(group.not_before_ms, pause_ms) for group in self._waiting(chat)]
        return min((time for time in times if time > now_ms), default=None)

    def counts(self) -> dict[str, int]:
        """How many rows are open, and on their way."""
        rows = sum(len(rows) for subjects in self._rows.values() for rows in subjects.values())
        return {"open": rows, "in_flight": sum(len(subjects) for subjects in self._in_flight.values())}

    def _ready_of(self, chat: str, now_ms: int) -> list[Group]:
        in_flight = self._in_flight.get(chat, {})
        most_urgent = min(in_flight.values(), default=Priority.INFORMATION)
        free = self._in_flight_max - len(in_flight)
        ready = sorted((group for group in self._waiting(chat) if group.not_before_ms <= now_ms), key=_urgency)
        chosen: list[Group] = []
        for group in ready[: max(0, free)]:
            if group.priority > most_urgent:
                break
            most_urgent = group.priority
            chosen.append(group)
        return chosen

    def _waiting(self, chat: str) -> Iterator[Group]:
        in_flight = self._in_flight.get(chat, {})
        for subject, rows in self._rows.get(chat, {}).items():
            if rows and subject not in in_flight:
                yield Group(chat=chat, subject=subject, rows=tuple(sorted(rows.values(), key=_version)))


def _urgency(group: Group) -> tuple[Priority, int, str]:
    return group.priority, group.queued_at_ms, group.subject


def _version(row: OutboxRow) -> int:
    return 0 if row.signal is None else row.signal.version
