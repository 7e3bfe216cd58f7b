"""Whether trade batches still come: said once when none has for too long, taken back once when they come again."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """What is to be told. since_ms: the last batch before the silence, or the start where none came; lasted_ms: how long."""

    is_blind: bool
    since_ms: int
    lasted_ms: int


class FeedFreshness:
    """Watches one feed, in wall time. A verdict stays due until it is `told`, so that a failed publication is repeated."""

    def __init__(self, *, budget_ms: int, now_ms: int) -> None:
        self._budget_ms = budget_ms
        self._last_ms = now_ms
        self._blind_since_ms: int | None = None
        self._back_at_ms: int | None = None

    @property
    def is_blind(self) -> bool:
        """Whether silence was told and not taken back."""
        return self._blind_since_ms is not None

    def age_ms(self, now_ms: int) -> int:
        """How long no batch has come."""
        return now_ms - self._last_ms

    def arrived(self, now_ms: int) -> None:
        """A batch came, whatever is in it."""
        self._last_ms = now_ms
        if self._blind_since_ms is not None and self._back_at_ms is None:
            self._back_at_ms = now_ms

    def due(self, now_ms: int) -> Verdict | None:
        """What is to be told now, if anything."""
        if self._blind_since_ms is None:
            age_ms = self.age_ms(now_ms)
            return Verdict(True, self._last_ms, age_ms) if age_ms > self._budget_ms else None
        if self._back_at_ms is None:
            return None
        return Verdict(False, self._blind_since_ms, self._back_at_ms - self._blind_since_ms)

    def told(self, verdict: Verdict) -> None:
        """It was published."""
        self._blind_since_ms = verdict.since_ms if verdict.is_blind else None
        # A batch that came while the silence was being told ends it.
        self._back_at_ms = self._last_ms if verdict.is_blind and self._last_ms > verdict.since_ms else None
