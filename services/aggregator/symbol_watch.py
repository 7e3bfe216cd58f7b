"""Tells people which symbols cannot be seen while the rest of their exchange can, and what was missed when they come back."""

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.symbol_freshness import SymbolFreshness, SymbolVerdict
from services.aggregator.state import State
from shared.domain.events import Severity
from shared.domain.timeframe import MINUTE_MS


class SymbolWatch:
    """Looks at the watermarks of all symbols. A symbol that is blind closes no minute, so that no signal comes from it."""

    def __init__(self, state: State, *, budget_ms: int) -> None:
        self._state = state
        self._freshness = SymbolFreshness(budget_ms=budget_ms)

    @property
    def blind(self) -> tuple[SeriesKey, ...]:
        """The symbols told to be blind."""
        return self._freshness.blind

    async def look(self) -> None:
        """Publish what changed; raises TransientError, then it stays due."""
        state = self._state
        watermarks_ms = {key: state.coverage.watermark_ms(key) for key in state.coverage.symbols()}
        for verdict in self._freshness.due(watermarks_ms):
            kind = "blind" if verdict.is_blind else "seeing"
            severity = Severity.ERROR if verdict.is_blind else Severity.INFO
            await state.announce_system(
                kind, verdict.key, version=verdict.now_ms, text=self._text(verdict), severity=severity
            )
            self._freshness.told(verdict)
            state.log.warning("symbol_freshness", kind=kind, symbol=verdict.key.symbol, since_ms=verdict.since_ms)

    def _text(self, verdict: SymbolVerdict) -> str:
        key, seconds = verdict.key, (verdict.now_ms - verdict.since_ms) / 1000
        if verdict.is_blind:
            return f"{key.symbol} cannot be seen: {key.exchange} goes on, its trades stopped {seconds:.0f} s ago (market time)"
        missed = self.missed_minutes(key, verdict.since_ms, verdict.now_ms)
        return f"{key.symbol} is seen again after {seconds:.0f} s of market time; {missed} minute(s) of it are not whole yet"

    def missed_minutes(self, key: SeriesKey, since_ms: int, now_ms: int) -> int:
        """Minutes of the span that are partial, or not closed because nothing vouches for them."""
        series, coverage = self._state.builder.of(key), self._state.coverage
        minutes = range(since_ms // MINUTE_MS * MINUTE_MS, now_ms // MINUTE_MS * MINUTE_MS, MINUTE_MS)
        return sum(minute in series.holes or coverage.quality(key, minute) is None for minute in minutes)
