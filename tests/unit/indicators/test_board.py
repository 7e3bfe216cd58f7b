"""The board of a market equals the single indicators, row by row, in one call and candle by candle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from shared.domain.errors import InvalidValueError
from shared.indicators import checked
from shared.indicators.board import Board, BoardParameters

SHORT = BoardParameters(
    rsi_period=4, macd_fast=3, macd_slow=6, macd_signal=3, adx_period=4, atr_period=5, window=7, deviations=1.5
)


def market(rows, length, seed=3):
    """Walks of different size and mood; row 0 never moves, row 1 only rises, others have doji and flat stretches."""
    rng = np.random.default_rng(seed)
    change = rng.normal(0, 0.004, (rows, length)) * rng.choice([0, 1, 1, 3], (rows, length))
    change[0] = 0.0
    change[1] = 0.003
    close = 10.0 ** rng.integers(-3, 5, (rows, 1)) * np.exp(np.cumsum(change, axis=1))
    spread = rng.choice([0.0, 0.0, 0.003], (rows, length))
    spread[0] = 0.0
    return close * (1 + spread), close * (1 - spread), close


def singles(parameters, high, low, close):
    """The nine outputs of one row from the single indicators."""
    own = parameters
    lines = checked.macd(close, own.macd_fast, own.macd_slow, own.macd_signal)
    bands = checked.bollinger(close, own.window, own.deviations)
    adx = checked.adx(high, low, close, own.adx_period).adx
    return (
        checked.wilder_rsi(close, own.rsi_period),
        *lines,
        adx,
        checked.atr(high, low, close, own.atr_period),
        *bands,
    )


def check(values, parameters, columns, rows, last=None):
    for row in rows:
        one = [column[row] for column in columns]
        for name, found, expected in zip(values._fields, values, singles(parameters, *one), strict=True):
            scale = 100.0 if name in {"rsi", "adx"} else one[2].max()
            wanted = expected if last is None else expected[-last:]
            assert_allclose(found[..., row], wanted, rtol=1e-9, atol=1e-10 * scale, err_msg=f"{name} of row {row}")


@pytest.mark.parametrize(("parameters", "length"), [(SHORT, 60), (BoardParameters(), 90)])
def test_a_call_over_all_rows_equals_the_single_indicators(parameters, length):
    columns = market(70, length)  # more than one block, the second not full
    rows = [0, 1, 2, 47, 48, 69]
    board = Board(70, parameters)
    check(board.series(*columns), parameters, columns, rows)
    check(board.series(*columns, steps=2), parameters, columns, rows, last=2)
    newest = [np.atleast_2d(column) for column in board.load(*columns)]
    check(type(board.load(*columns))(*newest), parameters, columns, rows, last=1)


def test_candle_by_candle_gives_the_bits_of_one_call():
    columns = market(66, 50)
    board = Board(66, SHORT)
    whole = board.series(*columns)
    for steps in (1, 9, 20, 43):
        for values, expected in zip(board.series(*columns, steps=steps), whole, strict=True):
            assert_array_equal(values, expected[-steps:])
    board.load(*(column[:, :1] for column in columns))
    for k in range(1, 50):
        found = board.update(*(np.ascontiguousarray(column[:, k]) for column in columns))
        for values, expected in zip(found, whole, strict=True):
            assert_array_equal(values, expected[k])


def test_a_stream_of_a_thousand_candles_does_not_drift():
    columns = market(3, 1000)
    board = Board(3)
    board.load(*(column[:, :1] for column in columns))
    for k in range(1, 1000):
        found = board.update(*(column[:, k] for column in columns))
    check(type(found)(*(values[None, :] for values in found)), BoardParameters(), columns, range(3), last=1)


def test_a_nan_ends_its_own_row_only():
    high, low, close = market(5, 60)
    clean = [values.copy() for values in Board(5, SHORT).load(high, low, close)]
    broken = close.copy()
    broken[3, 40] = np.nan
    found = Board(5, SHORT).load(high, low, broken)
    assert_array_equal(found.middle, clean[7])  # the window has passed it; averages never do
    for values, expected in zip(found[:6], clean[:6], strict=True):
        assert np.isnan(values[3])
        assert_array_equal(np.delete(values, 3), np.delete(expected, 3))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # said where Numba is switched off
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((np.ones((2, 5)), np.ones((2, 5)), np.ones((3, 5))), "high must have 2 rows"),
        ((np.ones((2, 4)), np.ones((2, 5)), np.ones((2, 5))), "high must have 2 rows and as many candles"),
        ((np.ones((2, 5)), np.ones(5), np.ones((2, 5))), "low must be rows of numbers"),
        ((np.ones((2, 5)), np.ones((2, 5)), np.full((2, 5), np.inf)), "close must hold no infinite value, was inf"),
        ((np.ones((2, 0)), np.ones((2, 0)), np.ones((2, 0))), "2 rows and as many"),
    ],
)
def test_wrong_windows_are_refused(columns, words):
    with pytest.raises(InvalidValueError, match=words):
        Board(2).load(*columns)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"rsi_period": 0}, "rsi_period"), ({"macd_fast": 30}, "fast must be < slow"), ({"deviations": -1}, "deviations")],
)
def test_wrong_parameters_are_refused(parameters, words):
    with pytest.raises(InvalidValueError, match=words):
        BoardParameters(**parameters)


def test_steps_beyond_the_candles_are_refused():
    with pytest.raises(InvalidValueError, match="steps must be at most 30"):
        Board(2).series(*market(2, 30), steps=31)
