"""One living message per signal and chat: what the rows of a signal make of it, in whatever order they arrive."""

from enum import StrEnum

import msgspec

from services.notifier.core.outbox import Group
from shared.domain.events import SignalProgressed
from shared.domain.outbox import MessageRecord, OutboxRow
from shared.domain.signals import Signal


class Kind(StrEnum):
    """What has to be done in the chat."""

    NEW = "new"
    EDIT = "edit"
    NOTHING = "nothing"  # the message says it already: a row that came after a newer one


class SignalStep(msgspec.Struct, frozen=True, kw_only=True):
    """What the message is to say: the newest snapshot known with every note, and how it gets there.

    carrier: the row that counts as sent; the group's others are merged into it.
    """

    kind: Kind
    signal: Signal
    notes: tuple[tuple[int, str], ...]
    repeats: int
    message_id: int | None
    carrier: OutboxRow


def plan_signal_step(group: Group, record: MessageRecord | None) -> SignalStep:
    """Fold the group's rows, and what the chat already shows, into one step.

    An exit that finds no message sends one that tells the whole story; an entry that arrives after it has nothing to
    add. Editing is idempotent, so only a new message is marked as a repeat; the mark then stays with the message.
    """
    rows = [row for row in group.rows if row.signal is not None]
    carrier = rows[-1]
    shown = record.signal if record else None
    newest = max((row.signal for row in rows if row.signal is not None), key=lambda signal: signal.version)
    if shown is not None and shown.version >= newest.version:
        newest = shown
    known = dict(record.notes) if record else {}
    told = {row.event.signal.version: row.event.note for row in rows if isinstance(row.event, SignalProgressed)}
    notes = tuple(sorted({**told, **known}.items()))
    changed = record is None or newest != record.signal or notes != record.notes
    kind = (Kind.NEW if record is None else Kind.EDIT) if changed else Kind.NOTHING
    return SignalStep(
        kind=kind,
        signal=newest,
        notes=notes,
        repeats=record.repeats if record else max(row.repeats for row in rows),
        message_id=record.message_id if record else None,
        carrier=carrier,
    )


def recorded(
    step: SignalStep, record: MessageRecord | None, *, chat: str, message_id: int, at_ms: int
) -> MessageRecord:
    """The message after the step; at_ms: wall clock."""
    edited = step.kind is Kind.EDIT and record is not None
    return MessageRecord(
        chat=chat,
        message_id=message_id,
        signal=step.signal,
        notes=step.notes,
        repeats=step.repeats,
        sent_at_ms=record.sent_at_ms if edited and record else at_ms,
        edited_at_ms=at_ms if edited else 0,
    )
