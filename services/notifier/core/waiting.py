"""What waits in one chat, in the order of its urgency: kept sorted, since thousands may wait behind one a second."""

from bisect import bisect_left, insort
from typing import Final, NamedTuple

from services.notifier.core.outbox import Group
from shared.domain.outbox import Priority

NEVER_MS: Final = 2**62


class Waiting(NamedTuple):
    """A group with what it is sorted and asked by, computed once: thousands may wait behind a limit of one a second."""

    priority: Priority
    queued_at_ms: int
    subject: str
    not_before_ms: int
    expires_at_ms: int
    group: Group

    @property
    def urgency(self) -> tuple[Priority, int, str]:
        """What goes first; the same for no two groups of a chat."""
        return self.priority, self.queued_at_ms, self.subject


class WaitingQueue:
    """One chat's groups in the order of their urgency.

    touched: subjects whose group has to be made anew. expiring: how many groups may become too old.
    """

    def __init__(self) -> None:
        self.items: list[Waiting] = []
        self.touched: set[str] = set()
        self._by_subject: dict[str, Waiting] = {}
        self._in_digest: set[str] = set()
        self.expiring = 0

    @property
    def digest_begun(self) -> bool:
        """Whether rows wait that a digest has to tell again."""
        return bool(self._in_digest)

    def priority_of(self, subject: str, on_its_way: Priority) -> Priority:
        """The more urgent of what is on its way and what waits behind it."""
        item = self._by_subject.get(subject)
        return on_its_way if item is None else min(on_its_way, item.priority)

    def replace(self, subject: str, item: Waiting | None) -> None:
        """The subject's group is this one now; None: there is none any more."""
        former = self._by_subject.pop(subject, None)
        if former is not None:
            del self.items[bisect_left(self.items, former.urgency, key=urgency)]
            self._in_digest.discard(subject)
            self.expiring -= former.expires_at_ms < NEVER_MS
        if item is not None:
            self._by_subject[subject] = item
            insort(self.items, item, key=urgency)
            self.expiring += item.expires_at_ms < NEVER_MS
            if any(row.in_digest for row in item.group.rows):
                self._in_digest.add(subject)


def urgency(item: Waiting) -> tuple[Priority, int, str]:
    """The key to sort by."""
    return item.urgency
