"""The venue's clock as one connection shows it, and the watermark that follows from it."""

import msgspec

from shared.domain.checks import EPOCH_MS_MAX


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far times may lie from the feed's own clock, venue milliseconds.

    lateness_ms:  a frame is at most so old when it reaches us; later trades are corrections, not promises.
    ahead_max_ms, behind_max_ms: a frame or trade beyond is refused.
    """

    lateness_ms: int = 1_000
    ahead_max_ms: int = 300_000
    behind_max_ms: int = 3_600_000


class VenueClock:
    """The latest venue time seen on any topic of one connection. It never falls and stands still in silence."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._latest_ms: int | None = None

    @property
    def latest_ms(self) -> int | None:
        """The latest venue time seen; None before the first."""
        return self._latest_ms

    def advance(self, venue_time_ms: int) -> str | None:
        """Take a frame's time; returns the broken rule instead when it cannot be true (one such frame would blind us)."""
        reason = self.check(venue_time_ms, "ts")
        if reason is None and (self._latest_ms is None or venue_time_ms > self._latest_ms):
            self._latest_ms = venue_time_ms
        return reason

    def check(self, time_ms: int, field: str) -> str | None:
        """The broken rule where the time is far from the clock, else None."""
        latest_ms = self._latest_ms
        if not 0 < time_ms < EPOCH_MS_MAX:
            return f"{field} must be UTC epoch milliseconds, was {time_ms}"
        if latest_ms is None:
            return None
        if time_ms > latest_ms + self._limits.ahead_max_ms:
            return f"{field} may be {self._limits.ahead_max_ms} ms ahead of the feed's clock {latest_ms}, was {time_ms}"
        if time_ms < latest_ms - self._limits.behind_max_ms:
            return f"{field} may be {self._limits.behind_max_ms} ms behind the feed's clock {latest_ms}, was {time_ms}"
        return None

    def watermark_ms(self) -> int:
        """Before it, every trade has reached us (under lateness_ms); 0 before the first frame."""
        return max(0, self._latest_ms - self._limits.lateness_ms) if self._latest_ms is not None else 0
