"""Draws charts in a worker process, so that the event loop and its messages never wait for a picture.

Measured beside a thread (benchmarks/notifier_latency.py): the thread keeps pandas and matplotlib in this process and
delays messages while it holds the interpreter; the process costs its own memory, once. A process draws for ever: its figures
are reused: 10,000 charts add 13 MB (benchmarks/charts.py).
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from services.notifier.chart_drawing import draw_chart, warm_up_drawing
from services.notifier.core.chart_model import DEFAULT_LOOK, ChartLook
from services.notifier.core.chart_values import ChartModel

_Result = TypeVar("_Result")
_Model = TypeVar("_Model")


class ChartPool(Protocol):
    """Draws pictures somewhere."""

    async def draw(self, model: ChartModel) -> bytes:
        """The picture as PNG."""

    async def close(self) -> None:
        """Release whatever draws."""


class ProcessChartPool:
    """`workers` processes, started at the first chart and again when one was killed. At most `waiting_max` charts wait.

    look: of most charts, whose figure is made ahead of the first one.
    """

    def __init__(self, *, workers: int = 1, waiting_max: int = 50, look: ChartLook = DEFAULT_LOOK) -> None:
        self._workers = workers
        self._look = look
        self._places = asyncio.Semaphore(waiting_max)
        self._executor: ProcessPoolExecutor | None = None

    async def draw(self, model: ChartModel) -> bytes:
        """The picture as PNG; a worker that died is replaced and the chart tried once more."""
        return await self.drawn(draw_chart, model)

    async def drawn(self, draw: Callable[[_Model], bytes], model: _Model) -> bytes:
        """A picture of another kind, by the same workers. draw: a function of a module that the worker can import."""
        async with self._places:
            executor = self._running()
            try:
                return await _in_worker(executor, draw, model)
            except BrokenProcessPool:
                self._discard(executor)
                return await _in_worker(self._running(), draw, model)

    async def warm(self) -> None:
        """Start a worker and let it make its first figure, so that the first chart is as fast as the next."""
        with contextlib.suppress(BrokenProcessPool):
            await _in_worker(self._running(), warm_up_drawing, self._look.theme, self._look.scale)

    async def close(self) -> None:
        """End the workers at once; charts in the making are given up.

        They are killed: the interpreter's own exit would wait for what they are doing, on a busy machine for minutes.
        """
        executor = self._executor
        if executor is not None:
            workers = tuple((executor._processes or {}).values())  # noqa: SLF001 - kill_workers() comes with Python 3.14
            self._discard(executor)
            for worker in workers:
                worker.kill()

    def _running(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare_worker,
            )
        return self._executor

    def _discard(self, broken: ProcessPoolExecutor) -> None:
        """Only the one that broke: of several charts that were in it, the first already has a new one running."""
        if self._executor is broken:
            self._executor = None
        broken.shutdown(wait=False, cancel_futures=True)


async def _in_worker(executor: ProcessPoolExecutor, function: Callable[..., _Result], *arguments: object) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


def _prepare_worker() -> None:
    """Ctrl-C is the parent's business; a parent that was killed takes the worker with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.nice(5)  # a picture yields to prices and messages
    threading.Thread(target=_die_with_parent, name="parent-watch", daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
