"""Indicators: kernel, plain twin and a slow obvious twin agree; nothing looks ahead; odd inputs have defined results."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from shared.domain.errors import InvalidValueError
from shared.indicators import checked, compilations, plain, warm_up
from tests.support.slow_twin import slow_rsi

PRICES = st.lists(st.sampled_from([99.0, 99.5, 100.0, 100.0, 100.1, 101.25, 0.1, 1e9]), max_size=60)
FLOATS = st.lists(st.floats(0.001, 1e6), max_size=60)
SERIES = PRICES | FLOATS
BOTH = [checked, plain]


def as_array(values):
    return np.array(values, dtype=np.float64)


@given(values=SERIES, period=st.integers(1, 20))
def test_rsi_equals_plain_to_the_bit_and_the_slow_twin(values, period):
    fast = checked.wilder_rsi(as_array(values), period)
    assert_array_equal(fast, plain.wilder_rsi(as_array(values), period))
    slow = [np.nan if value is None else value for value in slow_rsi(values, period)]
    np.testing.assert_allclose(fast, as_array(slow[: len(values)]), rtol=0, atol=1e-9)


@given(values=SERIES, window=st.integers(1, 25))
def test_sma_equals_plain_to_the_bit_and_the_slow_twin(values, window):
    fast = checked.sma(as_array(values), window)
    assert_array_equal(fast, plain.sma(as_array(values), window))
    for i, value in enumerate(fast):
        if i + 1 < window:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(sum(values[i + 1 - window : i + 1]) / window, rel=1e-12)


@given(values=SERIES, bars=st.integers(1, 5))
def test_swings_equal_plain_and_the_slow_twin(values, bars):
    for name, better in (("swing_lows", lambda a, b: a < b), ("swing_highs", lambda a, b: a > b)):
        fast = getattr(checked, name)(as_array(values), bars)
        assert_array_equal(fast, getattr(plain, name)(as_array(values), bars))
        for i, found in enumerate(fast):
            before, after = values[max(0, i - bars) : i], values[i + 1 : i + 1 + bars]
            whole = len(before) == len(after) == bars
            is_swing = (
                whole and all(better(values[i], v) for v in before) and not any(better(v, values[i]) for v in after)
            )
            assert found == is_swing


@given(values=SERIES, n=st.integers(0, 60), k=st.integers(1, 20))
def test_nothing_looks_ahead(values, n, k):
    whole, part = as_array(values), as_array(values[:n])
    for module in BOTH:
        assert_array_equal(module.wilder_rsi(whole, k)[:n], module.wilder_rsi(part, k))
        assert_array_equal(module.sma(whole, k)[:n], module.sma(part, k))
        # A swing is confirmed k values later: until then nothing is said.
        known = max(0, len(part) - k)
        assert_array_equal(module.swing_lows(whole, k)[:known], module.swing_lows(part, k)[:known])


@pytest.mark.parametrize("module", BOTH)
def test_odd_inputs(module):
    assert module.wilder_rsi(as_array([5.0] * 20), 14)[-1] == 50.0
    assert module.wilder_rsi(as_array(range(1, 21)), 14)[-1] == 100.0
    assert module.wilder_rsi(as_array(range(20, 0, -1)), 14)[-1] == 0.0
    assert np.isnan(module.wilder_rsi(as_array([1.0] * 14), 14)).all()
    assert len(module.wilder_rsi(as_array([]), 14)) == 0
    assert np.isnan(module.wilder_rsi(as_array([1.0, 2.0, np.nan, *range(3, 30)]), 14)[14:]).all()
    assert np.isnan(module.sma(as_array([1.0, np.nan, 3.0, 4.0, 5.0]), 2)[1:3]).all()
    assert module.sma(as_array([1.0, np.nan, 3.0, 4.0, 5.0]), 2)[-1] == 4.5
    # Of a flat bottom exactly the first bar is the swing.
    assert module.swing_lows(as_array([3.0, 1.0, 1.0, 2.0, 3.0]), 1).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(("name", "values", "argument"), [("sma", [1.0], 0), ("wilder_rsi", [[1.0]], 14)])
def test_wrong_arguments_are_refused(module, name, values, argument):
    with pytest.raises(InvalidValueError):
        getattr(module, name)(values, argument)


def test_importing_the_package_and_plain_imports_no_numba():
    code = (
        "import sys, shared.indicators.plain, shared.strategies.windows, shared.strategies.registry, "
        "services.logic_engine.handlers; sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kernels_are_fixed_to_their_types_so_that_nothing_compiles_while_serving():
    from shared.indicators.kernels.averages import sma

    names = warm_up()
    before = compilations()
    assert "shared.indicators.kernels.momentum.wilder_rsi" in names
    if hasattr(sma, "stats"):  # not with NUMBA_DISABLE_JIT
        with pytest.raises(TypeError):
            sma(np.ones(5, dtype=np.float32), 2, np.ones(5, dtype=np.float32))
    assert compilations() == before
