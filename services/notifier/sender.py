"""The sender: claims open rows, sends them, records what became of them. Only the holder of the lease sends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from services.notifier.core import outbox as rules
from services.notifier.core.languages import Words
from services.notifier.core.living_message import Kind, SignalStep, plan_signal_step, recorded
from services.notifier.core.outbox import Group, OutboxBook
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
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.domain.events import AlertRaised, SystemEvent
from shared.domain.outbox import MessageRecord, OutboxRow
from shared.domain.signals import Signal
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point
from shared.store.messages import MessageStore, StoredMessage, message_write
from shared.store.outbox import OutboxStore, StoredRow, outbox_key, row_write
from shared.store.port import Lease, Outcome, Store

LEASE_NAME: Final = "notifier-sender"
_IDLE_SECONDS_MAX: Final = 1.0
_NOTHING: Final = StoredMessage(record=None, revision=0)

ShowSignal = Callable[
    [str, Signal, int], Awaitable[None]
]  # chat, signal, message id: draw the picture that goes with it
OnRefused = Callable[[OutboxRow, str], Awaitable[None]]


class SenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How the sender behaves; every value is a setting.

    in_flight_per_chat: sends of one chat at a time (1: strictly one after the other).
    lease_ttl_ms:       after a kill, how long nobody sends. scan_ms: how often open rows are looked for in the store.
    message_cache_ttl_ms: how long the cache keeps message ids.
    """

    in_flight_per_chat: int = 16
    lease_ttl_ms: int = 6_000
    scan_ms: int = 5_000
    message_cache_ttl_ms: int = 5 * 3_600_000


