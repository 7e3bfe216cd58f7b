"""What holds for every indicator of the catalogue: its slow twin, no look-ahead, streams, odd candles, wrong arguments."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from shared.domain.errors import InvalidValueError
from shared.indicators import checked, plain
from shared.indicators.catalogue import INDICATORS, indicator
from shared.indicators.streaming import Stream
from tests.support import slow_indicators

EVERY = pytest.mark.parametrize("item", INDICATORS, ids=lambda item: item.label)
STREAMED = pytest.mark.parametrize("item", [item for item in INDICATORS if item.state], ids=lambda item: item.label)
SHORT = {
    "period": 5,
    "window": 6,
    "fast": 3,
    "slow": 7,
    "signal": 4,
    "atr_period": 4,
    "smoothing": 3,
    "period_1": 4,
    "period_2": 3,
    "bars": 2,
    "distance_max": 12,
}

MOVES = st.lists(
    st.tuples(
        st.sampled_from([-0.3, -0.02, -0.001, 0.0, 0.0, 0.001, 0.02, 0.3]),  # return
        st.sampled_from([0.0, 0.0, 0.002, 0.05]),  # range above and below
        st.sampled_from([0.0, 1.0, 5.0, 1e6]),  # volume
        st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),  # 1: the candle is not known
    ),
    max_size=70,
)


def candles(moves, *, gaps=True):
    """Columns of candles: doji, equal highs and lows, zero volume, jumps and, with gaps, NaN among them."""
    closes, rows = 100.0, []
    for i, (change, spread, volume, missing) in enumerate(moves):
        opened, closes = closes, closes * (1 + change)
        high, low = max(opened, closes) * (1 + spread), min(opened, closes) * (1 - spread)
        unknown = math.nan if missing and gaps and i else 1.0
        rows.append((high * unknown, low * unknown, closes * unknown, volume * unknown, volume - closes))
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    columns = dict(zip(("high", "low", "close", "volume", "oscillator"), np.ascontiguousarray(table.T), strict=True))
    columns["open_time_ms"] = 86_000_000 + 300_000 * np.arange(len(rows), dtype=np.int64)
    return columns


def market(count, seed=7):
    """A long quiet walk."""
    rng = np.random.default_rng(seed)
    spread = rng.choice([0.0, 0.0, 0.002, 0.01], count)
    moves = zip(rng.normal(0, 0.004, count), spread, rng.choice([0.0, 3.0, 20.0], count), [0] * count, strict=True)
    return candles(list(moves))


MARKET = market(320)


def small(item):
    return {name: SHORT[name] for name in item.parameters if name in SHORT}


def cut(columns, end):
    return {name: values[:end] for name, values in columns.items()}


def slow(item, columns, parameters):
    result = getattr(slow_indicators, item.name)(
        *(columns[name].tolist() for name in item.inputs), *{**item.parameters, **parameters}.values()
    )
    return (result,) if isinstance(result, list) else result


def check_twin(item, columns, parameters):
    found = item.compute(columns, **parameters)
    expected = slow(item, columns, parameters)
    assert len(found) == len(expected) == len(item.outputs)
    # A window's rounding is that of its largest values: about prices up to `largest`, about 1 for returns and ratios.
    largest = np.nanmax(np.abs(columns["close"]), initial=1.0)
    if item.inputs[-1] == "volume":
        largest = 1e6
    for values, twin in zip(found, expected, strict=True):
        assert_allclose(values, np.array(twin), rtol=1e-9, atol=1e-12 * largest, equal_nan=True, err_msg=item.label)


@EVERY
@given(moves=MOVES)
@settings(max_examples=25)
def test_the_kernel_equals_its_slow_twin_on_odd_candles(item, moves):
    check_twin(item, candles(moves), small(item))


@EVERY
def test_the_kernel_equals_its_slow_twin_with_its_defaults(item):
    check_twin(item, MARKET, {})


@EVERY
def test_the_smallest_parameters_there_are_do_the_same(item):
    least = {"slow": 2, "period": 2 if item.name in {"atr", "mmh"} else 1}
    least["window"] = 2 if item.name in {"volume_zscore", "realised_volatility"} else 1
    smallest = {name: least.get(name, 1) for name, value in item.parameters.items() if isinstance(value, int)}
    check_twin(item, MARKET, smallest)
    if item.state:
        check_stream(item, MARKET, smallest)


@pytest.mark.parametrize(
    "item", [item for item in INDICATORS if hasattr(plain, item.name)], ids=lambda item: item.label
)
@given(moves=MOVES)
@settings(max_examples=15)
def test_plain_equals_the_kernel(item, moves):
    for columns, parameters in ((candles(moves), small(item)), (MARKET, {})):
        inputs = [columns[name] for name in item.inputs]
        result = getattr(plain, item.name)(*inputs, **{**item.parameters, **parameters})
        found = (result,) if isinstance(result, np.ndarray) else tuple(result)
        largest = 1e6 if item.inputs[-1] == "volume" else np.nanmax(np.abs(columns["close"]), initial=1.0)
        for values, expected in zip(found, item.compute(columns, **parameters), strict=True):
            assert_allclose(values, expected, rtol=1e-9, atol=1e-12 * largest, equal_nan=True)


@EVERY
@given(moves=MOVES, end=st.integers(0, 70))
@settings(max_examples=15)
def test_nothing_looks_ahead(item, moves, end):
    columns = candles(moves)
    whole = item.compute(columns, **small(item))
    part = item.compute(cut(columns, end), **small(item))
    for values, known in zip(whole, part, strict=True):
        assert_array_equal(values[:end], known)


@EVERY
def test_values_begin_where_the_catalogue_says(item):
    for parameters in ({}, small(item)):
        columns = market(item.candles_needed(**parameters) + 3)
        firsts = item.first(**{**item.parameters, **parameters})
        for values, first in zip(item.compute(columns, **parameters), firsts, strict=True):
            assert np.isnan(values[:first]).all(), item.label
            # A day without volume has no VWAP yet.
            assert np.isfinite(values[first:]).all() or item.name == "vwap_daily", item.label
        if max(firsts):
            few = item.compute(cut(columns, max(firsts)), **parameters)
            assert any(np.isnan(values).all() for values in few)


@STREAMED
@given(moves=MOVES)
@settings(max_examples=15)
def test_a_stream_gives_the_values_of_the_series(item, moves):
    check_stream(item, candles(moves), small(item))


@STREAMED
def test_a_stream_gives_the_values_of_a_long_series(item):
    check_stream(item, market(700), {})


def check_stream(item, columns, parameters):
    stream = Stream(item, **parameters)
    rows = [stream.update({name: columns[name][i] for name in item.inputs}) for i in range(len(columns["close"]))]
    streamed = np.array(rows).reshape(-1, len(item.outputs)).T
    largest = np.nanmax(np.abs(columns["close"]), initial=1.0)
    for values, series in zip(streamed, item.compute(columns, **parameters), strict=True):
        if item.exact:
            assert_array_equal(values, series)
        else:
            assert_allclose(values, series, rtol=1e-9, atol=1e-7 * largest, equal_nan=True)


@EVERY
@pytest.mark.parametrize("shape", ["rising", "falling", "flat", "saw"])
def test_steady_series_overrun_no_buffer_and_stay_in_bounds(item, shape):
    count = 700
    steps = {"rising": 0.003, "falling": -0.003, "flat": 0.0}
    change = [steps.get(shape, 0.01 * (-1) ** i) for i in range(count)]
    columns = candles([(value, 0.0, 0.0 if shape == "flat" else 4.0, 0) for value in change])
    found = item.compute(columns)
    for values, twin in zip(found, slow(item, columns, {}), strict=True):
        assert_allclose(values, np.array(twin), rtol=1e-8, atol=1e-9, equal_nan=True)
    if item.outputs in {("RSI",), ("%K", "%D"), ("+DI", "-DI", "ADX")}:
        assert all(np.nanmin(values) >= 0 and np.nanmax(values) <= 100 + 1e-9 for values in found)


@EVERY
def test_wrong_inputs_are_refused_by_name(item):
    columns = market(40)
    for name in item.inputs:
        infinite = columns[name].astype(np.float64)
        infinite[7] = math.inf
        with pytest.raises(InvalidValueError, match=r"infinite value, was inf .*index 7|whole milliseconds"):
            item.compute({**columns, name: infinite})
        with pytest.raises(InvalidValueError, match=r"one row of"):
            item.compute({**columns, name: [["a"]]})
        if len(item.inputs) > 1:
            with pytest.raises(InvalidValueError, match=r"must have \d+ values, was \d+"):
                item.compute({**columns, name: columns[name][:-1]})
    for parameter in item.parameters:
        for wrong in (0, -1, math.nan, "no such", 10**9 if isinstance(item.parameters[parameter], int) else math.inf):
            given_wrong = {**item.parameters, parameter: wrong}
            for function in (getattr(module, item.name) for module in (checked, plain) if hasattr(module, item.name)):
                with pytest.raises(InvalidValueError, match=parameter):
                    function(*(columns[name] for name in item.inputs), **given_wrong)
    with pytest.raises(InvalidValueError, match="parameter must be one of"):
        item.compute(columns, colour=1)


def test_an_unknown_indicator_and_one_without_a_stream_are_refused():
    with pytest.raises(InvalidValueError, match=r"one of adx, atr, .* 'no such'"):
        indicator("no such")
    with pytest.raises(InvalidValueError, match=r"macd \(talib\), macd \(classic\), macd \(first\)"):
        indicator("macd", seeding="other")
    assert indicator("macd", seeding="classic").parameters["seeding"] == "classic"
    with pytest.raises(InvalidValueError, match="must have a stream"):
        Stream(msgspec.structs.replace(indicator("sma"), state=()))
    with pytest.raises(InvalidValueError, match="close must not be infinite"):
        Stream(indicator("sma")).update({"close": math.inf})
    with pytest.raises(InvalidValueError, match="run backwards"):
        checked.vwap_daily(np.array([2, 1]), *([1.0, 1.0],) * 4)
