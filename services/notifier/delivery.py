"""One claimed group: compose, send, record what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from services.notifier.core import outbox as rules
from services.notifier.core.languages import Words
from services.notifier.core.living_message import Kind, SignalStep, plan_signal_step, recorded
from services.notifier.core.outbox import Group
from services.notifier.core.texts import alert_text, signal_text, system_text
from services.notifier.messengers.port import (
    MessageGoneError,
    Messenger,
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.open_rows import OpenRows
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import AlertRaised, SystemEvent
from shared.domain.outbox import MessageRecord, OutboxRow
from shared.domain.signals import Signal
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point
from shared.store.messages import MessageStore, StoredMessage, message_write
from shared.store.port import Outcome, Store, Write

_RECORD_PAUSES_SECONDS: Final = (0.1, 0.5, 1.0, 2.0)
_NOTHING: Final = StoredMessage(record=None, revision=0)


class SenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How the sender behaves; every value is a setting.

    in_flight_per_chat: sends of one chat at a time (1: strictly one after the other).
    lease_ttl_ms:       after a kill, how long nobody sends. scan_ms: how often open rows are looked for in the store.
    message_cache_ttl_ms: how long the cache keeps message ids.
    backoff_first_ms, backoff_max_ms: the wait after a send that failed or may have failed; it doubles with each attempt.
    """

    in_flight_per_chat: int = 16
    lease_ttl_ms: int = 6_000
    scan_ms: int = 5_000
    message_cache_ttl_ms: int = 5 * 3_600_000
    backoff_first_ms: int = rules.BACKOFF_FIRST_MS
    backoff_max_ms: int = rules.BACKOFF_MAX_MS


ShowSignal = Callable[[str, Signal, int], Awaitable[None]]  # chat, signal, message id: the picture that goes with it
OnRefused = Callable[[OutboxRow, str], Awaitable[None]]


