"""Which minutes are provably whole: the union of what every session vouches for."""

from functools import lru_cache
from typing import NamedTuple

from services.aggregator.core.intervals import Intervals
from shared.domain.candles import CandleQuality, Vouched
from shared.domain.coverage import SessionCoverage, Span
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import TradeSource


class SeriesKey(NamedTuple):
    """One symbol of one venue."""

    exchange: str
    symbol: str


@lru_cache(maxsize=100)
def _whole_minute(session: str) -> tuple[Vouched, ...]:
    return (Vouched(session, 0, MINUTE_MS),)


class _SymbolCoverage:
    """streamed: by stream sessions alone; whole: by any. watermark_ms: the latest of any session that names it."""

    __slots__ = ("sessions", "streamed", "watermark_ms", "whole")

    def __init__(self) -> None:
        self.streamed = Intervals()
        self.whole = Intervals()
        self.watermark_ms = 0
        self.sessions: dict[str, SessionCoverage] = {}


class Coverage:
    """All sessions, united per symbol."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], SessionCoverage] = {}
        self._symbols: dict[SeriesKey, _SymbolCoverage] = {}

    def session(self, exchange: str, session: str) -> SessionCoverage | None:
        """What is known of the session, None when it is new."""
        return self._sessions.get((exchange, session))

    def symbols(self) -> list[SeriesKey]:
        """Every symbol that a session named, sorted."""
        return sorted(self._symbols)

    def put(self, session: SessionCoverage) -> None:
        """Take over what the session vouches for now; never takes anything back."""
        streamed = session.source is TradeSource.STREAM
        for symbol in session.symbols:
            coverage = self._of(SeriesKey(session.exchange, symbol))
            coverage.watermark_ms = max(coverage.watermark_ms, session.watermark_ms)
            coverage.sessions[session.session] = session
            for start_ms, end_ms in session.asserted:
                coverage.whole.add(start_ms, end_ms)
                if streamed:
                    coverage.streamed.add(start_ms, end_ms)
        self._sessions[session.exchange, session.session] = session

    def fresh(self, session: SessionCoverage, before_ms: dict[SeriesKey, int]) -> list[tuple[SeriesKey, list[Span]]]:
        """What `put` would newly cover of each symbol before the given time: evidence about minutes already closed.

        A stream session also counts where only refills vouched so far, since the quality changes from it.
        """
        if not session.asserted or not before_ms:
            return []
        found = []
        for symbol in session.symbols:
            key = SeriesKey(session.exchange, symbol)
            coverage, end_limit_ms = self._of(key), before_ms.get(key, 0)
            known = coverage.streamed if session.source is TradeSource.STREAM else coverage.whole
            spans = [
                gap
                for start_ms, end_ms in session.asserted
                if start_ms < end_limit_ms
                for gap in known.missing(start_ms, min(end_ms, end_limit_ms))
            ]
            if spans:
                found.append((key, spans))
        return found

    def watermark_ms(self, key: SeriesKey) -> int:
        """How far the symbol's market has been seen; 0 before any session named it."""
        coverage = self._symbols.get(key)
        return coverage.watermark_ms if coverage else 0

    def quality(self, key: SeriesKey, minute_ms: int) -> CandleQuality | None:
        """COMPLETE where streams vouch for the whole minute, REPAIRED where refills had to, None where nothing does."""
        coverage = self._symbols.get(key)
        end_ms = minute_ms + MINUTE_MS
        if coverage is None:
            return None
        if coverage.streamed.covers(minute_ms, end_ms):  # a part of what is whole
            return CandleQuality.COMPLETE
        return CandleQuality.REPAIRED if coverage.whole.covers(minute_ms, end_ms) else None

    def sessions(self) -> list[SessionCoverage]:
        """All that are remembered."""
        return list(self._sessions.values())

    def lacks(self, key: SeriesKey, start_ms: int, end_ms: int) -> bool:
        """Whether nothing vouches for a part of the span."""
        coverage = self._symbols.get(key)
        return coverage is None or bool(coverage.whole.missing(start_ms, end_ms))

    def vouched_by(self, key: SeriesKey, minute_ms: int) -> tuple[Vouched, ...]:
        """Which sessions cover which part of the minute, in the order of the parts."""
        coverage = self._symbols.get(key)
        if coverage is None:
            return ()
        end_ms = minute_ms + MINUTE_MS
        if len(coverage.sessions) == 1:
            [only] = coverage.sessions.values()
            spans = only.asserted
            if spans and spans[-1][0] <= minute_ms and spans[-1][1] >= end_ms:
                return _whole_minute(only.session)  # the usual case
        found = [
            Vouched(session.session, max(start, minute_ms) - minute_ms, min(end, end_ms) - minute_ms)
            for session in coverage.sessions.values()
            if session.watermark_ms > minute_ms
            for start, end in session.asserted
            if start < end_ms and end > minute_ms
        ]
        if len(found) > 1:
            found.sort(key=lambda one: (one.start_ms, one.session))
        return tuple(found)

    def forget_before(self, time_ms: int) -> None:
        """Drop what ended before the time, so that memory stays bounded; watermarks stay."""
        self._sessions = {
            place: session for place, session in self._sessions.items() if session.watermark_ms >= time_ms
        }
        for coverage in self._symbols.values():
            coverage.whole.forget_before(time_ms)
            coverage.streamed.forget_before(time_ms)
            kept = {name: one for name, one in coverage.sessions.items() if one.watermark_ms >= time_ms}
            coverage.sessions = kept

    def _of(self, key: SeriesKey) -> _SymbolCoverage:
        coverage = self._symbols.get(key)
        if coverage is None:
            coverage = self._symbols[key] = _SymbolCoverage()
        return coverage
