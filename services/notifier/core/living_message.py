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
    NOTICE = "notice"  # the message reads as it should; a reply tells the exit, since an edit rings nowhere
    NOTHING = "nothing"  # the message says it already: a row that came after a newer one


class SignalStep(msgspec.Struct, frozen=True, kw_only=True):
    """What the message is to say: the newest snapshot known with every note, and how it gets there.

    carrier: the row that counts as sent; the group's others are merged into it, older progress is replaced by newer.
    notice_follows: after this edit the exit is still to be told by a reply.
    tries_unknown:  how many tries of these rows may have arrived; the mark of an edit that ends in a reply.
    """

    kind: Kind
    signal: Signal
    notes: tuple[tuple[int, str], ...]
    repeats: int
    message_id: int | None
    carrier: OutboxRow
    has_picture: bool = False
    notice_follows: bool = False
    tries_unknown: int = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether a second try can be seen as a second message: an edit shows the same however often it is made."""
        return self.kind in {Kind.NEW, Kind.NOTICE}


def stage_of(*, closed: bool) -> str:
    """Which picture a message carries."""
    return "exit" if closed else "entry"


def owes_new_picture(before: MessageRecord | None, after: MessageRecord) -> bool:
    """A note changes no picture: one goes with the entry, one with the exit."""
    already_ended = before is not None and before.signal.exit is not None
    return before is None or (after.signal.exit is not None and not already_ended)


def plan_signal_step(group: Group, record: MessageRecord | None, *, exit_reply: bool = False) -> SignalStep:
    """Fold the group's rows, and what the chat already shows, into one step. exit_reply: the chat wants a reply, too.

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
    untold = exit_reply and newest.exit is not None and record is not None and record.notice_id is None
    ends = any(row.signal is not None and row.signal.exit is not None for row in rows)
    notice_due = untold and ends
    if kind is Kind.NOTHING and notice_due:
        kind = Kind.NOTICE
    repeats = max(row.repeats for row in rows)
    return SignalStep(
        kind=kind,
        signal=newest,
        notes=notes,
        repeats=record.repeats if record and kind is not Kind.NOTICE else repeats,
        message_id=record.message_id if record else None,
        carrier=carrier,
        has_picture=bool(record and record.picture),
        notice_follows=kind is Kind.EDIT and notice_due,
        tries_unknown=repeats,
    )


def recorded(
    step: SignalStep,
    record: MessageRecord | None,
    *,
    chat: str,
    message_id: int,
    at_ms: int,
    is_new: bool | None = None,
) -> MessageRecord:
    """The message after the step; at_ms: wall clock. is_new: whether it was sent anew, which an edit may end in."""
    sent_anew = step.kind is Kind.NEW if is_new is None else is_new
    if step.kind is Kind.NOTICE and record is not None:
        return msgspec.structs.replace(record, notice_id=message_id)
    told_by_itself = message_id if sent_anew and step.signal.exit is not None else None
    edited = record if record is not None and not sent_anew else None
    return MessageRecord(
        chat=chat,
        message_id=message_id,
        signal=step.signal,
        notes=step.notes,
        repeats=step.repeats,
        sent_at_ms=edited.sent_at_ms if edited else at_ms,
        edited_at_ms=at_ms if edited else 0,
        picture=edited.picture if edited else "",
        notice_id=edited.notice_id if edited else told_by_itself,
    )