class Delivery:
    """Sends groups through the messenger. What went wrong decides the rows' next state (core.outbox)."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache | None,
        messenger: Messenger,
        rows: OpenRows,
        clock: Clock,
        words: Words,
        limits: SenderLimits,
        log: Any,
        show_signal: ShowSignal | None,
        on_refused: OnRefused | None,
    ) -> None:
        self._store = store
        self._messages = MessageStore(store)
        self._cache = cache
        self._messenger = messenger
        self._rows = rows
        self._clock = clock
        self._words = words
        self._limits = limits
        self._log = log
        self._show_signal = show_signal
        self._on_refused = on_refused
        self.counters = dict.fromkeys(("sent", "edited", "merged", "failed", "repeats"), 0)

    async def deliver(self, group: Group, fence: int) -> None:
        """Send the group and record the outcome; nothing is raised for what a messenger or a chat did."""
        is_signal = group.rows[0].signal is not None
        stored = await self._messages.get(group.chat, group.subject) if is_signal else _NOTHING
        step = plan_signal_step(group, stored.record) if is_signal else None
        post = self._post(group, step)
        try:
            message_id = await self._send(post, step)
        except RefusedError as error:
            await self._refuse(group, fence, error)
        except (RetryLaterError, NotDeliveredError, OutcomeUnknownError) as error:
            await self._put_back(group, step, fence, error)
        else:
            crash_point("notifier.sent")
            await self._record(group, step, stored, message_id, fence)

    def _post(self, group: Group, step: SignalStep | None) -> Post:
        if step is not None:
            text = signal_text(self._words, step.signal, notes=step.notes, repeats=step.repeats)
            return Post(chat=group.chat, text=text, signal=step.signal)
        row = group.rows[0]
        if isinstance(row.event, AlertRaised):
            return Post(chat=group.chat, text=alert_text(self._words, row.event, repeats=row.repeats), signal=None)
        if isinstance(row.event, SystemEvent):
            return Post(chat=group.chat, text=system_text(self._words, row.event, repeats=row.repeats), signal=None)
        raise TypeError(f"{type(row.event).__name__} has no message of its own (outbox row {row.event_id})")

    async def _send(self, post: Post, step: SignalStep | None) -> int:
        if step is None or step.message_id is None:
            return await self._messenger.send(post)
        if step.kind is Kind.EDIT:
            try:
                await self._messenger.edit(post, step.message_id)
            except MessageGoneError:  # somebody deleted it: what has to be said is said in a new one
                return await self._messenger.send(post)
        return step.message_id

    async def _record(
        self, group: Group, step: SignalStep | None, stored: StoredMessage, message_id: int, fence: int
    ) -> None:
        carrier = group.rows[0] if step is None else None if step.kind is Kind.NOTHING else step.carrier
        rows = [
            rules.sent(row, message_id=message_id) if row is carrier else rules.merged(row, message_id=message_id)
            for row in group.rows
        ]
        writes = self._rows.writes(rows, fence)
        record = None
        if step is not None and step.kind is not Kind.NOTHING:
            at_ms = self._clock.wall_ms()
            record = recorded(step, stored.record, chat=group.chat, message_id=message_id, at_ms=at_ms)
            # The message first: were the process killed between the two, the next attempt finds it and edits.
            writes.insert(0, message_write(record, expected_revision=stored.revision, fence=fence))
        outcomes = await self._write_patiently(writes)
        if any(outcome is not Outcome.WRITTEN for outcome in outcomes):
            # Another sender took over meanwhile: the rows, and their marks, are its own now.
            self._log.warning("recorded_by_another_sender", chat=group.chat, subject=group.subject)
            self._rows.forget(rows)
            return
        self._rows.close(rows)
        self._count(rows, step)
        if record is not None and step is not None:
            already_ended = stored.record is not None and stored.record.signal.exit is not None
            # A note changes no picture: one goes with the entry, one with the exit.
            new_picture = step.kind is Kind.NEW or (step.signal.exit is not None and not already_ended)
            await self._after_sending(record, step, new_picture=new_picture)

    async def _write_patiently(self, writes: Sequence[Write]) -> list[Outcome]:
        """The message is out: a store that is busy for a moment must not make it a repeat.

        A try that was written although it raised meets its own revision next time, which is a conflict without harm.
        """
        for pause_seconds in _RECORD_PAUSES_SECONDS:
            try:
                return await self._store.write(writes)
            except TransientError as error:
                self._log.warning("record_will_be_tried_again", error=str(error), delay_seconds=pause_seconds)
                await asyncio.sleep(pause_seconds)
        return await self._store.write(writes)

    async def _after_sending(self, record: MessageRecord, step: SignalStep, *, new_picture: bool) -> None:
        await self._remember(record)
        self._log.info(
            "message_sent",
            action=step.kind.value,
            chat=record.chat,
            signal_id=record.signal.signal_id,
            message_id=record.message_id,
            repeats=record.repeats,
        )
        if self._show_signal is not None and new_picture:
            await self._show_signal(record.chat, record.signal, record.message_id)

    async def _remember(self, record: MessageRecord) -> None:
        """The message id in the cache, for whoever only wants that; the store has the truth."""
        if self._cache is None:
            return
        value = msgspec.json.encode({"message_id": record.message_id, "chat_id": record.chat})
        key = f"message:{record.chat}:{record.signal.signal_id}"
        try:
            await self._cache.set(key, value, ttl_ms=self._limits.message_cache_ttl_ms)
        except TransientError as error:  # losing the cache loses nothing
            self._log.warning("cache_write_failed", error=str(error))

    async def _put_back(self, group: Group, step: SignalStep | None, fence: int, error: Exception) -> None:
        now_ms = self._clock.wall_ms()
        attempts = max(row.attempts for row in group.rows)
        not_before_ms = now_ms + rules.backoff_ms(
            attempts, first_ms=self._limits.backoff_first_ms, max_ms=self._limits.backoff_max_ms
        )
        if isinstance(error, RetryLaterError):
            not_before_ms = now_ms + round(error.seconds * 1000)
            self._rows.book.pause(group.chat, not_before_ms)
        # An edit shows the same however often it is made: only a new message can appear twice.
        repeatable = step is None or step.kind is Kind.NEW
        unknown = repeatable and isinstance(error, OutcomeUnknownError)
        change = rules.unknown if unknown else rules.requeued
        rows = [change(row, not_before_ms=not_before_ms, reason=str(error)) for row in group.rows]
        self._log.warning(
            "message_put_back", chat=group.chat, subject=group.subject, outcome_unknown=unknown, reason=str(error)
        )
        await self._rows.put_back(rows, fence)

    async def _refuse(self, group: Group, fence: int, error: RefusedError) -> None:
        rows = [rules.failed(row, reason=str(error)) for row in group.rows]
        if None in await self._rows.write(rows, fence):
            self._rows.forget(rows)
            return
        self._rows.close(rows)
        self.counters["failed"] += len(rows)
        self._log.error("message_refused", chat=group.chat, subject=group.subject, reason=str(error))
        if self._on_refused is not None:
            await self._on_refused(rows[-1], str(error))

    def _count(self, rows: Sequence[OutboxRow], step: SignalStep | None) -> None:
        kind = step.kind if step else Kind.NEW
        self.counters["edited" if kind is Kind.EDIT else "sent"] += int(kind is not Kind.NOTHING)
        self.counters["merged"] += len(rows) - int(kind is not Kind.NOTHING)
        self.counters["repeats"] += max(row.repeats for row in rows)
