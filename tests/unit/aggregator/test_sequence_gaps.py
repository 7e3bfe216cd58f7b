"""Batches that never came are asked for: after the patience, a few times, and not where another session vouches."""

from services.aggregator.core.coverage import Coverage
from services.aggregator.core.sequence_gaps import ASKED_MAX, LATE_MS, SequenceGap, SequenceGaps
from shared.domain.coverage import SessionCoverage
from shared.domain.trades import TradeBatch
from tests.support.trades import EXCHANGE, START_MS, a_batch

PATIENCE_MS = 30_000


def a_session(*sequences: int, session: str = "s1") -> SessionCoverage:
    batches: list[TradeBatch] = [
        a_batch(session=session, sequence=number, watermark_ms=START_MS + (number + 1) * 1_000) for number in sequences
    ]
    known = SessionCoverage.beginning(batches[0])
    for batch in batches:
        known = known.joined(batch)
    return known


def due_of(gaps: SequenceGaps, now_ms: int, *sessions: SessionCoverage) -> list[SequenceGap]:
    coverage = Coverage()
    for session in sessions:
        coverage.put(session)
    return gaps.due(coverage.sessions(), coverage, now_ms)


def test_a_gap_is_asked_for_after_the_patience_from_before_the_end_of_the_promise():
    gaps, broken = SequenceGaps(patience_ms=PATIENCE_MS), a_session(*range(100), 101)
    assert due_of(gaps, 0, broken) == []
    assert due_of(gaps, PATIENCE_MS - 1, broken) == []
    [gap] = due_of(gaps, PATIENCE_MS, broken)
    assert gap == SequenceGap(EXCHANGE, "s1", ("AAA", "BBB"), START_MS + 100_000 - LATE_MS, START_MS + 102_000)
    assert due_of(gaps, PATIENCE_MS + 1, broken) == []


def test_a_missing_beginning_is_a_gap_too():
    gaps, broken = SequenceGaps(patience_ms=0), a_session(1, 2)
    [gap] = due_of(gaps, 0, broken)
    assert (gap.from_ms, gap.to_ms) == (START_MS, START_MS + 3_000)


def test_a_redelivery_in_time_is_no_gap():
    gaps = SequenceGaps(patience_ms=PATIENCE_MS)
    due_of(gaps, 0, a_session(0, 2))
    assert due_of(gaps, PATIENCE_MS, a_session(0, 2, 1)) == []


def test_what_another_session_vouches_for_is_not_asked_for():
    gaps = SequenceGaps(patience_ms=0)
    assert due_of(gaps, 0, a_session(0, 1, 3), a_session(0, 1, 2, 3, session="twin")) == []


def test_what_cannot_be_fetched_is_asked_for_a_few_times_only():
    gaps, broken = SequenceGaps(patience_ms=PATIENCE_MS), a_session(0, 2)
    asked = [len(due_of(gaps, now_ms, broken)) for now_ms in range(0, 20 * PATIENCE_MS, PATIENCE_MS)]
    assert sum(asked) == ASKED_MAX
