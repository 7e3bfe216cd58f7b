"""What a chart shows."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.chart_drawing import draw_chart
from services.notifier.core.chart_model import build_chart_model, spread, window_revisions
from shared.domain.decisions import WindowRecord
from shared.domain.errors import InvalidValueError
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from tests.support.signals import a_signal, closed, some_candles


def test_every_candle_and_level_lies_on_the_axis():
    candles = some_candles()
    model = build_chart_model(a_signal(entry_price=candles[-1].close), candles)
    prices = [*model.low, *model.high, *(level.price for level in model.levels)]

    assert model.price_low < min(prices)
    assert model.price_high > max(prices)
    assert len(model.close) == 120
    assert {level.kind for level in model.levels} == {"entry", "take_profit", "stop_loss"}


def test_an_exit_adds_its_level_and_result():
    candles = some_candles()
    signal = closed(a_signal(entry_price=candles[-1].close), ExitReason.STOP_LOSS)
    model = build_chart_model(signal, candles)

    assert (model.result, model.won, model.exit_price) == ("SL  -0.70 %", False, signal.exit.price)
    assert signal.signal_id in model.footer
    assert "exit" in {level.kind for level in model.levels}


def test_the_newest_120_bars_are_shown_and_the_whole_window_warms_the_rsi_up():
    candles = some_candles(count=150)
    model = build_chart_model(a_signal(entry_price=candles[-1].close), candles)

    assert model.open_time_ms == tuple(candle.open_time_ms for candle in candles[-120:])
    assert None not in model.rsi


def test_equal_models_have_equal_digests_and_an_exit_changes_it():
    candles = some_candles()
    signal = a_signal(entry_price=candles[-1].close)

    assert build_chart_model(signal, candles).digest == build_chart_model(signal, candles).digest
    assert build_chart_model(signal, candles).digest != build_chart_model(closed(signal), candles).digest


def test_no_candles_and_run_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(InvalidValueError, match="at least one candle"):
        build_chart_model(a_signal(), [])
    record = WindowRecord(
        timeframe=Timeframe.M1, first_open_time_ms=0, length=3, digest="d", revisions=((1, 1), (2, 1))
    )
    with pytest.raises(InvalidValueError, match="add up to 3"):
        window_revisions(record)


@given(values=st.lists(st.floats(0, 100), max_size=6), gap=st.floats(0.1, 30))
def test_labels_keep_their_order_and_distance_inside_the_axis(values, gap):
    wanted = sorted(values)
    places = spread(wanted, gap, 0.0, 100.0)
    room = min(gap, 100.0 / max(1, len(wanted) - 1))

    assert len(places) == len(wanted)
    assert all(after - before >= room - 1e-6 for before, after in itertools.pairwise(places))
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in places)


def test_labels_with_room_stay_where_they_are():
    assert spread([10.0, 50.0, 90.0], 5.0, 0.0, 100.0) == [10.0, 50.0, 90.0]


def test_the_picture_is_a_png_640_wide_and_its_figure_is_closed():
    import matplotlib.pyplot as plt

    candles = some_candles()
    picture = draw_chart(build_chart_model(closed(a_signal(entry_price=candles[-1].close)), candles))

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (640, 720)
    assert plt.get_fignums() == []
