"""The tape's rows, a session's coverage, and the union of sessions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.core.coverage import Coverage, SeriesKey
from services.aggregator.core.intervals import Intervals
from shared.domain.candles import CandleQuality
from shared.domain.coverage import SessionCoverage
from shared.domain.errors import FencedError
from shared.domain.exclusions import Exclusion
from shared.domain.minute_trades import COLUMN_NAMES
from shared.domain.splitting import split_by_minute
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import TradeSource
from shared.store.coverage import CoverageStore
from shared.store.tape import TapeStore, pack, unpack
from tests.support.aggregator import Bench
from tests.support.trades import EXCHANGE, START_MS, Row, a_batch

KEY = SeriesKey(EXCHANGE, "AAA")

trade_rows = st.builds(
    Row,
    symbol=st.just("AAA"),
    trade_id=st.integers(-(2**63), 2**63 - 1) | st.text(max_size=70),
    at_ms=st.integers(START_MS, START_MS + MINUTE_MS - 1),
    price=st.integers(1, 10**9).map(lambda cents: cents / 100),
    quantity=st.integers(1, 2**62),
    buyer=st.booleans(),
    tie_rank=st.integers(0, 2**31 - 1),
)


@given(rows=st.lists(trade_rows, min_size=1, max_size=20), source=st.sampled_from(TradeSource))
def test_a_packed_row_unpacks_to_the_same_trades(rows, source):
    [piece] = split_by_minute(a_batch(rows, source=source, sequence=7))

    [packed] = pack([piece])
    again = unpack(packed, piece.exchange, piece.symbol, piece.minute_ms, piece.session, piece.sequence)

    assert (again.arrival, again.source) == (piece.arrival, source)
    assert (again.price_scale, again.quantity_scale) == (2, 2)
    for name in COLUMN_NAMES:
        assert getattr(again, name).dtype == getattr(piece, name).dtype
        assert np.array_equal(getattr(again, name), getattr(piece, name))


async def test_the_tape_gives_back_minutes_with_their_exclusions():
    tape = TapeStore(Bench().store)
    batch = a_batch([Row("AAA", 1, START_MS, 100.0, 5), Row("AAA", 2, START_MS + MINUTE_MS, 101.0, 5)])
    pieces = split_by_minute(batch)
    winner = (START_MS - 5, "s0", 3)
    excluded = tape.exclusion_of(*KEY, START_MS, Exclusion(1, winner, START_MS + MINUTE_MS))
    await tape._store.write([*tape.writes_of(pieces), excluded])

    minutes = await tape.load(*KEY, START_MS, START_MS + 2 * MINUTE_MS)

    assert sorted(minutes) == [START_MS, START_MS + MINUTE_MS]
    assert minutes[START_MS].counted() == []
    [piece] = minutes[START_MS + MINUTE_MS].counted()
    assert piece.trade_id.tolist() == [2]
    assert await tape.load(*KEY, START_MS + 2 * MINUTE_MS, START_MS + 9 * MINUTE_MS) == {}


async def test_a_reported_conflict_is_remembered():
    tape = TapeStore(Bench().store)
    assert not await tape.is_reported(*KEY, START_MS, ("id", 1.0))
    await tape.mark_reported(*KEY, START_MS, ("id", 1.0))
    assert await tape.is_reported(*KEY, START_MS, ("id", 1.0))
    assert not await tape.is_reported(*KEY, START_MS, ("id", 2.0))


@given(order=st.permutations(range(6)))
def test_a_session_asserts_only_its_contiguous_prefix_in_whatever_order_it_arrives(order):
    session = SessionCoverage.beginning(a_batch())
    arrived: set[int] = set()
    for sequence in order:
        session = session.joined(a_batch(sequence=sequence, watermark_ms=START_MS + (sequence + 1) * 1000))
        arrived.add(sequence)
        prefix = next(number for number in range(8) if number not in arrived)
        expected = ((START_MS, START_MS + prefix * 1000),) if prefix else ()
        assert session.asserted == expected
        assert session.holds(sequence)
        assert session.watermark_ms == START_MS + (max(arrived) + 1) * 1000


@given(first=st.sets(st.integers(0, 12)), second=st.sets(st.integers(0, 12)))
def test_what_two_writers_know_of_a_session_unites(first, second):
    def known(sequences):
        session = SessionCoverage.beginning(a_batch())
        for sequence in sorted(sequences):
            session = session.joined(a_batch(sequence=sequence, watermark_ms=START_MS + (sequence + 1) * 1000))
        return session

    assert known(first).merged(known(second)) == known(first | second)


def test_a_symbol_named_later_is_vouched_for_from_the_start():
    session = SessionCoverage.beginning(a_batch(symbols=("AAA",), watermark_ms=START_MS + 1000))
    session = session.joined(a_batch(symbols=("AAA",), watermark_ms=START_MS + 1000))
    session = session.joined(a_batch(symbols=("AAA", "CCC"), sequence=1, watermark_ms=START_MS + MINUTE_MS))
    coverage = Coverage()
    coverage.put(session)
    assert coverage.quality(SeriesKey(EXCHANGE, "CCC"), START_MS) is CandleQuality.COMPLETE


spans = st.tuples(st.integers(0, 60), st.integers(0, 60))


@given(added=st.lists(spans, max_size=12), asked=spans)
def test_intervals_equal_a_set_of_instants(added, asked):
    intervals, instants = Intervals(), set()
    for start, end in added:
        intervals.add(start, end)
        instants |= set(range(start, end))
    held = {instant for start, end in intervals.spans() for instant in range(start, end)}
    assert held == instants
    start, end = min(asked), max(asked) + 1
    assert intervals.covers(start, end) == (set(range(start, end)) <= instants)
    missing = {instant for gap in intervals.missing(start, end) for instant in range(*gap)}
    assert missing == set(range(start, end)) - instants
    joined = all(left[1] < right[0] for left, right in zip(intervals.spans(), intervals.spans()[1:], strict=False))
    assert joined


async def test_coverage_of_two_owners_is_merged_and_a_stale_owner_is_refused():
    store = Bench().store
    old, new = CoverageStore(store), CoverageStore(store)
    session = SessionCoverage.beginning(a_batch())
    mine = session.joined(a_batch(sequence=0, watermark_ms=START_MS + 1))
    await old.settle([mine], await store.write([old.write_of(mine, fence=1)]), fence=1)
    theirs = session.joined(a_batch(sequence=1, watermark_ms=START_MS + 2))

    [stored] = await new.settle([theirs], await store.write([new.write_of(theirs, fence=2)]), fence=2)

    assert stored.asserted == ((START_MS, START_MS + 2),)
    assert await CoverageStore(store).load() == [stored]
    with pytest.raises(FencedError, match="stale"):
        await old.settle([mine], await store.write([old.write_of(mine, fence=1)]), fence=1)
