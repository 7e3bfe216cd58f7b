"""The open rows a sender knows, and which of them may go now. Reads no clock: times are handed in (wall, ms)."""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from services.notifier.core.chats import Digest
from services.notifier.core.outbox import Group
from services.notifier.core.rates import RateBudget, Slot
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


class _Waiting(NamedTuple):
    """A group with what it is sorted and asked by, computed once."""

    priority: Priority
    queued_at_ms: int
    subject: str
    not_before_ms: int
    group: Group


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
        self._sorted: dict[str, dict[str, _Waiting]] = defaultdict(dict)
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
            self._sorted[row.chat].pop(row.subject, None)

    def drop(self, row: OutboxRow) -> None:
        """Forget a row: it is final, or another sender has it."""
        subjects = self._rows.get(row.chat, {})
        rows = subjects.get(row.subject, {})
        rows.pop(row.event_id, None)
        self._sorted[row.chat].pop(row.subject, None)
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
        self._slots[group.chat, group.subject] = self.budget.take(group.chat, now_ms)

    def answered(self, group: Group, now_ms: int) -> None:
        """The messenger has said what became of it: from now on its second counts."""
        if (slot := self._slots.pop((group.chat, group.subject), None)) is not None:
            slot.at_ms = max(slot.at_ms, now_ms)

    def finish(self, group: Group) -> None:
        """Its outcome is recorded, or it was given up."""
        for subject in group.subjects:
            self._in_flight[group.chat].pop(subject, None)
        self._slots.pop((group.chat, group.subject), None)

    def ready(self, chats: Iterable[str], now_ms: int) -> list[Group]:
        """What may start now: exits first, then entries, then the rest, each oldest first, as far as budgets reach."""
        found: list[_Waiting] = []
        for chat in chats:
            if self._paused_until_ms.get(chat, 0) <= now_ms:
                found += self._ready_of(chat, now_ms)
        room = self.budget.room_of_all(now_ms)
        return [item.group for item in sorted(found, key=_urgency)[: None if room is None else max(0, room)]]

    def expired(self, chats: Iterable[str], now_ms: int) -> list[OutboxRow]:
        """Rows never tried that their chat does not want any more; an exit that waits beside them keeps them."""
        found = []
        for chat in chats:
            for subject, rows in self._rows.get(chat, {}).items():
                listed = list(rows.values())
                if subject in self._in_flight[chat] or any(row.priority is Priority.EXIT for row in listed):
                    continue
                for row in listed:
                    at_ms = None if row.outcome_unknown else self._rules.expires_at_ms(row)
                    if at_ms is not None and at_ms <= now_ms:
                        found.append(row)
        return found

    def next_time_ms(self, chats: Iterable[str], now_ms: int) -> int | None:
        """When something that waits for a time may start; None when nothing does."""
        times = []
        for chat in chats:
            waiting = self._waiting(chat)
            if not waiting:
                continue
            floor_ms = max(self._paused_until_ms.get(chat, 0), self.budget.next_ms(chat))
            times += [max(item.not_before_ms, floor_ms, self._hold_ms(chat, item)) for item in waiting]
            times += [self._rules.quiet_until_ms(chat, now_ms) or 0, self._digest_at_ms.get(chat, 0)]
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

    def _ready_of(self, chat: str, now_ms: int) -> list[_Waiting]:
        in_flight = self._in_flight[chat]
        room = self.budget.room(chat, now_ms)
        free = min(self._in_flight_max - len(in_flight), self._in_flight_max if room is None else room)
        if free <= 0:
            return []
        most_urgent = min(in_flight.values(), default=Priority.INFORMATION)
        waiting = self._waiting(chat)
        if any(_holds_back(item, now_ms) for item in waiting):
            most_urgent = Priority.EXIT
        quiet = self._rules.quiet_until_ms(chat, now_ms) is not None
        able = [item for item in waiting if self._may_go(chat, item, now_ms, quiet=quiet)]
        chosen: list[_Waiting] = []
        for item in sorted(self._with_digest(chat, able, now_ms), key=_urgency)[:free]:
            if item.priority > most_urgent:
                break
            most_urgent = item.priority
            chosen.append(item)
        return chosen

    def _may_go(self, chat: str, item: _Waiting, now_ms: int, *, quiet: bool) -> bool:
        if item.not_before_ms > now_ms or (quiet and item.priority is not Priority.EXIT):
            return False
        return self._hold_ms(chat, item) <= now_ms

    def _hold_ms(self, chat: str, item: _Waiting) -> int:
        informative = item.priority is Priority.INFORMATION
        return self._held_until_ms.get((chat, item.subject), 0) if informative else 0

    def _with_digest(self, chat: str, able: list[_Waiting], now_ms: int) -> list[_Waiting]:
        """In a flood, one digest in place of what is no exit; it gathers for a window before it goes."""
        rule = self._rules.digest(chat)
        apart = [item for item in able if item.priority is Priority.EXIT]
        together = [item for item in able if item.priority is not Priority.EXIT]
        begun = any(row.in_digest for item in together for row in item.group.rows)
        if not begun and (rule is None or not self._flooded(chat, rule, now_ms, len(together))):
            self._digest_at_ms.pop(chat, None)
            return able
        apart += [item for item in together if _tried_alone(item)]
        together = [item for item in together if not _tried_alone(item)]
        if not together:
            return apart
        window_ms = rule.window_ms if rule else 0
        at_ms = self._digest_at_ms.setdefault(chat, min(item.queued_at_ms for item in together) + window_ms)
        if at_ms > now_ms and not begun:
            return apart
        self._digest_at_ms.pop(chat, None)
        first = min(together, key=_urgency)
        rows = tuple(row for item in sorted(together, key=lambda one: one.queued_at_ms) for row in item.group.rows)
        group = Group(chat=chat, subject=DIGEST, rows=rows, is_digest=True)
        return [*apart, _Waiting(first.priority, first.queued_at_ms, DIGEST, 0, group)]

    def _flooded(self, chat: str, rule: Digest, now_ms: int, waiting: int) -> bool:
        """Too many arrived within the window, or wait now (after quiet hours, a long retry_after)."""
        arrivals = self._arrivals[chat]
        while arrivals and arrivals[0] <= now_ms - rule.window_ms:
            arrivals.popleft()
        return max(len(arrivals), waiting) > rule.more_than

    def _waiting(self, chat: str) -> list[_Waiting]:
        known, in_flight = self._sorted[chat], self._in_flight[chat]
        for subject, rows in self._rows.get(chat, {}).items():
            if subject not in known:
                group = Group(chat=chat, subject=subject, rows=tuple(sorted(rows.values(), key=_row_order)))
                known[subject] = _Waiting(group.priority, group.queued_at_ms, subject, group.not_before_ms, group)
        return [item for subject, item in known.items() if subject not in in_flight]


def _holds_back(item: _Waiting, now_ms: int) -> bool:
    """An exit that waits for its next attempt lets nothing pass at first; what fails again and again must not block."""
    waits = item.priority is Priority.EXIT and item.not_before_ms > now_ms
    return waits and item.group.attempts <= _HELD_ATTEMPTS_MAX


def _urgency(item: _Waiting) -> tuple[Priority, int, str]:
    return item.priority, item.queued_at_ms, item.subject


def _tried_alone(item: _Waiting) -> bool:
    return any(row.attempts and not row.in_digest for row in item.group.rows)


def _row_order(row: OutboxRow) -> tuple[int, str]:
    return row.version, row.event_id
