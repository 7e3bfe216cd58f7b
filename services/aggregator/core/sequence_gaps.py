"""Batches that never came: their numbers are missing in a session, and from there on it vouches for nothing more. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from services.aggregator.core.coverage import Coverage, SeriesKey
from shared.domain.coverage import SessionCoverage

ASKED_MAX: Final = 3
LATE_MS: Final = 60_000  # what was lost may have held trades that were late by so much, where numbers do not tell


class SequenceGap(NamedTuple):
    """Of a session: from where on trades may be missing, and how far it has come."""

    exchange: str
    session: str
    symbols: tuple[str, ...]
    from_ms: int
    to_ms: int


class SequenceGaps:
    """Waits patience_ms (wall) for a redelivery, then asks; again as long as the time stays uncovered, ASKED_MAX times."""

    def __init__(self, *, patience_ms: int) -> None:
        self._patience_ms = patience_ms
        self._waiting: dict[tuple[str, str, int], tuple[int, int]] = {}  # since when, how often asked

    def due(self, sessions: Iterable[SessionCoverage], coverage: Coverage, now_ms: int) -> list[SequenceGap]:
        """The gaps to ask for now."""
        found, waiting = [], {}
        for session in sessions:
            gap = gap_of(session)
            if gap is None or not _is_open(gap, coverage):
                continue
            place = (gap.exchange, gap.session, gap.from_ms)
            since_ms, asked = self._waiting.get(place, (now_ms, 0))
            if now_ms - since_ms >= self._patience_ms and asked < ASKED_MAX:
                found.append(gap)
                since_ms, asked = now_ms, asked + 1
            waiting[place] = (since_ms, asked)
        self._waiting = waiting
        return found


def gap_of(session: SessionCoverage) -> SequenceGap | None:
    """The session's first gap; None where its batches follow one another from the first on."""
    runs = session.runs
    if not runs or (len(runs) == 1 and runs[0].first == 0):
        return None
    asserted = session.asserted
    starts = [span[0] for run in runs for span in run.spans]
    if not asserted and not starts:
        return None  # nothing was vouched for yet
    broke_off_ms = asserted[-1][1] if asserted else min(starts)
    if session.watermark_ms <= broke_off_ms:
        return None
    from_ms = max(min(starts), broke_off_ms - LATE_MS)
    return SequenceGap(session.exchange, session.session, session.symbols, from_ms, session.watermark_ms)


def _is_open(gap: SequenceGap, coverage: Coverage) -> bool:
    return any(coverage.lacks(SeriesKey(gap.exchange, symbol), gap.from_ms, gap.to_ms) for symbol in gap.symbols)
