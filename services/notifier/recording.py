"""What is written once a message is out: the rows' outcome, and the living message beside them."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from services.notifier.core import outbox as rules
from services.notifier.core.living_message import Kind, SignalStep, owes_new_picture, recorded
from services.notifier.core.outbox import Group
from services.notifier.means import Hooks, Means
from services.notifier.open_rows import OpenRows
from services.notifier.owed_pictures import OwedPictures
from shared.domain.correlation import cause_of, correlation_id
from shared.domain.errors import TransientError
from shared.domain.events import MacroBiasUpdated, SignalProgressed
from shared.domain.outbox import MessageRecord, OutboxRow, OutboxState, Priority
from shared.store.messages import StoredMessage, message_write
from shared.store.port import Outcome, Write

COUNTERS: Final = (
    "sent", "edited", "replied", "merged", "replaced", "digested", "digests", "expired", "withheld", "failed", "repeats",
    "flood_waits",
)  # fmt: skip
_RECORD_PAUSES_SECONDS: Final = (0.1, 0.5, 1.0, 2.0)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What went out: the group, how it was planned (None: no signal's message), and the message that says it."""

    group: Group
    step: SignalStep | None
    stored: StoredMessage
    message_id: int
    is_new: bool


class Recorder:
    """Writes outcomes under the sender's fence; counts them."""

    def __init__(self, means: Means, rows: OpenRows, hooks: Hooks, *, owed: OwedPictures | None) -> None:
        """owed: where it is marked that a picture is to come; None marks nothing."""
        self._means = means
        self._rows = rows
        self._hooks = hooks
        self._owed = owed
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    async def record(self, sent: Sent, fence: int) -> None:
        """Store rows and message; where another sender took over meanwhile they are its own now."""
        rows = _outcomes(sent)
        writes = self._rows.writes(rows, fence)
        record = self._message(sent)
        if record is not None:
            # The message first: were the process killed between the two, the next attempt finds it and edits.
            writes.insert(0, message_write(record, expected_revision=sent.stored.revision, fence=fence))
            if self._owed is not None and owes_new_picture(sent.stored.record, record):
                writes = [*self._owed.mark(record, self._means.clock.wall_ms()), *writes]
        elif self._owed is not None and self._shows_bias(sent.group):
            writes = [*self._owed.mark_bias(sent.group, sent.message_id, self._means.clock.wall_ms()), *writes]
        outcomes = await self._write_patiently(writes)
        if any(outcome is not Outcome.WRITTEN for outcome in outcomes):
            self._means.log.warning("recorded_by_another_sender", chat=sent.group.chat, subject=sent.group.subject)
            self._rows.forget(rows)
            return
        self._rows.close([row for row in rows if row.is_final])
        self._rows.advance([row for row in rows if not row.is_final])
        self._count(sent, rows)
        self._time(rows)
        if record is not None and sent.step is not None:
            await self._after_sending(record, sent)
        elif self._hooks.show_bias is not None and self._shows_bias(sent.group):
            await self._hooks.show_bias(sent.group, sent.message_id)

    def _shows_bias(self, group: Group) -> bool:
        told = isinstance(group.rows[-1].event, MacroBiasUpdated)
        return self._hooks.show_bias is not None and not group.is_digest and told

    def _message(self, sent: Sent) -> MessageRecord | None:
        if sent.step is None or sent.step.kind is Kind.NOTHING:
            return None
        return recorded(
            sent.step,
            sent.stored.record,
            chat=sent.group.chat,
            message_id=sent.message_id,
            at_ms=self._means.clock.wall_ms(),
            is_new=sent.is_new,
        )

    async def _write_patiently(self, writes: Sequence[Write]) -> list[Outcome]:
        """The message is out: a store that is busy for a moment must not make it a repeat.

        A try that was written although it raised meets its own revision next time, which is a conflict without harm.
        """
        for pause_seconds in _RECORD_PAUSES_SECONDS:
            try:
                return await self._means.store.write(writes)
            except TransientError as error:
                self._means.log.warning("record_will_be_tried_again", error=str(error), delay_seconds=pause_seconds)
                await asyncio.sleep(pause_seconds)
        return await self._means.store.write(writes)

    async def _after_sending(self, record: MessageRecord, sent: Sent) -> None:
        await self._remember(record)
        self._means.log.info(
            "message_sent",
            action=sent.step.kind.value if sent.step else "",
            chat=record.chat,
            signal_id=record.signal.signal_id,
            message_id=record.message_id,
            repeats=record.repeats,
            correlation_id=correlation_id(sent.group.rows[-1].event),
        )
        if self._hooks.show_signal is not None and owes_new_picture(sent.stored.record, record):
            await self._hooks.show_signal(record.chat, record.signal, record.message_id)

    def _time(self, rows: Sequence[OutboxRow]) -> None:
        """How long after its candle's close a person had each entry, exit and alert."""
        for row in rows:
            caused = (
                cause_of(row.event)
                if row.state is OutboxState.SENT and row.priority is not Priority.INFORMATION
                else None
            )
            if caused is not None:
                self._means.metrics.latency("message_sent", self._means.clock.market_ms() - caused[1])

    async def _remember(self, record: MessageRecord) -> None:
        """The message id in the cache, for whoever only wants that; the store has the truth."""
        if self._means.cache is None:
            return
        value = msgspec.json.encode({"message_id": record.message_id, "chat_id": record.chat})
        key = f"message:{record.chat}:{record.signal.signal_id}"
        try:
            await self._means.cache.set(key, value, ttl_ms=self._means.limits.message_cache_ttl_ms)
        except TransientError as error:  # losing the cache loses nothing
            self._means.log.warning("cache_write_failed", error=str(error))

    def _count(self, sent: Sent, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            if row.is_final and row.state is not OutboxState.SENT:
                self.counters[row.state.value] += 1
        kind = sent.step.kind if sent.step else Kind.NEW
        if sent.group.is_digest:
            self.counters["digests"] += 1
        elif kind is Kind.EDIT and not sent.is_new:
            self.counters["edited"] += 1
        elif kind is not Kind.NOTHING:
            self.counters["sent"] += 1
        if any(row.is_final for row in rows):
            self.counters["repeats"] += max(row.repeats for row in rows)


def _outcomes(sent: Sent) -> list[OutboxRow]:
    """What becomes of each row of the group."""
    return [_outcome(sent, row) for row in sent.group.rows]


def _outcome(sent: Sent, row: OutboxRow) -> OutboxRow:
    step, message_id = sent.step, sent.message_id
    if sent.group.is_digest:
        return msgspec.structs.replace(row, state=OutboxState.DIGESTED, message_id=message_id, reason="")
    if step is None:
        return (
            rules.sent(row, message_id=message_id)
            if row is sent.group.rows[-1]
            else rules.merged(row, message_id=message_id)
        )
    if row is step.carrier and step.kind is not Kind.NOTHING:
        if step.notice_follows and not sent.is_new:
            return rules.requeued(row, not_before_ms=0, reason="the reply that tells the exit follows")
        return rules.sent(row, message_id=message_id)
    if isinstance(row.event, SignalProgressed) and row is not step.carrier:
        state = OutboxState.REPLACED
        return msgspec.structs.replace(row, state=state, message_id=message_id, reason="a newer edit says it")
    return rules.merged(row, message_id=message_id)
