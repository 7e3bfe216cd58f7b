"""The open rows a sender knows, and which of them may go now. Reads no clock: times are handed in (wall, ms)."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from services.notifier.core.chats import Digest
from services.notifier.core.outbox import Group
from services.notifier.core.rates import RateBudget, Slot
from services.notifier.core.waiting import NEVER_MS, Waiting, WaitingQueue, urgency
from shared.domain.outbox import OutboxRow, Priority

DIGEST: Final = "digest"
_HELD_ATTEMPTS_MAX: Final = 2  # how long an exit that waits for another attempt holds back what is less urgent


class ChatRules(Protocol):
    """What the book asks about chats."""

    def quiet_until_ms(self, chat: str, now_ms: int) -> int | None:
        """When the chat's quiet hours end; None while it is not quiet."""

    def expires_at_ms(self, row: OutboxRow) -> int | None:
        """When an unsent row is too old for its chat."""

    def digest(self, chat: str) -> Digest | None:
        """When the chat wants digests."""


class NoRules:
    """A chat that wants everything, always."""

    def quiet_until_ms(self, chat: str, now_ms: int) -> int | None:
        """Never quiet."""
        del chat, now_ms
        return None

    def expires_at_ms(self, row: OutboxRow) -> int | None:
        """Never."""
        del row
        return None

    def digest(self, chat: str) -> Digest | None:
        """Never."""
        del chat
        return None


