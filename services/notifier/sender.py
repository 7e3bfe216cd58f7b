"""The sender: holds the lease, claims what may go now, and lets it be delivered side by side."""

import asyncio
from collections.abc import Iterable
from typing import Final

from services.notifier.core.outbox import Group
from services.notifier.core.rates import RateBudget
from services.notifier.delivery import Delivery
from services.notifier.means import Hooks, Means
from services.notifier.open_rows import OpenRows
from services.notifier.owed_pictures import OwedPictures
from services.notifier.pictures import Picture, Pictures
from services.notifier.recording import Recorder
from shared.domain.errors import TransientError
from shared.domain.outbox import OutboxState
from shared.runtime.crash import crash_point
from shared.store.outbox import StoredRow
from shared.store.port import Lease

LEASE_NAME: Final = "notifier-sender"
_IDLE_SECONDS_MAX: Final = 1.0
_EXPIRE_EVERY_MS: Final = 200


class Sender:
    """Sends what the outbox holds for the chats it serves, in the order core.outbox decides.

    Every instance queues; only the holder of the lease sends. A new holder has a higher fence, so that what a slow
    predecessor still records is refused.
    """

    def __init__(self, means: Means, *, owner: str, hooks: Hooks) -> None:
        self._means = means
        self._owner = owner
        self._hooks = hooks
        self.budget = RateBudget(means.limits.rates)
        self._rows = OpenRows(
            means.store,
            chats=means.chats.names,
            in_flight_max=means.limits.in_flight_per_chat,
            rules=means.chats,
            budget=self.budget,
        )
        self._owed = OwedPictures(means.store, means.chats, kept_ms=means.limits.picture_owed_ms)
        # A console's pictures are messages of their own, which nothing records: they are not made up for.
        self._joins_pictures = hooks.show_signal is not None and not means.messenger.draws_charts
        recorder = Recorder(means, self._rows, hooks, owed=self._owed if self._joins_pictures else None)
        self._delivery = Delivery(means, self._rows, recorder, on_refused=hooks.on_refused)
        self._pictures = Pictures(means, self._rows.book, self._owed)
        self._lease: Lease | None = None
        self._renew_at_ms = 0
        self._scan_at_ms = 0
        self._expire_at_ms = 0
        self._owed_unread = True
        self._greeted = False
        self._wake = asyncio.Event()
        self._looked_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, rows: Iterable[StoredRow]) -> None:
        """Rows that were just made durable: they go out without a scan."""
        for item in rows:
            self._rows.know(item)
        self._wake.set()

    def offer_picture(self, picture: Picture) -> None:
        """A picture for a message that is out: it joins when nothing more urgent wants the chat's budget."""
        self._pictures.offer(picture)
        self._wake.set()

    def status(self) -> dict[str, object]:
        """Figures for `status`."""
        counts = {**self._rows.book.counts(), "pictures_waiting": self._pictures.waiting}
        return {"sending": self._lease is not None, **counts, **self._delivery.counters}

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop; then let what is on its way finish, and give up the lease."""
        stop_watch = asyncio.create_task(_wake_on(stopping, self._wake))
        try:
            while not stopping.is_set():
                self._wake.clear()
                try:
                    await self._turn()
                except TransientError as error:  # the store is busy or away: nothing is lost, try again
                    self._means.log.warning("sender_will_try_again", error=str(error))
                await self._wait()
            await self._say_farewell()
        finally:
            stop_watch.cancel()
            await self._settle()
            await self._rows.remove_marks()
            if self._lease is not None:
                await self._means.store.release_lease(self._lease)

    async def _say_farewell(self) -> None:
        """Send what is to be said last, as far as there is time; what is left waits in the outbox for the next sender."""
        if self._hooks.on_leave is None or not self._greeted or self._lease is None:
            return
        until_ms = self._means.clock.wall_ms() + self._means.limits.farewell_ms
        try:
            rows = await self._hooks.on_leave()
            while (
                any(self._rows.book.knows(row) for row in rows) and (now_ms := self._means.clock.wall_ms()) < until_ms
            ):
                await self._turn()
                next_ms = self._rows.book.next_time_ms(self._rows.chats, now_ms)
                if not self._tasks and (next_ms is None or next_ms > until_ms):
                    return  # quiet hours, a long retry_after: it will not go in time
                self._wake.clear()
                await self._wait()
        except TransientError as error:
            self._means.log.warning("farewell_not_said", error=str(error))

    async def drain(self) -> None:
        """Send everything that may go now and wait until it is recorded (replay, tests)."""
        while True:
            await self._turn()
            if not self._tasks:
                break
            await self._settle()
        await self._rows.remove_marks()

    async def _turn(self) -> None:
        self._looked_ms = self._means.clock.wall_ms()
        if not await self._hold_lease():
            return
        if not self._greeted and self._hooks.on_lead is not None:
            await self._hooks.on_lead()
            self._greeted = True
        if self._means.clock.wall_ms() >= self._scan_at_ms:
            self._scan_at_ms = self._means.clock.wall_ms() + self._means.limits.scan_ms
            await self._means.chats.refresh(self._means.clock.wall_ms())
            await self._rows.scan()
        await self._end_expired()
        while await self._start_ready():
            pass
        await self._make_up_for_pictures()
        self._start_pictures()

    async def _end_expired(self) -> None:
        now_ms = self._means.clock.wall_ms()
        if now_ms < self._expire_at_ms:
            return
        self._expire_at_ms = now_ms + _EXPIRE_EVERY_MS
        expired = self._rows.book.expired(self._rows.chats, now_ms)
        if expired and self._lease is not None:
            reason = "older than its chat wants"
            for chat in {row.chat for row in expired}:
                rows = [row for row in expired if row.chat == chat]
                await self._delivery.end(rows, OutboxState.EXPIRED, self._lease.fence, reason=reason)

    async def _make_up_for_pictures(self) -> None:
        """Once per lease: what an earlier sender did not get to show is drawn again, after every text that may go."""
        if self._owed_unread and self._joins_pictures and self._hooks.show_signal is not None:
            due = await self._owed.due(self._means.clock.wall_ms())
            self._owed_unread = False
            for record in due:
                self._means.log.info("picture_owed", chat=record.chat, signal_id=record.signal.signal_id)
                await self._hooks.show_signal(record.chat, record.signal, record.message_id)
            if self._hooks.show_bias is not None:
                for group, message_id in await self._owed.due_biases(self._means.clock.wall_ms()):
                    self._means.log.info("picture_owed", chat=group.chat, message_id=message_id)
                    await self._hooks.show_bias(group, message_id)

    def _start_pictures(self) -> None:
        if self._lease is not None:
            for picture in self._pictures.ready(self._means.clock.wall_ms()):
                self._track(asyncio.create_task(self._pictures.show(picture, self._lease.fence)))

    async def _hold_lease(self) -> bool:
        now_ms = self._means.clock.wall_ms()
        if self._lease is not None and now_ms < self._renew_at_ms:
            return True
        before = self._lease
        self._lease = await self._means.store.acquire_lease(
            LEASE_NAME, self._owner, ttl_ms=self._means.limits.lease_ttl_ms
        )
        self._renew_at_ms = now_ms + self._means.limits.lease_ttl_ms // 3
        if self._lease is None:
            return False
        if before is None or before.fence != self._lease.fence:
            self._means.log.info("sender_active", fence=self._lease.fence)
            self._scan_at_ms = 0
            self._owed_unread = True
        return True

    async def _start_ready(self) -> bool:
        """Claim and start what may go now; whether there was anything."""
        self._looked_ms = self._means.clock.wall_ms()
        groups = self._rows.book.ready(self._rows.chats, self._looked_ms)
        if not groups or self._lease is None:
            return False
        fence = self._lease.fence
        claimed = await self._rows.claim(groups, fence)
        crash_point("notifier.claimed")
        if len(claimed) < len(groups):  # another sender is at work: look at the store again
            self._scan_at_ms = 0
        for group in claimed:
            self._rows.book.start(group, self._means.clock.wall_ms())
            self._track(asyncio.create_task(self._deliver(group, fence)))
        return bool(claimed)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _deliver(self, group: Group, fence: int) -> None:
        try:
            await self._delivery.deliver(group, fence)
        except Exception:
            self._means.log.exception("delivery_interrupted", chat=group.chat, subject=group.subject)
            self._rows.forget(group.rows)
        finally:
            self._rows.book.finish(group)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _settle(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _wait(self) -> None:
        now_ms = self._means.clock.wall_ms()
        # From the last look on, not from now: what has come due in between has had nobody to start it.
        book_ms = self._rows.book.next_time_ms(self._rows.chats, self._looked_ms)
        times = [self._renew_at_ms, self._scan_at_ms, book_ms, self._pictures.next_time_ms(now_ms)]
        next_ms = min(time for time in times if time is not None)
        seconds = min(_IDLE_SECONDS_MAX, max(0.002, (next_ms - now_ms) / 1000))
        try:
            await asyncio.wait_for(self._wake.wait(), timeout=seconds)
        except TimeoutError:
            return


async def _wake_on(stopping: asyncio.Event, wake: asyncio.Event) -> None:
    await stopping.wait()
    wake.set()
