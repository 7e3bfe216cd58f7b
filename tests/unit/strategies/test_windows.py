"""Windows: consecutive candles only, corrections in place, digests and revisions that name the very candles."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.domain.candles import CandleQuality
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.strategies.windows import WindowTable, run_lengths, window_digest, windows_of_candles
from tests.support.engine_market import START_MS, VENUE, a_candle

BTC = (VENUE, "BTCUSDT")


def candles_of(count, *, start=0):
    return [
        a_candle(START_MS + (start + i) * MINUTE_MS, 100.0 + start + i, volume=Decimal(start + i)) for i in range(count)
    ]


def loaded(candles, length=5):
    table = WindowTable(Timeframe.M1, length)
    table.load(BTC, candles)
    return table


@given(count=st.integers(1, 60), length=st.integers(2, 9))
def test_a_row_always_holds_the_last_candles(count, length):
    candles = candles_of(count)
    table = loaded(candles[:1], length)
    for candle in candles[1:]:
        assert table.push(candle)
    assert table.ready(BTC, candles[-1].close_time_ms) == (count >= length)
    assert table.closes(BTC) == [candle.close for candle in candles[-length:]]
    if count >= length:
        windows = table.windows([BTC])
        assert windows.columns.volume[0].tolist() == [float(candle.volume) for candle in candles[-length:]]
        assert windows.records[0].digest == window_digest(candles[-length:])
        assert windows.records[0].first_open_time_ms == candles[-length].open_time_ms


def test_a_hole_is_refused_and_loading_takes_what_is_consecutive():
    candles = candles_of(8)
    table = loaded(candles[:2])
    assert not table.push(candles[3])
    table.load(BTC, [*candles[:2], *candles[3:8]])
    assert table.closes(BTC) == [103.0, 104.0, 105.0, 106.0, 107.0]
    assert not WindowTable(Timeframe.M1, 5).push(candles[0])


@given(begins=st.lists(st.integers(0, 7), min_size=1, max_size=4), length=st.integers(2, 5))
def test_series_pushed_together_are_as_pushed_one_by_one(begins, length):
    """Series that began at different minutes stand at different places of their rows, and turn over at different times."""
    one, together = WindowTable(Timeframe.M1, length), WindowTable(Timeframe.M1, length)
    candles = candles_of(20)
    series = {f"S{number}": begin for number, begin in enumerate(begins)}
    for symbol, begin in series.items():
        for table in (one, together):
            table.load((VENUE, symbol), [replace(candles[begin], symbol=symbol)])
    for minute in range(20):
        due = [replace(candles[minute], symbol=symbol) for symbol, begin in series.items() if minute > begin]
        assert together.push_next(due) == []
        assert all(one.push(candle) for candle in due)
    ready = [(VENUE, symbol) for symbol in series]
    assert together.windows(ready).records == one.windows(ready).records
    assert np.array_equal(together.windows(ready).columns.close, one.windows(ready).columns.close)


def test_what_does_not_follow_is_not_pushed_with_the_others():
    candles = candles_of(5)
    table = loaded(candles[:3])
    strange = replace(candles[3], symbol="ETHUSDT")
    others = [candles[4], replace(candles[2], revision=2), strange]

    assert table.push_next(others) == others
    assert table.push_next([candles[3]]) == []
    assert table.closes(BTC) == [candle.close for candle in candles[:4]]


def test_a_window_is_ready_only_for_its_own_close():
    table = loaded(candles_of(5))
    assert table.ready(BTC, START_MS + 5 * MINUTE_MS)
    assert not table.ready(BTC, START_MS + 6 * MINUTE_MS)
    assert not table.ready((VENUE, "ETHUSDT"), START_MS + 5 * MINUTE_MS)


def test_a_correction_changes_its_place_and_is_recorded_by_revision():
    candles = candles_of(5)
    table = loaded(candles)
    before = table.windows([BTC]).records[0]
    assert before.revisions == ((1, 5),)
    assert table.push(replace(candles[3], close=103.5, high=103.5, revision=2))
    after = table.windows([BTC]).records[0]
    assert after.revisions == ((1, 3), (2, 1), (1, 1))
    assert after.digest != before.digest
    assert table.push(candles[3])  # its first announcement, late: the newer revision stays
    assert table.windows([BTC]).records[0] == after


def test_partial_candles_are_counted():
    candles = candles_of(5)
    bad = replace(candles[1], quality=CandleQuality.PARTIAL, missing_minutes=1)
    assert loaded([candles[0], bad, *candles[2:]]).windows([BTC]).unusable == (1,)


def test_many_series_grow_the_table_and_keep_their_rows():
    table = WindowTable(Timeframe.M1, 3)
    series = [(VENUE, f"S{i}") for i in range(50)]
    for number, (_, symbol) in enumerate(series):
        table.load((VENUE, symbol), [a_candle(START_MS + i * MINUTE_MS, number + 1.0, symbol=symbol) for i in range(3)])
    shuffled = series[::-1]
    closes = table.windows(shuffled).columns.close
    assert closes[:, -1].tolist() == [float(i) for i in range(50, 0, -1)]
    assert closes.flags.c_contiguous


def test_every_window_of_a_run_equals_the_window_of_a_table():
    candles = candles_of(9)
    windows = windows_of_candles(candles, 5)
    for row in range(5):
        alone = loaded(candles[row : row + 5]).windows([BTC])
        assert windows.records[row] == alone.records[0]
        np.testing.assert_array_equal(windows.columns.close[row], alone.columns.close[0])
    with pytest.raises(InvalidValueError):
        windows_of_candles(candles[:4], 5)


def test_run_lengths():
    assert run_lengths([1, 1, 2, 1]) == ((1, 2), (2, 1), (1, 1))
    assert run_lengths([]) == ()


def test_windows_of_one_moment_do_not_share_memory_and_those_of_the_next_are_whole():
    """Memory is used again, for windows of the next candle only, and never twice at once."""
    candles = candles_of(30)
    table = WindowTable(Timeframe.M1, 6)
    for symbol in ("A", "B"):
        table.load((VENUE, symbol), [replace(candle, symbol=symbol) for candle in candles[:9]])
    for now in range(9, 30):
        table.push_next([replace(candles[now], symbol=symbol, close=candles[now].high) for symbol in ("A", "B")])
        cuts = [table.windows([(VENUE, "A")]), table.windows([(VENUE, "B")]), table.windows([(VENUE, "A")], 3)]
        expected = [candle.volume for candle in candles[: now + 1]]
        assert [cut.columns.volume[0].tolist() for cut in cuts] == [expected[-6:], expected[-6:], expected[-3:]]
        times_ms = [candle.open_time_ms for candle in candles[: now + 1]]
        assert [cut.columns.open_time_ms[0].tolist() for cut in cuts] == [times_ms[-6:], times_ms[-6:], times_ms[-3:]]
        assert not np.shares_memory(cuts[0].columns.close, cuts[1].columns.close)
