"""Processes that can be killed: at the chosen await nothing of theirs runs any more, not even a `finally`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any

_running: ContextVar["Process | None"] = ContextVar("process", default=None)
# Tasks of processes, the dead ones' too: not collected, since closing a coroutine would run its clean-up.
_kept: list[asyncio.Task[Any]] = []


class Process:
    """One life of a process. kill_at: it dies at so many awaits of its tasks, 0 never."""

    def __init__(self, name: str, kill_at: int = 0) -> None:
        self.name = name
        self.awaits = 0
        self.kill_at = kill_at
        self.dead = asyncio.Event()

    @property
    def is_dead(self) -> bool:
        return self.dead.is_set()

    def step(self) -> bool:
        """Count an await; whether the process lives beyond it."""
        if self.dead.is_set():
            return False
        self.awaits += 1
        if self.awaits == self.kill_at:
            self.dead.set()
            return False
        return True

    def kill(self) -> None:
        self.dead.set()

    def start(self, work: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Run it as this process: every task it makes belongs to it."""

        async def run() -> None:
            await work()

        token = _running.set(self)
        try:
            return asyncio.get_running_loop().create_task(run())
        finally:
            _running.reset(token)


async def may_die() -> None:
    """An await of the running process at which nobody else has a turn: where it dies, this never returns."""
    process = _running.get()
    if process is not None and not process.step():
        await asyncio.get_running_loop().create_future()


class _Guarded(Coroutine[Any, Any, Any]):
    """A coroutine that is stepped only while its process lives; afterwards its task waits for ever."""

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process

    def send(self, value: Any) -> Any:
        return self._inner.send(value) if self._process.step() else self._never()

    def throw(self, *error: Any) -> Any:
        return self._inner.throw(*error) if self._process.step() else self._never()

    def close(self) -> None:
        if not self._process.is_dead:
            self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._inner.__await__())

    def _never(self) -> Any:
        waiting = asyncio.get_running_loop().create_future()
        return next(iter(waiting.__await__()))


def guard_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """From now on every task of a process can be killed with it."""

    def make(loop: asyncio.AbstractEventLoop, work: Any, **keywords: Any) -> "asyncio.Task[Any]":
        process = _running.get()
        if process is None:
            return asyncio.Task(work, loop=loop, **keywords)
        task = asyncio.Task(_Guarded(work, process), loop=loop, **keywords)
        _kept.append(task)
        return task

    loop.set_task_factory(make)


def forget_the_dead() -> None:
    """Let go of what processes left; their coroutines are closed, and what their clean-up says is ignored."""
    for task in _kept:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process says nothing of its tasks
    _kept.clear()
