"""Work handed from coroutines to threads, and its outcome handed back."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Operation = Callable[[sqlite3.Connection], Any]


class Promise(msgspec.Struct, eq=False):
    """One operation and who waits for it. Filled in by a thread, resolved on the waiter's event loop."""

    operation: Operation
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    fully_synchronous: bool = False
    value: Any = None
    error: Exception | None = None


def promise_of(operation: Operation, *, fully_synchronous: bool = False) -> Promise:
    """A promise for the running coroutine."""
    loop = asyncio.get_running_loop()
    return Promise(operation, loop.create_future(), loop, fully_synchronous)


def deliver(promises: Iterable[Promise]) -> None:
    """Resolve each on its loop: one wake-up per loop, however many promises."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Promise]] = {}
    for promise in promises:
        by_loop.setdefault(promise.loop, []).append(promise)
    for loop, own in by_loop.items():
        if not loop.is_closed():  # a loop that ended has nobody left who waits
            loop.call_soon_threadsafe(_resolve, own)


def _resolve(promises: list[Promise]) -> None:
    for promise in promises:
        if promise.future.done():  # cancelled meanwhile
            continue
        if promise.error is None:
            promise.future.set_result(promise.value)
        else:
            promise.future.set_exception(promise.error)
