"""Blindness is an event: said once when the watermark stands still too long, taken back when it moves again."""

from shared.domain.events import Severity, SystemEvent


class Freshness:
    """Watches one watermark. budget_ms: wall time it may stand still."""

    def __init__(self, subject: str, *, budget_ms: int, started_at_ms: float, version: int) -> None:
        self._subject = subject
        self._budget_ms = budget_ms
        self._moved_at_ms = started_at_ms
        self._watermark_ms = 0
        self._version = version
        self._blind = False

    @property
    def is_blind(self) -> bool:
        """Whether it was announced and not taken back."""
        return self._blind

    def age_ms(self, now_ms: float) -> float:
        """How long the watermark has stood still (wall time)."""
        return now_ms - self._moved_at_ms

    def observe(self, watermark_ms: int, *, now_ms: float, market_ms: int, reason: str) -> SystemEvent | None:
        """The event that is due now, if any. now_ms: any steady wall clock; market_ms: for the event's time."""
        stood_ms = self.age_ms(now_ms)
        if watermark_ms > self._watermark_ms:
            self._watermark_ms, self._moved_at_ms = watermark_ms, now_ms
            if not self._blind:
                return None
            self._blind = False
            text = f"{self._subject} sees again: its watermark moved after {stood_ms / 1000:.1f} s"
            return self._event("seeing", Severity.INFO, text, market_ms)
        if self._blind or stood_ms <= self._budget_ms:
            return None
        self._blind = True
        text = f"{self._subject} is blind: its watermark stands still for {stood_ms / 1000:.1f} s ({reason})"
        return self._event("blind", Severity.ERROR, text, market_ms)

    def _event(self, kind: str, severity: Severity, text: str, market_ms: int) -> SystemEvent:
        # Versions rise with the watermark they speak of: blind at w, seeing at a later one.
        self._version = max(self._version + 1, self._watermark_ms)
        return SystemEvent(
            kind=kind, subject=self._subject, version=self._version, severity=severity, text=text, at_ms=market_ms
        )
