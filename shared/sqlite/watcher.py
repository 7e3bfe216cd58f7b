"""Waits for rows that become due: at once after a commit of this process, within milliseconds after another's."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

# Looking at the log's time of change costs a few microseconds and takes no lock; SQLite is asked only after a change.
_BUSY_INTERVAL_SECONDS: Final = 0.0025
_IDLE_INTERVAL_SECONDS: Final = 0.008
_IDLE_AFTER_SECONDS: Final = 5.0
# File times advance in ticks of up to 10 ms: a change so recent may hide another one of the same tick.
_TICK_NS: Final = 25_000_000
# A file system that keeps no time of change is looked at anyway.
_BLIND_INTERVAL_SECONDS: Final = 0.25

DueProbe = Callable[[sqlite3.Connection], int | None]


class _Waiter(msgspec.Struct, eq=False):
    """A coroutine that waits until its probe's wall time (ms) has come."""

    probe: DueProbe
    now_ms: Callable[[], int]
    future: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop
    due_at_ms: int | None = None


class Watcher:
    """One polling thread per process, asleep while nobody waits."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._log_path = f"{path}-wal"
        self._log_descriptor: int | None = None  # the log stays the same file while this process has it open
        self._log_state = (0, 0)
        self._waiters: set[_Waiter] = set()
        self._timed: list[_Waiter] = []  # those whose time is known and has not come
        self._guard = threading.Lock()
        # A lock that is released to ring: waiting on it costs a fraction of threading.Event.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._closed = False
        self._changed_at = self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="sqlite-watcher", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """This process has committed something."""
        if self._waiters:
            self._ring()

    async def wait(self, probe: DueProbe, now_ms: Callable[[], int], timeout_seconds: float) -> bool:
        """True once probe() <= now_ms(); false after the timeout or when released early."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(probe, now_ms, loop.create_future(), loop)
        timer = loop.call_later(timeout_seconds, _answer, waiter.future, False)
        with self._guard:
            self._waiters.add(waiter)
        self._ring()
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
        self._ring()
        self._thread.join()
        self.release_all()
        self._connection.close()
        if self._log_descriptor is not None:
            os.close(self._log_descriptor)

    def _ring(self) -> None:
        with suppress(RuntimeError):  # somebody has rung already
            self._bell.release()

    def _run(self) -> None:
        while not self._closed:
            rung = self._bell.acquire(timeout=self._interval())
            blind = time.monotonic() - self._looked_at > _BLIND_INTERVAL_SECONDS
            if self._log_changed() or rung or blind:
                self._look()
            elif self._timed:
                self._hand_back_due(self._timed)

    def _interval(self) -> float:
        if not self._waiters:
            return -1  # until the bell
        idle = time.monotonic() - self._changed_at > _IDLE_AFTER_SECONDS
        return _IDLE_INTERVAL_SECONDS if idle else _BUSY_INTERVAL_SECONDS

    def _log_changed(self) -> bool:
        if self._log_descriptor is None:
            try:
                self._log_descriptor = os.open(self._log_path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # not made yet
                return False
        status = os.fstat(self._log_descriptor)
        state = (status.st_mtime_ns, status.st_size)
        changed = state != self._log_state
        if changed:
            self._log_state = state
            self._changed_at = time.monotonic()
        return changed or 0 <= time.time_ns() - status.st_mtime_ns < _TICK_NS

    def _look(self) -> None:
        """Ask every waiter's probe."""
        self._looked_at = time.monotonic()
        with self._guard:
            waiters = list(self._waiters)
        try:
            for waiter in waiters:
                waiter.due_at_ms = waiter.probe(self._connection)
        except sqlite3.Error:
            # Let the waiters' own operations meet the fault and report it with the file's name.
            for waiter in waiters:
                _hand_back(waiter, answer=True)
        self._hand_back_due(waiters)

    def _hand_back_due(self, waiters: list[_Waiter]) -> None:
        timed = [waiter for waiter in waiters if waiter.due_at_ms is not None and not waiter.future.done()]
        self._timed = []
        for waiter in timed:
            if waiter.due_at_ms is not None and waiter.due_at_ms <= waiter.now_ms():
                _hand_back(waiter, answer=True)
            else:
                self._timed.append(waiter)


def _hand_back(waiter: _Waiter, *, answer: bool) -> None:
    if not waiter.loop.is_closed():
        waiter.loop.call_soon_threadsafe(_answer, waiter.future, answer)


def _answer(future: asyncio.Future[bool], answer: bool) -> None:  # noqa: FBT001 - call_later passes by position
    if not future.done():
        future.set_result(answer)