class Sender:
    """Sends what the outbox holds for the chats it serves, in the order core.outbox decides."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache | None,
        messenger: Messenger,
        clock: Clock,
        chats: Sequence[str],
        words: Words,
        owner: str,
        limits: SenderLimits,
        log: Any,
        show_signal: ShowSignal | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        self._store = store
        self._outbox = OutboxStore(store)
        self._messages = MessageStore(store)
        self._cache = cache
        self._messenger = messenger
        self._clock = clock
        self._chats = tuple(chats)
        self._words = words
        self._owner = owner
        self._limits = limits
        self._log = log
        self._show_signal = show_signal
        self._on_refused = on_refused
        self._book = OutboxBook(in_flight_max=limits.in_flight_per_chat)
        self._revisions: dict[str, int] = {}
        self._done_marks: set[str] = set()
        self._lease: Lease | None = None
        self._renew_at_ms = 0
        self._scan_at_ms = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters: dict[str, int] = dict.fromkeys(("sent", "edited", "merged", "failed", "repeats"), 0)

    def offer(self, rows: Iterable[StoredRow]) -> None:
        """Rows that were just made durable: they go out without a scan."""
        for item in rows:
            self._know(item)
        self._wake.set()

    def status(self) -> dict[str, object]:
        """Figures for `status`."""
        return {"sending": self._lease is not None, **self._book.counts(), **self.counters}

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop; then let what is on its way finish, and give up the lease."""
        stop_watch = asyncio.create_task(_wake_on(stopping, self._wake))
        try:
            while not stopping.is_set():
                self._wake.clear()
                try:
                    await self._turn()
                except TransientError as error:  # the store is busy or away: nothing is lost, try again
                    self._log.warning("sender_will_try_again", error=str(error))
                await self._wait()
        finally:
            stop_watch.cancel()
            await self._settle()
            if self._lease is not None:
                await self._store.release_lease(self._lease)

    async def drain(self) -> None:
        """Send everything that may go now and wait until it is recorded (replay, tests)."""
        while True:
            await self._turn()
            if not self._tasks:
                break
            await self._settle()
        await self._remove_marks()

    # --- one turn: lease, scan, claim, start

    async def _turn(self) -> None:
        if not await self._hold_lease():
            return
        await self._scan_when_due()
        while started := await self._start_ready():
            self._log.debug("started", groups=started)

    async def _hold_lease(self) -> bool:
        now_ms = self._clock.wall_ms()
        if self._lease is not None and now_ms < self._renew_at_ms:
            return True
        before = self._lease
        self._lease = await self._store.acquire_lease(LEASE_NAME, self._owner, ttl_ms=self._limits.lease_ttl_ms)
        self._renew_at_ms = now_ms + self._limits.lease_ttl_ms // 3
        if self._lease is None:
            return False
        if before is None or before.fence != self._lease.fence:
            self._log.info("sender_active", fence=self._lease.fence)
            self._scan_at_ms = 0
        return True

    async def _scan_when_due(self) -> None:
        now_ms = self._clock.wall_ms()
        if now_ms < self._scan_at_ms:
            return
        self._scan_at_ms = now_ms + self._limits.scan_ms
        await self._remove_marks()
        for item in await self._outbox.open_rows():
            if item.row.chat in self._chats and not self._book.knows(item.row) and self._is_free(item.row):
                self._know(item)

    def _is_free(self, row: OutboxRow) -> bool:
        """Whether no send of this very process is recording it right now (its mark is still there)."""
        return outbox_key(row) not in self._done_marks

    async def _start_ready(self) -> int:
        groups = self._book.ready(self._chats, self._clock.wall_ms())
        if not groups or self._lease is None:
            return 0
        fence = self._lease.fence
        wanted = [self._stored(rules.claimed(row, fence=fence), of=row) for group in groups for row in group.rows]
        outcomes = iter(await self._outbox.update(wanted, fence))
        started = 0
        for group in groups:
            claimed = [next(outcomes) for _ in group.rows]
            if None in claimed:  # another sender took one: whatever is left is found by the next scan
                for row in group.rows:
                    self._forget(row)
                self._scan_at_ms = 0
                continue
            rows = tuple(item.row for item in claimed if item is not None)
            for item in claimed:
                if item is not None:
                    self._know(item)
            self._start(msgspec.structs.replace(group, rows=rows), fence)
            started += 1
        crash_point("notifier.claimed")
        return started

    def _start(self, group: Group, fence: int) -> None:
        self._book.start(group)
        task = asyncio.create_task(self._deliver(group, fence))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    # --- one group: send, then record

    async def _deliver(self, group: Group, fence: int) -> None:
        try:
            stored = await self._message_of(group)
            await self._attempt(group, stored, fence)
        except Exception as error:  # noqa: BLE001 - the claim stays in the store: the outcome counts as unknown and is tried again
            self._log.warning("delivery_interrupted", chat=group.chat, subject=group.subject, error=str(error))
            for row in group.rows:
                self._forget(row)
        finally:
            self._book.finish(group)

    async def _message_of(self, group: Group) -> StoredMessage:
        return _NOTHING if group.rows[0].signal is None else await self._messages.get(group.chat, group.subject)

    async def _attempt(self, group: Group, stored: StoredMessage, fence: int) -> None:
        step = None if group.rows[0].signal is None else plan_signal_step(group, stored.record)
        post = self._post(group, step)
        now_ms = self._clock.wall_ms()
        attempts = max(row.attempts for row in group.rows)
        try:
            message_id = await self._send(post, step)
        except RetryLaterError as error:
            until_ms = now_ms + round(error.seconds * 1000)
            self._book.pause(group.chat, until_ms)
            await self._put_back(group, fence, error, until_ms, unknown=False)
        except NotDeliveredError as error:
            await self._put_back(group, fence, error, now_ms + rules.backoff_ms(attempts), unknown=False)
        except OutcomeUnknownError as error:
            # An edit shows the same however often it is made: only a new message can appear twice.
            repeatable = step is None or step.kind is Kind.NEW
            await self._put_back(group, fence, error, now_ms + rules.backoff_ms(attempts), unknown=repeatable)
        except RefusedError as error:
            await self._refuse(group, fence, error)
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
        carrier = step.carrier if step and step.kind is not Kind.NOTHING else None if step else group.rows[0]
        rows = [
            rules.sent(row, message_id=message_id) if row is carrier else rules.merged(row, message_id=message_id)
            for row in group.rows
        ]
        items = [self._stored(row, of=row) for row in rows]
        writes = [row_write(item.row, expected_revision=item.revision, fence=fence) for item in items]
        if step and step.kind is not Kind.NOTHING:
            at_ms = self._clock.wall_ms()
            record = recorded(step, stored.record, chat=group.chat, message_id=message_id, at_ms=at_ms)
            # The message first: were the process killed between the two, the next attempt finds it and edits.
            writes.insert(0, message_write(record, expected_revision=stored.revision, fence=fence))
        outcomes = await self._store.write(writes)
        if any(outcome is not Outcome.WRITTEN for outcome in outcomes):
            self._log.warning("recorded_by_another_sender", chat=group.chat, subject=group.subject)
        self._close(rows)
        self._count(rows, step)
        if step and step.kind is not Kind.NOTHING:
            await self._after_sending(record, step)

    async def _after_sending(self, record: MessageRecord, step: SignalStep) -> None:
        if self._cache is not None:
            value = msgspec.json.encode({"message_id": record.message_id, "chat_id": record.chat})
            try:
                key = f"message:{record.chat}:{record.signal.signal_id}"
                await self._cache.set(key, value, ttl_ms=self._limits.message_cache_ttl_ms)
            except TransientError as error:  # losing the cache loses nothing
                self._log.warning("cache_write_failed", error=str(error))
        self._log.info(
            "message_sent",
            action=step.kind.value,
            chat=record.chat,
            signal_id=record.signal.signal_id,
            message_id=record.message_id,
            repeats=record.repeats,
        )
        if self._show_signal is not None:
            await self._show_signal(record.chat, record.signal, record.message_id)

    async def _put_back(self, group: Group, fence: int, error: Exception, not_before_ms: int, *, unknown: bool) -> None:
        change = rules.unknown if unknown else rules.requeued
        rows = [change(row, not_before_ms=not_before_ms, reason=str(error)) for row in group.rows]
        self._log.warning(
            "message_put_back", chat=group.chat, subject=group.subject, outcome_unknown=unknown, reason=str(error)
        )
        for item, row in zip(await self._write(rows, fence), rows, strict=True):
            if item is None:
                self._forget(row)
            else:
                self._know(item)

    async def _refuse(self, group: Group, fence: int, error: RefusedError) -> None:
        rows = [rules.failed(row, reason=str(error)) for row in group.rows]
        await self._write(rows, fence)
        self._close(rows)
        self.counters["failed"] += len(rows)
        self._log.error("message_refused", chat=group.chat, subject=group.subject, reason=str(error))
        if self._on_refused is not None:
            await self._on_refused(rows[-1], str(error))

    # --- bookkeeping

    async def _write(self, rows: Sequence[OutboxRow], fence: int) -> list[StoredRow | None]:
        return await self._outbox.update([self._stored(row, of=row) for row in rows], fence)

    def _stored(self, row: OutboxRow, *, of: OutboxRow) -> StoredRow:
        return StoredRow(row=row, revision=self._revisions[outbox_key(of)])

    def _know(self, item: StoredRow) -> None:
        self._revisions[outbox_key(item.row)] = item.revision
        self._book.put([item.row])

    def _forget(self, row: OutboxRow) -> None:
        self._book.drop(row)
        self._revisions.pop(outbox_key(row), None)

    def _close(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            self._forget(row)
            self._done_marks.add(outbox_key(row))

    def _count(self, rows: Sequence[OutboxRow], step: SignalStep | None) -> None:
        kind = step.kind if step else Kind.NEW
        self.counters["edited" if kind is Kind.EDIT else "sent"] += int(kind is not Kind.NOTHING)
        self.counters["merged"] += len(rows) - int(kind is not Kind.NOTHING)
        self.counters["repeats"] += max(row.repeats for row in rows)

    async def _remove_marks(self) -> None:
        """Marks of final rows go in one write, some time later: finding one costs a restart nothing."""
        done = tuple(self._done_marks)
        await self._outbox.unmark(done)
        self._done_marks.difference_update(done)

    async def _settle(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _wait(self) -> None:
        now_ms = self._clock.wall_ms()
        times = [self._renew_at_ms, self._scan_at_ms, self._book.next_time_ms(self._chats, now_ms)]
        next_ms = min(time for time in times if time is not None)
        seconds = min(_IDLE_SECONDS_MAX, max(0.005, (next_ms - now_ms) / 1000))
        try:
            await asyncio.wait_for(self._wake.wait(), timeout=seconds)
        except TimeoutError:
            return


async def _wake_on(stopping: asyncio.Event, wake: asyncio.Event) -> None:
    await stopping.wait()
    wake.set()
