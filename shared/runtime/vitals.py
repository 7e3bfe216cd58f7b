"""Whether a process lives and whether it is ready, as anything outside may ask from any thread."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shared.runtime.metrics import Metrics

BEAT_SECONDS: Final = 1.0
STILL_SECONDS_MAX: Final = 30.0  # an event loop that has not turned for so long hangs


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Yes or no, and why."""

    good: bool
    text: str


class Vitals:
    """Fed by the service's event loop and its status reports.

    Alive: the event loop turned lately; while the service starts (it loads kernels, it opens its adapters) it counts as
    alive. Ready: it has reported its status, which services do once everything they need is there, the compiled kernels
    among it; the report is not outdated, and does not say that it still waits for something.
    """

    def __init__(self, metrics: Metrics, *, report_seconds_max: float) -> None:
        self._metrics = metrics
        self._report_seconds_max = report_seconds_max
        self._beat_at: float | None = None
        self._reported_at: float | None = None
        self._status: Mapping[str, object] = {}
        self.stopping = False

    def reported(self, status: Mapping[str, object]) -> None:
        """A status report was made."""
        self._reported_at = time.monotonic()
        self._status = status
        self._metrics.take_status(status)

    async def beat(self) -> None:
        """Until cancelled."""
        while True:
            self._beat_at = time.monotonic()
            self._metrics.set("cst_ready", float(self.readiness().good))
            await asyncio.sleep(BEAT_SECONDS)

    def health(self) -> Answer:
        """Whether the event loop turns."""
        if self._beat_at is None:
            return Answer(good=True, text="starting")
        seconds = time.monotonic() - self._beat_at
        if seconds > STILL_SECONDS_MAX:
            return Answer(good=False, text=f"the event loop has not turned for {seconds:.0f} s")
        return Answer(good=True, text="ok")

    def readiness(self) -> Answer:
        """Whether it does its work, or would as soon as it leads."""
        if self.stopping:
            return Answer(good=False, text="stopping")
        if self._reported_at is None:
            return Answer(good=False, text="starting")
        if self._status.get("ready") is False:
            return Answer(good=False, text="waiting: see its log")
        seconds = time.monotonic() - self._reported_at
        if seconds > self._report_seconds_max:
            return Answer(good=False, text=f"no report for {seconds:.0f} s")
        return Answer(good=True, text=str(self._status.get("role", "ready")))

    def status(self) -> dict[str, Any]:
        """The last report."""
        return dict(self._status)
