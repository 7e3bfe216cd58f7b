"""The open rows one sender works on: its book in memory and the store behind it, kept in step."""

from collections.abc import Iterable, Sequence

import msgspec

from services.notifier.core import outbox as rules
from services.notifier.core.book import ChatRules, OutboxBook
from services.notifier.core.outbox import Group
from services.notifier.core.rates import RateBudget
from shared.domain.outbox import OutboxRow, OutboxState
from shared.store.outbox import OutboxStore, StoredRow, outbox_key, row_write
from shared.store.port import Store, Write

FLOOD_REASON = "retry after"  # how RetryLaterError begins


class OpenRows:
    """Knows every open row with its revision; all writes are conditional on it and carry the sender's fence."""

    def __init__(
        self,
        store: Store,
        *,
        chats: Sequence[str],
        in_flight_max: int,
        rules: ChatRules | None = None,
        budget: RateBudget | None = None,
    ) -> None:
        self.book = OutboxBook(in_flight_max=in_flight_max, rules=rules, budget=budget)
        self.chats = tuple(chats)
        self._outbox = OutboxStore(store)
        self._revisions: dict[str, int] = {}
        self._done_marks: set[str] = set()

    def know(self, item: StoredRow) -> None:
        """A row as it is stored now."""
        row = item.row
        self._revisions[outbox_key(row)] = item.revision
        self.book.put([row])
        if row.state is OutboxState.QUEUED and row.reason.startswith(FLOOD_REASON):
            self.book.pause(row.chat, row.not_before_ms)  # a restart honours what its predecessor was told

    def forget(self, rows: Iterable[OutboxRow]) -> None:
        """Another sender has them, or nobody knows: the next scan finds what is left of them."""
        for row in rows:
            self.book.drop(row)
            self._revisions.pop(outbox_key(row), None)

    def close(self, rows: Sequence[OutboxRow]) -> None:
        """They are final and stored; their marks go later."""
        self.forget(rows)
        self._done_marks.update(outbox_key(row) for row in rows)

    def advance(self, rows: Iterable[OutboxRow]) -> None:
        """They were written as they are now, and stay open."""
        for row in rows:
            self.know(StoredRow(row=row, revision=self._revisions[outbox_key(row)] + 1))

    async def scan(self) -> None:
        """Find open rows that nobody handed over: after a restart, or queued by another instance."""
        await self.remove_marks()
        for item in await self._outbox.open_rows(skip=self._revisions):
            # A row that was recorded while the scan ran still looks open in what was read: its mark tells.
            recorded = outbox_key(item.row) in self._done_marks
            if item.row.chat in self.chats and not self.book.knows(item.row) and not recorded:
                self.know(item)

    async def claim(self, groups: Sequence[Group], fence: int) -> list[Group]:
        """Take the groups in one write; those where another sender was faster are forgotten."""
        wanted = [
            self._stored(rules.claimed(row, fence=fence, in_digest=group.is_digest))
            for group in groups
            for row in group.rows
        ]
        outcomes = iter(await self._outbox.update(wanted, fence))
        taken = []
        for group in groups:
            items = [next(outcomes) for _ in group.rows]
            held = [item for item in items if item is not None]
            if len(held) < len(items):
                self.forget(group.rows)
                continue
            for item in held:
                self.know(item)
            taken.append(msgspec.structs.replace(group, rows=tuple(item.row for item in held)))
        return taken

    async def put_back(self, rows: Sequence[OutboxRow], fence: int) -> None:
        """Store them as they are now; they stay open."""
        for item, row in zip(await self.write(rows, fence), rows, strict=True):
            if item is None:
                self.forget([row])
            else:
                self.know(item)

    async def write(self, rows: Sequence[OutboxRow], fence: int) -> list[StoredRow | None]:
        """Store them over the revisions known; None where that was refused."""
        return await self._outbox.update([self._stored(row) for row in rows], fence)

    def writes(self, rows: Sequence[OutboxRow], fence: int) -> list[Write]:
        """The same as writes, for a caller that stores more in one go."""
        items = [self._stored(row) for row in rows]
        return [row_write(item.row, expected_revision=item.revision, fence=fence) for item in items]

    async def remove_marks(self) -> None:
        """Marks of final rows go in one write, some time later: finding one costs a restart nothing."""
        done = tuple(self._done_marks)
        await self._outbox.unmark(done)
        self._done_marks.difference_update(done)

    def _stored(self, row: OutboxRow) -> StoredRow:
        return StoredRow(row=row, revision=self._revisions[outbox_key(row)])
