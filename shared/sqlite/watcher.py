"""Waits for rows that become due: at once after a commit of this process, within milliseconds after another's."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

# Looking costs some 15 microseconds; these intervals keep an idle process far below 2 % of a core.
_BUSY_INTERVAL_SECONDS: Final = 0.003
_IDLE_INTERVAL_SECONDS: Final = 0.010
_IDLE_AFTER_SECONDS: Final = 5.0

DueProbe = Callable[[sqlite3.Connection], int | None]


class _Waiter(msgspec.Struct, eq=False):
    """A coroutine that waits until its probe's wall time (ms) has come."""

    probe: DueProbe
    now_ms: Callable[[], int]
    future: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop
    due_at_ms: int | None = None
    probed: bool = False


class Watcher:
    """One polling thread per process, asleep while nobody waits. A poll asks SQLite whether the file changed at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiters: set[_Waiter] = set()
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._changed = True
        self._closed = False
        self._version = -1
        self._changed_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="sqlite-watcher", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """This process has committed something."""
        self._changed = True
        if self._waiters:
            self._wake.set()

    async def wait(self, probe: DueProbe, now_ms: Callable[[], int], timeout_seconds: float) -> bool:
        """True once probe() <= now_ms(); false after the timeout or when released early."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(probe, now_ms, loop.create_future(), loop)
        timer = loop.call_later(timeout_seconds, _answer, waiter.future, False)
        with self._guard:
            self._waiters.add(waiter)
        self._wake.set()
        try:
            return await waiter.future
        finally:
            timer.cancel()
            with self._guard:
                self._waiters.discard(waiter)

    def release_all(self) -> None:
        """Let every waiter go with false."""
        with self._guard:
            waiters = list(self._waiters)
        for waiter in waiters:
            _hand_back(waiter, answer=False)

    def close(self) -> None:
        """End the thread; waiters go with false."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.release_all()
        self._connection.close()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._interval())
            self._wake.clear()
            with self._guard:
                waiters = list(self._waiters)
            if waiters:
                try:
                    self._look(waiters)
                except sqlite3.Error:
                    # Let the waiters' own operations meet the fault and report it with the file's name.
                    for waiter in waiters:
                        _hand_back(waiter, answer=True)

    def _interval(self) -> float | None:
        if not self._waiters:
            return None
        idle = time.monotonic() - self._changed_at > _IDLE_AFTER_SECONDS
        return _IDLE_INTERVAL_SECONDS if idle else _BUSY_INTERVAL_SECONDS

    def _look(self, waiters: list[_Waiter]) -> None:
        changed, self._changed = self._changed, False
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            changed = True
        if changed:
            self._changed_at = time.monotonic()
        for waiter in waiters:
            if changed or not waiter.probed:
                waiter.due_at_ms = waiter.probe(self._connection)
                waiter.probed = True
            if waiter.due_at_ms is not None and waiter.due_at_ms <= waiter.now_ms():
                _hand_back(waiter, answer=True)


def _hand_back(waiter: _Waiter, *, answer: bool) -> None:
    if not waiter.loop.is_closed():
        waiter.loop.call_soon_threadsafe(_answer, waiter.future, answer)


def _answer(future: asyncio.Future[bool], answer: bool) -> None:  # noqa: FBT001 - call_later passes by position
    if not future.done():
        future.set_result(answer)
