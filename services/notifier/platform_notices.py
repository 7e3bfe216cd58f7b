"""Starts and stops of the platform as messages: queued like every event, so that none is lost or told twice."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.notifier.core.platform_notices import PlatformState, came_up, going_down
from services.notifier.handlers import Queue
from services.notifier.state import NotifierState
from shared.domain.events import Severity, SystemEvent
from shared.domain.outbox import OutboxRow
from shared.runtime.clock import Clock
from shared.runtime.crash import crash_point

_SUBJECT: Final = "notifier"
Change = Callable[[PlatformState, int], tuple[PlatformState, str]]


class PlatformNotices:
    """Told by whoever sends, each once per process. what: a line about what runs. pause_ms: see core.platform_notices.

    The state is written after the row, over the revision read: a kill between leaves the number as it was, so the next
    start makes the same event, whose row is there.
    """

    def __init__(self, *, queue: Queue, state: NotifierState, clock: Clock, log: Any, what: str, pause_ms: int) -> None:
        self._queue = queue
        self._state = state
        self._clock = clock
        self._log = log
        self._what = what
        self._pause_ms = pause_ms

    async def up(self) -> None:
        """Messages go out from here on."""
        await self._note(lambda before, now_ms: came_up(before, now_ms, pause_ms=self._pause_ms))

    async def down(self) -> Sequence[OutboxRow]:
        """The process was told to stop; returns the rows that say so."""
        return await self._note(lambda before, now_ms: going_down(before, now_ms, pause_ms=self._pause_ms))

    async def _note(self, change: Change) -> Sequence[OutboxRow]:
        known, revision = await self._state.platform()
        now_ms = self._clock.wall_ms()
        after, kind = change(known, now_ms)
        rows: Sequence[OutboxRow] = ()
        if kind:
            number = after.number
            event = SystemEvent(
                kind=kind, subject=_SUBJECT, version=number, severity=Severity.INFO, text=self._what, at_ms=now_ms
            )
            rows = await self._queue.add([event])
            crash_point("notifier.notice_queued")
        await self._state.keep_platform(after, revision)
        self._log.info("platform_noted", is_up=after.is_up, told=kind, number=after.number)
        return rows
