"""The nightly job: when a day of the market is over, `cst parity --publish` decides it again, in a process of its own.

A timer of *market* time: an accelerated market has its night when its own day ends. What was checked is written down, so that the days
that passed while nothing ran are checked after the next start, and none is told twice.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from shared.domain.timeframe import DAY_MS

DELAY_MS: Final = 300_000  # after midnight: the day's last candles are closed and decided
_MARKER: Final = "parity.day"
_COMMAND: Final = (sys.executable, "-m", "cli.main", "parity", "--publish")


class MarketClock(Protocol):
    """What of a clock is needed."""

    def market_ms(self) -> int:
        """The market's time, UTC epoch."""


class Nightly:
    """run_dir: keeps the end of the last day that was checked. fresh: the data is new, so is what must be checked."""

    def __init__(
        self, clock: MarketClock, run_dir: Path, log_file: Path, environment: Mapping[str, str], *, fresh: bool
    ) -> None:
        self._clock, self._log_file = clock, log_file
        self._environment = {**environment, "LOG_FILE": str(log_file)}
        self._marker = run_dir / _MARKER
        self._running: asyncio.subprocess.Process | None = None
        self._until_ms = 0
        if fresh or self._checked_ms() is None:
            self._keep(clock.market_ms() // DAY_MS * DAY_MS)

    @property
    def running(self) -> bool:
        """Whether a check is under way."""
        return self._running is not None

    async def tick(self) -> str | None:
        """Start what is due, end what is done; what to tell about that, if anything. Called often, costs nothing."""
        if self._running is not None:
            return None if self._running.returncode is None else self._ended(self._running.returncode)
        from_ms = self._checked_ms() or 0
        due_ms = self._clock.market_ms() - DELAY_MS
        if due_ms < from_ms + DAY_MS:
            return None
        self._until_ms = due_ms // DAY_MS * DAY_MS
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *_COMMAND,
                *("--from", _text(from_ms), "--to", _text(self._until_ms)),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return None

    async def stop(self) -> None:
        """End a check that runs; the next start makes it again."""
        if self._running is not None and self._running.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._running.terminate()
            await self._running.wait()

    def _ended(self, code: int) -> str:
        self._running = None
        self._keep(self._until_ms)  # also after a fault: it is said, and must not be repeated every half second
        said = self._log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{'parity' if code in {0, 1} else f'parity failed ({code})'}: {said[-1] if said else self._log_file}"

    def _checked_ms(self) -> int | None:
        try:
            return int(self._marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _keep(self, until_ms: int) -> None:
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        self._marker.write_text(str(until_ms), encoding="utf-8")


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat()
