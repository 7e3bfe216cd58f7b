"""What becomes of an outbox row: its states, and the groups that one message tells."""

from typing import Final

import msgspec

from shared.domain.outbox import OPEN_STATES, OutboxRow, OutboxState, Priority

BACKOFF_FIRST_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 300_000


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one chat that one message tells together: of one subject in the order of their versions, or a digest's."""

    chat: str
    subject: str
    rows: tuple[OutboxRow, ...]
    is_digest: bool = False

    @property
    def subjects(self) -> frozenset[str]:
        """Everything it speaks of: on its way with it."""
        return frozenset(row.subject for row in self.rows) if self.is_digest else frozenset((self.subject,))

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
        """A row that must wait for another attempt holds back its whole subject, so that order within a signal is kept.

        Rows not tried yet wait for the first of them: what joins a gathering does not make it longer.
        """
        tried = [row.not_before_ms for row in self.rows if row.attempts]
        fresh = min((row.not_before_ms for row in self.rows if not row.attempts), default=0)
        return max([fresh, *tried])

    @property
    def attempts(self) -> int:
        """Of the row tried most."""
        return max(row.attempts for row in self.rows)


def claimed(row: OutboxRow, *, fence: int, in_digest: bool = False) -> OutboxRow:
    """Taken by the sender with this fence. After an unknown outcome the attempt is a repeat."""
    return msgspec.structs.replace(
        row,
        state=OutboxState.CLAIMED,
        attempts=row.attempts + 1,
        repeats=row.repeats + int(row.outcome_unknown),
        claim_fence=fence,
        in_digest=in_digest,
    )


def sent(row: OutboxRow, *, message_id: int) -> OutboxRow:
    """The chat has it."""
    return msgspec.structs.replace(row, state=OutboxState.SENT, message_id=message_id, reason="")


def merged(row: OutboxRow, *, message_id: int) -> OutboxRow:
    """Told by the message of another row of its subject."""
    return msgspec.structs.replace(row, state=OutboxState.MERGED, message_id=message_id, reason="")


def failed(row: OutboxRow, *, reason: str) -> OutboxRow:
    """Refused for good."""
    return ended(row, OutboxState.FAILED, reason=reason)


def ended(row: OutboxRow, state: OutboxState, *, reason: str) -> OutboxRow:
    """Final without a message of its own. Raises ValueError for a state that is not final."""
    if state in OPEN_STATES:
        raise ValueError(f"a row ends in a final state, was {state} ({row.chat} {row.event_id})")
    return msgspec.structs.replace(row, state=state, reason=reason)


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
