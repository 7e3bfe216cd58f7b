"""A clock far from the venue's makes every decision stale: said once when it stays so, taken back when it is right."""

from shared.domain.events import Severity, SystemEvent


class ClockSkew:
    """Compares the venue's times with ours. max_ms: market time they may differ; patience_ms: wall time to be sure.

    Both changes need patience_ms of samples that agree: one late frame, or one burst after a pause, says nothing.
    """

    def __init__(self, subject: str, *, max_ms: int, patience_ms: int) -> None:
        self._subject = subject
        self._max_ms = max_ms
        self._patience_ms = patience_ms
        self._venue_time_ms = 0
        self._doubtful_since_ms: float | None = None
        self._version = 0
        self._skewed = False
        self.latest_ms: int | None = None

    @property
    def is_skewed(self) -> bool:
        """Whether it was announced and not taken back."""
        return self._skewed

    def forget(self) -> None:
        """A new connection, or a venue clock that was wrong itself: what was seen before proves nothing."""
        self._venue_time_ms = 0
        self._doubtful_since_ms = None

    def observe(self, venue_time_ms: int, *, market_ms: int, now_ms: float) -> SystemEvent | None:
        """The event that is due now, if any. A venue time seen before is no sample: in silence nothing is known.

        venue_time_ms: the latest of the feed; market_ms: our clock; now_ms: any steady wall clock.
        """
        if venue_time_ms == self._venue_time_ms:
            return None
        self._venue_time_ms = venue_time_ms
        self.latest_ms = market_ms - venue_time_ms
        if (abs(self.latest_ms) > self._max_ms) == self._skewed:
            self._doubtful_since_ms = None
            return None
        if self._doubtful_since_ms is None:
            self._doubtful_since_ms = now_ms
        if now_ms - self._doubtful_since_ms < self._patience_ms:
            return None
        self._doubtful_since_ms = None
        self._skewed = not self._skewed
        return self._event(self.latest_ms, market_ms)

    def _event(self, skew_ms: int, market_ms: int) -> SystemEvent:
        # Versions are venue times: ours may jump back when it is set right.
        self._version = max(self._version + 1, self._venue_time_ms)
        side = "ahead of" if skew_ms > 0 else "behind"
        text = f"{self._subject}: our clock is {abs(skew_ms) / 1000:.1f} s {side} the venue's"
        if self._skewed:
            text += (
                f", {self._max_ms / 1000:.0f} s are allowed: decisions may be taken for stale. Set the machine's clock"
            )
        else:
            text += ", which is right again"
        return SystemEvent(
            kind="clock_skew" if self._skewed else "clock_right",
            subject=self._subject,
            version=self._version,
            severity=Severity.ERROR if self._skewed else Severity.INFO,
            text=text,
            at_ms=market_ms,
        )