class OutboxBook:
    """Orders what goes out.

    One subject is never in flight twice, so order within a signal is kept; a chat has at most `in_flight_max` at once
    and spends its budget; a less urgent class starts only when nothing more urgent of the chat is on its way; a paused
    chat (retry_after) holds back nobody else.
    """

    def __init__(self, *, in_flight_max: int, rules: ChatRules | None = None, budget: RateBudget | None = None) -> None:
        self._in_flight_max = in_flight_max
        self._rules = rules or NoRules()
        self.budget = budget or RateBudget(None)
        self._rows: dict[str, dict[str, dict[str, OutboxRow]]] = {}
        self._queues: dict[str, WaitingQueue] = defaultdict(WaitingQueue)
        self._in_flight: dict[str, dict[str, Priority]] = defaultdict(dict)
        self._slots: dict[tuple[str, str], Slot] = {}
        self._paused_until_ms: dict[str, int] = {}
        self._held_until_ms: dict[tuple[str, str], int] = {}
        self._arrivals: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=10_000))
        self._digest_at_ms: dict[str, int] = {}

    def put(self, rows: Iterable[OutboxRow]) -> None:
        """Add rows, or replace those known."""
        for row in rows:
            of_subject = self._rows.setdefault(row.chat, {}).setdefault(row.subject, {})
            if row.event_id not in of_subject and not row.attempts and row.priority is not Priority.EXIT:
                self._arrivals[row.chat].append(row.queued_at_ms)
            of_subject[row.event_id] = row
            self._queues[row.chat].touched.add(row.subject)

    def drop(self, row: OutboxRow) -> None:
        """Forget a row: it is final, or another sender has it."""
        subjects = self._rows.get(row.chat, {})
        rows = subjects.get(row.subject, {})
        rows.pop(row.event_id, None)
        self._queues[row.chat].touched.add(row.subject)
        if not rows:
            subjects.pop(row.subject, None)

    def knows(self, row: OutboxRow) -> bool:
        """Whether the row is in the book."""
        return row.event_id in self._rows.get(row.chat, {}).get(row.subject, {})

    def pause(self, chat: str, until_ms: int) -> None:
        """Nothing goes to the chat before then."""
        self._paused_until_ms[chat] = max(until_ms, self._paused_until_ms.get(chat, 0))

    def hold(self, chat: str, subject: str, until_ms: int) -> None:
        """What is merely informative about the subject waits until then (progress edits, reports of one kind)."""
        self._held_until_ms[chat, subject] = until_ms

    def start(self, group: Group, now_ms: int) -> None:
        """The group is on its way."""
        for subject in group.subjects:
            self._in_flight[group.chat][subject] = group.priority
        self._slots[group.chat, group.subject] = self.budget.take(group.chat, now_ms, in_flight=True)

    def answered(self, group: Group, now_ms: int) -> None:
        """The messenger has said what became of it: from now on its second counts."""
        if (slot := self._slots.pop((group.chat, group.subject), None)) is not None:
            slot.at_ms = now_ms

    def finish(self, group: Group) -> None:
        """Its outcome is recorded, or it was given up."""
        for subject in group.subjects:
            self._in_flight[group.chat].pop(subject, None)
        self._slots.pop((group.chat, group.subject), None)

    def ready(self, chats: Iterable[str], now_ms: int) -> list[Group]:
        """What may start now: exits first, then entries, then the rest, each oldest first, as far as budgets reach."""
        found: list[Waiting] = []
        for chat in chats:
            if self._paused_until_ms.get(chat, 0) <= now_ms:
                found += self._ready_of(chat, now_ms)
        room = self.budget.room_of_all(now_ms)
        return [item.group for item in sorted(found, key=urgency)[: None if room is None else max(0, room)]]

    def expired(self, chats: Iterable[str], now_ms: int) -> list[OutboxRow]:
        """Rows that certainly did not arrive and that their chat does not want any more; an exit beside them keeps them."""
        due = [item for chat in chats for item in self._expiring(chat) if item.expires_at_ms <= now_ms]
        rows = [row for item in due if item.priority is not Priority.EXIT for row in item.group.rows]
        return [row for row in rows if not row.outcome_unknown and self._expires_at_ms(row) <= now_ms]

    def next_time_ms(self, chats: Iterable[str], now_ms: int) -> int | None:
        """When something that waits for a time may start; None when nothing does."""
        times = []
        for chat in chats:
            floor_ms = max(self._paused_until_ms.get(chat, 0), self.budget.next_ms(chat))
            first = True
            for item in self._waiting(chat):
                if first:
                    times += [self._rules.quiet_until_ms(chat, now_ms) or 0, self._digest_at_ms.get(chat, 0)]
                    first = False
                times.append(max(item.not_before_ms, floor_ms, self._hold_ms(chat, item)))
                if times[-1] <= max(floor_ms, now_ms):
                    break  # nothing behind it can be sooner
        return min((time for time in times if time > now_ms), default=None)

    def counts(self) -> dict[str, int]:
        """How many rows are open, and on their way."""
        rows = sum(len(rows) for subjects in self._rows.values() for rows in subjects.values())
        return {"open": rows, "in_flight": sum(len(subjects) for subjects in self._in_flight.values())}

    def is_idle(self, chat: str, now_ms: int) -> bool:
        """Whether the chat could get one more message and nothing that waits could go instead."""
        if self._paused_until_ms.get(chat, 0) > now_ms or self._in_flight[chat]:
            return False
        room, of_all = self.budget.room(chat, now_ms), self.budget.room_of_all(now_ms)
        return room != 0 and of_all != 0 and not self._ready_of(chat, now_ms)

    def _ready_of(self, chat: str, now_ms: int) -> list[Waiting]:
        in_flight = self._in_flight[chat]
        room = self.budget.room(chat, now_ms)
        free = min(self._in_flight_max - len(in_flight), self._in_flight_max if room is None else room)
        if free <= 0:
            return []
        self._refresh(chat)
        queue = self._queues[chat]
        # An exit that waits for its own entry to arrive is as urgent as one that is on its way.
        urgent = (queue.priority_of(subject, priority) for subject, priority in in_flight.items())
        most_urgent = min(urgent, default=Priority.INFORMATION)
        quiet = self._rules.quiet_until_ms(chat, now_ms) is not None
        chosen: list[Waiting] = []
        for item in self._candidates(chat, now_ms):
            if len(chosen) >= free or item.priority > most_urgent or (quiet and item.priority is not Priority.EXIT):
                break
            if _holds_back(item, now_ms):
                most_urgent = Priority.EXIT
            elif self._may_go(chat, item, now_ms):
                most_urgent = item.priority
                chosen.append(item)
        return chosen

    def _candidates(self, chat: str, now_ms: int) -> Iterable[Waiting]:
        """What waits, the most urgent first; in a flood a digest in place of what is no exit."""
        rule = self._rules.digest(chat)
        waiting = self._waiting(chat)
        if not self._queues[chat].digest_begun and (rule is None or not self._flooded(chat, rule, now_ms)):
            self._digest_at_ms.pop(chat, None)
            return waiting
        able = [item for item in self._waiting(chat) if self._may_go(chat, item, now_ms) or _holds_back(item, now_ms)]
        return sorted(self._with_digest(chat, rule, able, now_ms), key=urgency)

    def _may_go(self, chat: str, item: Waiting, now_ms: int) -> bool:
        return max(item.not_before_ms, self._hold_ms(chat, item)) <= now_ms

    def _hold_ms(self, chat: str, item: Waiting) -> int:
        informative = item.priority is Priority.INFORMATION
        return self._held_until_ms.get((chat, item.subject), 0) if informative else 0

    def _with_digest(self, chat: str, rule: Digest | None, able: list[Waiting], now_ms: int) -> list[Waiting]:
        """One digest of everything but exits and what was tried by itself; it gathers for a window before it goes."""
        apart = [item for item in able if item.priority is Priority.EXIT or _tried_alone(item)]
        together = [item for item in able if item.priority is not Priority.EXIT and not _tried_alone(item)]
        begun = any(row.in_digest for item in together for row in item.group.rows)
        if not together:
            return apart
        window_ms = rule.window_ms if rule else 0
        at_ms = self._digest_at_ms.setdefault(chat, min(item.queued_at_ms for item in together) + window_ms)
        if at_ms > now_ms and not begun:
            return apart
        self._digest_at_ms.pop(chat, None)
        first = min(together, key=urgency)
        rows = tuple(row for item in sorted(together, key=lambda one: one.queued_at_ms) for row in item.group.rows)
        group = Group(chat=chat, subject=DIGEST, rows=rows, is_digest=True)
        return [*apart, Waiting(first.priority, first.queued_at_ms, DIGEST, 0, NEVER_MS, group)]

    def _flooded(self, chat: str, rule: Digest, now_ms: int) -> bool:
        """Too many arrived within the window, or wait now (after quiet hours, a long retry_after)."""
        arrivals = self._arrivals[chat]
        while arrivals and arrivals[0] <= now_ms - rule.window_ms:
            arrivals.popleft()
        waiting = sum(item.priority is not Priority.EXIT for item in self._waiting(chat))
        return max(len(arrivals), waiting) > rule.more_than

    def _waiting(self, chat: str) -> Iterator[Waiting]:
        """What is not on its way, the most urgent first."""
        self._refresh(chat)
        in_flight = self._in_flight[chat]
        return (item for item in self._queues[chat].items if item.subject not in in_flight)

    def _refresh(self, chat: str) -> None:
        """Make the groups anew whose rows changed."""
        queue = self._queues[chat]
        for subject in queue.touched:
            rows = self._rows.get(chat, {}).get(subject, {})
            queue.replace(subject, self._group(chat, subject, rows) if rows else None)
        queue.touched.clear()

    def _expiring(self, chat: str) -> list[Waiting]:
        waiting = self._waiting(chat)
        return list(waiting) if self._queues[chat].expiring else []

    def _group(self, chat: str, subject: str, rows: dict[str, OutboxRow]) -> Waiting:
        group = Group(chat=chat, subject=subject, rows=tuple(sorted(rows.values(), key=_row_order)))
        expires_at_ms = min(self._expires_at_ms(row) for row in group.rows)
        return Waiting(group.priority, group.queued_at_ms, subject, group.not_before_ms, expires_at_ms, group)

    def _expires_at_ms(self, row: OutboxRow) -> int:
        at_ms = self._rules.expires_at_ms(row)
        return NEVER_MS if at_ms is None else at_ms


def _holds_back(item: Waiting, now_ms: int) -> bool:
    """An exit that waits for its next attempt lets nothing pass at first; what fails again and again must not block."""
    waits = item.priority is Priority.EXIT and item.not_before_ms > now_ms
    return waits and item.group.attempts <= _HELD_ATTEMPTS_MAX


def _tried_alone(item: Waiting) -> bool:
    return any(row.attempts and not row.in_digest for row in item.group.rows)


def _row_order(row: OutboxRow) -> tuple[int, str]:
    return row.version, row.event_id
