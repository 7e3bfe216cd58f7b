"""Virtual time: an event loop that jumps to its next timer, and clocks that follow it."""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class _Selector(selectors.SelectSelector):
    """Nothing is ever ready: there are no sockets. Waiting is moving the clock."""

    advance: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits and no timer is set: the simulation stands still for ever")
        if timeout > 0:
            self.advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time passes only while nobody has anything to do."""

    def __init__(self, start_seconds: float) -> None:
        selector = _Selector()
        selector.advance = self._advance
        self._now = start_seconds
        super().__init__(selector)
        # One step of the float: with more, a timer could fire before its time, and who waits for the rest would spin for ever.
        self._clock_resolution = math.ulp(start_seconds)

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        # At least by one step of the float: less than that is no time, and a wait for it would never end.
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))

    def end(self) -> None:
        """The power is gone. What still waits is forgotten; what its clean-up says when it is collected, nobody hears."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process says nothing of its tasks
        self.close()
        self._check_closed = lambda: None  # type: ignore[method-assign]  # what a killed process still calls changes nothing


class SkewedClock:
    """What the machine's clock says: virtual time, and how wrong it is now."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew_ms = 0

    def time_ns(self) -> int:
        return round((self._loop.time() * 1000 + self.skew_ms) * 1_000_000)


class ServerClock:
    """The clock of brokers and venue: right."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def wall_ms(self) -> int:
        return round(self._loop.time() * 1000)

    def market_ms(self) -> int:
        return self.wall_ms()


@contextmanager
def virtual_time(start_ms: int) -> Iterator[tuple[VirtualLoop, SkewedClock]]:
    """A loop at this time; `time.time_ns` and `time.monotonic` of everything that runs inside follow it."""
    loop = VirtualLoop(start_ms / 1000)
    clock = SkewedClock(loop)
    real = time.time_ns, time.monotonic, time.time
    time.time_ns, time.monotonic, time.time = clock.time_ns, loop.time, loop.time
    try:
        yield loop, clock
    finally:
        time.time_ns, time.monotonic, time.time = real
        loop.end()


def run_until(loop: VirtualLoop, main: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of the coroutine, at whatever time it comes."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        asyncio.set_event_loop(None)
