"""One claimed group: compose, send, record what became of it."""

from collections.abc import Sequence

import msgspec

from services.notifier.composing import group_post, step_post
from services.notifier.core import outbox as rules
from services.notifier.core.living_message import Kind, SignalStep, plan_signal_step
from services.notifier.core.outbox import Group
from services.notifier.means import Means, OnRefused
from services.notifier.messengers.port import (
    EditRefusedError,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.open_rows import OpenRows
from services.notifier.recording import Recorder, Sent
from shared.domain.events import SignalOpened, SystemEvent
from shared.domain.outbox import OutboxRow, OutboxState, Priority
from shared.domain.signals import Signal, SignalStatus
from shared.runtime.crash import crash_point
from shared.store.messages import MessageStore, StoredMessage
from shared.store.outbox import OutboxStore

_NOTHING = StoredMessage(record=None, revision=0)
_NEVER_TOLD = frozenset({OutboxState.WITHHELD, OutboxState.EXPIRED})


class _ReplyUnknownError(OutcomeUnknownError):
    """The reply that stands for an edit may have arrived."""


class Delivery:
    """Sends groups through the messenger. What went wrong decides the rows' next state (core.outbox)."""

    def __init__(self, means: Means, rows: OpenRows, recorder: Recorder, *, on_refused: OnRefused | None) -> None:
        self._means = means
        self._messages = MessageStore(means.store)
        self._outbox = OutboxStore(means.store)
        self._rows = rows
        self._recorder = recorder
        self._on_refused = on_refused
        self.counters = recorder.counters

    async def deliver(self, group: Group, fence: int) -> None:
        """Send the group and record the outcome; nothing is raised for what a messenger or a chat did."""
        step, stored = None, _NOTHING
        if not group.is_digest and group.rows[0].signal is not None:
            stored = await self._messages.get(group.chat, group.subject)
            step = plan_signal_step(group, stored.record, exit_reply=self._means.chats.exit_reply(group.chat))
            if await self._ends_untold(group, stored, fence) or await self._waits(group, step, stored, fence):
                return
        post = group_post(self._means.chats, group) if step is None else await self._step_post(group.chat, step)
        try:
            try:
                message_id, is_new = await self._send(post, step)
            finally:
                self._rows.book.answered(group, self._means.clock.wall_ms())
        except RefusedError as error:
            await self._refuse(group, fence, error)
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError) as error:
            await self._put_back(group, step, fence, error)
        else:
            crash_point("notifier.sent")
            sent = Sent(group=group, step=step, stored=stored, message_id=message_id, is_new=is_new)
            await self._recorder.record(sent, fence)
            self._pause_reports(group)

    async def end(self, rows: Sequence[OutboxRow], state: OutboxState, fence: int, *, reason: str) -> None:
        """Rows that end without a message of their own: recorded with the reason, and counted."""
        ended = [rules.ended(row, state, reason=reason) for row in rows]
        if None in await self._rows.write(ended, fence):
            self._rows.forget(ended)
            return
        self._rows.close(ended)
        self.counters[state.value] += len(ended)
        self._means.log.info("messages_ended", chat=rows[0].chat, state=state.value, reason=reason, rows=len(rows))

    async def _ends_untold(self, group: Group, stored: StoredMessage, fence: int) -> bool:
        """What follows an entry that its chat was never to hear of is not told, either."""
        if stored.record is not None or any(isinstance(row.event, SignalOpened) for row in group.rows):
            return False
        signal = group.rows[0].signal
        assert signal is not None  # noqa: S101 - the caller has looked
        # The id is the same whatever the snapshot: one per signal, version 1 when opened.
        entry = await self._outbox.get(group.chat, SignalOpened(signal=_as_opened(signal)).event_id)
        if entry is None or entry.state not in _NEVER_TOLD:
            return False
        await self.end(group.rows, entry.state, fence, reason=f"its entry was not told: {entry.reason}")
        return True

    async def _waits(self, group: Group, step: SignalStep, stored: StoredMessage, fence: int) -> bool:
        """Progress edits keep their pause also across a restart, after which only the message's record knows of it."""
        record = stored.record
        if record is None or step.kind is not Kind.EDIT or group.priority is not Priority.INFORMATION:
            return False
        pause_until_ms = record.edited_at_ms + self._means.limits.progress_pause_ms if record.edited_at_ms else 0
        if pause_until_ms <= self._means.clock.wall_ms():
            return False
        self._rows.book.hold(group.chat, group.subject, pause_until_ms)
        rows = [rules.requeued(row, not_before_ms=0, reason="progress waits its turn") for row in group.rows]
        await self._rows.put_back(rows, fence)
        return True

    def _pause_reports(self, group: Group) -> None:
        now_ms = self._means.clock.wall_ms()
        if not group.is_digest and isinstance(group.rows[0].event, SystemEvent):
            self._rows.book.hold(group.chat, group.subject, now_ms + self._means.limits.system_pause_ms)
        elif group.priority is Priority.INFORMATION and group.rows[0].signal is not None:
            self._rows.book.hold(group.chat, group.subject, now_ms + self._means.limits.progress_pause_ms)

    async def _step_post(self, chat: str, step: SignalStep) -> Post:
        """Nobody has chosen anything about a signal that is told for the first time."""
        if step.message_id is None:
            return step_post(self._means.chats, chat, step)
        return step_post(self._means.chats, chat, step, await self._means.chats.choices(step.signal.signal_id))

    async def _send(self, post: Post, step: SignalStep | None) -> tuple[int, bool]:
        """Returns the message's id and whether it is a new one."""
        if step is None or step.message_id is None or step.kind is Kind.NOTICE:
            return await self._means.messenger.send(post), True
        if step.kind is Kind.EDIT:
            try:
                await self._means.messenger.edit(post, step.message_id)
            except EditRefusedError as error:  # somebody deleted it, say: what has to be said is said in a reply
                self._means.log.warning("edit_refused", chat=post.chat, message_id=step.message_id, reason=str(error))
                return await self._reply_instead(post.chat, step, step.message_id), True
        return step.message_id, False

    async def _reply_instead(self, chat: str, step: SignalStep, message_id: int) -> int:
        """Unlike the edit it stands for, it can appear twice: then it says so."""
        self._rows.book.budget.take(chat, self._means.clock.wall_ms())
        self.counters["replied"] += 1
        post = await self._step_post(chat, msgspec.structs.replace(step, repeats=step.tries_unknown))
        try:
            return await self._means.messenger.send(msgspec.structs.replace(post, reply_to=message_id))
        except OutcomeUnknownError as error:
            raise _ReplyUnknownError(str(error)) from error

    async def _put_back(self, group: Group, step: SignalStep | None, fence: int, error: Exception) -> None:
        now_ms = self._means.clock.wall_ms()
        not_before_ms = now_ms + rules.backoff_ms(
            group.attempts, first_ms=self._means.limits.backoff_first_ms, max_ms=self._means.limits.backoff_max_ms
        )
        if isinstance(error, RetryLaterError):
            rates = self._means.limits.rates
            not_before_ms = now_ms + (rates.wait_ms(error.seconds) if rates else round(error.seconds * 1000))
            self._rows.book.pause(group.chat, not_before_ms)
            self.counters["flood_waits"] += 1
        repeatable = step is None or step.is_repeatable or isinstance(error, _ReplyUnknownError)
        unknown = repeatable and isinstance(error, OutcomeUnknownError)
        change = rules.unknown if unknown else rules.requeued
        rows = [change(row, not_before_ms=not_before_ms, reason=str(error)) for row in group.rows]
        self._means.log.warning(
            "message_put_back", chat=group.chat, subject=group.subject, outcome_unknown=unknown, reason=str(error)
        )
        await self._rows.put_back(rows, fence)

    async def _refuse(self, group: Group, fence: int, error: RefusedError) -> None:
        self._means.log.error("message_refused", chat=group.chat, subject=group.subject, reason=str(error))
        await self.end(group.rows, OutboxState.FAILED, fence, reason=str(error))
        if self._on_refused is not None:
            await self._on_refused(group.rows[-1], str(error))


def _as_opened(signal: Signal) -> Signal:
    """The snapshot its SignalOpened carried, as far as the event's id goes."""
    return msgspec.structs.replace(signal, version=1, status=SignalStatus.OPEN, exit=None)
