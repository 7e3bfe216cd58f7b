"""What a chart shows."""

import itertools
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.chart_drawing import draw_chart
from services.notifier.core.chart_axis import price_range, round_ticks, spread, time_ticks
from services.notifier.core.chart_layout import LABEL_HEIGHT, layout, price_height
from services.notifier.core.chart_model import (
    OUTCOME_BARS_MAX,
    ChartLook,
    build_chart_model,
    build_market_model,
    window_revisions,
)
from services.notifier.core.chart_panes import VIEWS
from shared.domain.decisions import WindowRecord
from shared.domain.errors import InvalidValueError
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from shared.indicators.plain import ema
from shared.strategies.registry import STRATEGIES
from tests.support.chart_cases import STRANGE_SYMBOL, chart_cases
from tests.support.signals import FIRST_OPEN_MS, a_signal, closed, some_candles


def test_every_candle_and_level_lies_on_the_axis():
    candles = some_candles()
    model = build_chart_model(a_signal(entry_price=candles[-1].close), candles)
    prices = [*model.low, *model.high, *(level.price for level in model.levels)]

    assert model.price_low < min(prices)
    assert model.price_high > max(prices)
    assert len(model.close) == 120
    assert {level.kind for level in model.levels} == {"entry", "take_profit", "stop_loss"}


def test_a_level_reached_is_ticked_off_and_another_exit_gets_its_own_line():
    candles = some_candles()
    signal = a_signal(entry_price=candles[-1].close)
    stopped = build_chart_model(closed(signal, ExitReason.STOP_LOSS), candles)
    expired = build_chart_model(closed(signal, ExitReason.EXPIRED), candles)

    assert (stopped.result, stopped.won) == ("SL  -0.70 %", False)
    assert [level.label for level in stopped.levels] == ["✓ SL -0.70%", "Entry", "TP +1.50%"]
    assert {level.kind for level in expired.levels} >= {"exit", "take_profit", "stop_loss"}
    assert signal.signal_id in stopped.footer
    assert stopped.footer_right == "entry 2026-08-09 20:27 · exit 20:50 UTC"


def test_the_newest_120_bars_are_shown_and_the_whole_window_warms_the_rsi_up():
    candles = some_candles(count=150)
    signal = a_signal(entry_price=candles[-1].close, candle_open_time_ms=candles[-1].open_time_ms)
    model = build_chart_model(signal, candles)

    assert model.open_time_ms == tuple(candle.open_time_ms for candle in candles[-120:])
    assert None not in model.panes[0].lines[0].values


def test_candles_after_the_entry_are_shown_on_another_ground_with_the_exit_where_it_happened():
    candles = some_candles(count=145)
    signal = closed(a_signal(entry_price=candles[119].close), minutes=23)
    model = build_chart_model(signal, candles)

    assert model.open_time_ms[model.decision_bar] == signal.candle_open_time_ms
    entry, end = model.marks
    assert entry.bar == model.decision_bar + 0.5
    assert end.bar == entry.bar + 23
    assert len(model.close) == 120


def test_a_signal_that_ran_longer_than_a_picture_shows_its_decision_and_the_exit_beside():
    candles = some_candles(count=120 + OUTCOME_BARS_MAX + 1)
    signal = closed(a_signal(entry_price=candles[119].close), minutes=200)
    model = build_chart_model(signal, candles)

    assert model.open_time_ms[-1] == signal.candle_open_time_ms
    assert len(model.close) - 1 < model.marks[1].bar < model.bar_right


def test_another_timeframe_shows_the_same_entry_between_its_candles():
    hour = Timeframe.H1.duration_ms
    first = Timeframe.H1.open_time_ms(FIRST_OPEN_MS) - 100 * hour
    candles = [
        msgspec.structs.replace(candle, timeframe=Timeframe.H1, open_time_ms=first + bar * hour)
        for bar, candle in enumerate(some_candles(count=105))
    ]
    signal = a_signal(entry_price=candles[100].close)
    model = build_chart_model(signal, candles)

    assert model.timeframe == "1h"
    assert model.footer.endswith("(1m)")
    [entry] = model.marks
    place = (signal.opened_at_ms - first) / hour - 0.5
    assert entry.bar == pytest.approx(place)
    assert model.open_time_ms[model.decision_bar] + hour <= signal.opened_at_ms


def test_equal_models_have_equal_digests_and_an_exit_changes_it():
    candles = some_candles()
    signal = a_signal(entry_price=candles[-1].close)

    assert build_chart_model(signal, candles).digest == build_chart_model(signal, candles).digest
    assert build_chart_model(signal, candles).digest != build_chart_model(closed(signal), candles).digest
    light = ChartLook(theme="light")
    assert build_chart_model(signal, candles).digest != build_chart_model(signal, candles, look=light).digest


def test_what_cannot_be_drawn_is_refused_by_name():
    candles = some_candles(count=3)
    with pytest.raises(InvalidValueError, match="at least one candle"):
        build_chart_model(a_signal(), [])
    with pytest.raises(InvalidValueError, match="at least one candle"):
        build_market_model([])
    with pytest.raises(InvalidValueError, match="oldest first"):
        build_market_model(candles[::-1])
    with pytest.raises(InvalidValueError, match="of one series"):
        build_market_model([*candles, some_candles("ETHUSDT", count=4)[3]])
    with pytest.raises(InvalidValueError, match="theme must be one of dark, light"):
        ChartLook(theme="pink")
    with pytest.raises(InvalidValueError, match=r"scale must be 1\.\.3"):
        ChartLook(scale=float("nan"))
    with pytest.raises(InvalidValueError, match="close must be finite"):
        msgspec.structs.replace(candles[0], close=float("nan"))
    record = WindowRecord(
        timeframe=Timeframe.M1, first_open_time_ms=0, length=3, digest="d", revisions=((1, 1), (2, 1))
    )
    with pytest.raises(InvalidValueError, match="add up to 3"):
        window_revisions(record)


def test_the_recorded_bias_is_shown_per_bar_and_never_after_the_decision():
    model = chart_cases()["open_long"]
    kinds = [(span.kind, span.first, span.last, span.binding) for span in model.bias_spans]

    assert kinds == [("short", 0, 39, False), ("neutral", 40, 69, False), ("long", 70, 119, True)]
    assert model.bias_text == "Macro bias: LONG 85 (binding)"


def test_a_level_far_outside_does_not_press_the_candles_flat():
    model = chart_cases()["levels_far_outside"]
    outside = {level.kind: level for level in model.levels if level.outside}

    assert set(outside) == {"take_profit", "stop_loss"}
    assert outside["take_profit"].label.endswith("↑")
    assert max(model.high) - min(model.low) > 0.8 * (model.price_high - model.price_low)


def test_a_strategy_without_an_entry_shows_its_conditions():
    pane = chart_cases()["strange_symbol_and_conditions"].panes[0]

    assert [row.passed for row in pane.rows] == [True, True, False]
    assert pane.rows[0].text == "rsi  24.1  (25)"


@pytest.mark.parametrize("count", [1, 2, 30, 120, 300])
@pytest.mark.parametrize("strategy", VIEWS)
def test_every_strategys_view_is_made_of_as_many_values_as_bars(strategy, count):
    candles = some_candles(count=count)
    signal = a_signal(entry_price=candles[-1].close, candle_open_time_ms=candles[-1].open_time_ms)
    model = build_chart_model(signal, candles, kind=strategy)
    curves = [*model.lines, *(line for pane in model.panes for line in pane.lines)]

    assert all(len(line.values) == len(model.close) for line in curves)
    assert all(len(cloud.upper) == len(cloud.lower) == len(model.close) for cloud in model.clouds)
    assert all(pane.low < pane.high and len(pane.bars) in {0, len(model.close)} for pane in model.panes)
    assert len(model.panes) <= 2
    assert draw_chart(model)


def test_every_strategy_has_a_view_but_those_that_show_conditions():
    assert set(STRATEGIES) - set(VIEWS) <= {"manager"}


def test_the_curves_are_those_of_the_decisions_parameters():
    candles = some_candles()
    signal = a_signal(entry_price=candles[-1].close)
    model = build_chart_model(signal, candles, kind="ema_cross", parameters={"fast": 5, "slow": 50})

    assert [line.name for line in model.lines] == ["EMA 5", "EMA 50"]
    closes = np.array([candle.close for candle in candles])
    assert model.lines[0].values[-1] == ema(closes, 5)[-1]
    assert model.lines[1].values[:49] == (None,) * 49


def test_a_long_name_is_cut_and_taken_literally():
    model = chart_cases()["strange_symbol_and_conditions"]

    assert model.title == STRANGE_SYMBOL[:18] + "…"
    assert len(model.subtitle) <= 44


def test_words_and_times_follow_language_and_zone():
    candles = some_candles()
    look = ChartLook(language="vi", zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    model = build_chart_model(a_signal(entry_price=candles[-1].close), candles, look=look)

    assert model.badge == "▲ MUA"
    assert model.footer_right == "vào 2026-08-10 03:27 +07"
    assert model.zone == "+07"


@given(values=st.lists(st.floats(0, 100), max_size=6), gap=st.floats(0.1, 30))
def test_labels_keep_their_order_and_distance_inside_the_axis(values, gap):
    wanted = sorted(values)
    places = spread(wanted, gap, 0.0, 100.0)
    room = min(gap, 100.0 / max(1, len(wanted) - 1))

    assert len(places) == len(wanted)
    assert all(after - before >= room - 1e-6 for before, after in itertools.pairwise(places))
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in places)


@pytest.mark.parametrize("name", chart_cases())
def test_no_label_covers_another_or_leaves_the_pane(name):
    model = chart_cases()[name]
    height = price_height(len(model.panes), bias=bool(model.bias_text))
    unit = height / (model.price_high - model.price_low)
    places = sorted((level.label_price - model.price_low) * unit for level in model.levels)

    assert all(after - before >= LABEL_HEIGHT for before, after in itertools.pairwise(places))
    assert places[0] >= LABEL_HEIGHT / 2 - 1
    assert places[-1] <= height - LABEL_HEIGHT / 2 + 1


def test_labels_with_room_stay_where_they_are():
    assert spread([10.0, 50.0, 90.0], 5.0, 0.0, 100.0) == [10.0, 50.0, 90.0]


@given(low=st.floats(1e-7, 1e5), share=st.floats(0, 2), levels=st.lists(st.floats(1e-8, 1e6), max_size=4))
def test_the_axis_holds_every_candle_and_leaves_them_room(low, share, levels):
    high = low * (1 + share)
    bottom, top = price_range(low, high, levels)

    assert bottom < low <= high < top
    assert high - low >= 0.15 * (top - bottom) or share < 0.004


@given(low=st.floats(1e-7, 1e5), share=st.floats(1e-4, 3))
def test_ticks_are_round_few_and_inside(low, share):
    decimals = max(2, 6 - round(np.log10(low)))
    ticks = round_ticks(low, low * (1 + share), count=6, decimals=decimals)

    assert len(ticks) <= 7
    assert len({tick.text for tick in ticks}) == len(ticks)
    for tick in ticks:
        assert low * (1 - 1e-9) <= tick.at <= low * (1 + share) * (1 + 1e-9)
        assert float(tick.text) == pytest.approx(tick.at, rel=1e-6)


@pytest.mark.parametrize("timeframe", Timeframe)
def test_times_are_round_and_far_enough_apart(timeframe):
    start = timeframe.open_time_ms(FIRST_OPEN_MS)
    times = [start + bar * timeframe.duration_ms for bar in range(120)]
    ticks = time_ticks(times, duration_ms=timeframe.duration_ms, bars=134)

    assert 2 <= len(ticks) <= 7
    assert all(after.at - before.at >= 16 for before, after in itertools.pairwise(ticks))


@given(panes=st.integers(0, 2), bias=st.booleans(), left=st.floats(30, 200), right=st.floats(30, 300))
def test_panes_lie_below_one_another_and_inside_the_picture(panes, bias, left, right):
    places = layout(panes, bias=bias, left=left, right=right)
    boxes = [*([places.bias] if places.bias else []), places.price, places.volume, *places.panes]

    assert len(places.panes) == panes
    assert all(upper.bottom < lower.top for upper, lower in itertools.pairwise(boxes))
    assert all(box.left < box.right and box.height > 15 for box in boxes)
    assert places.price.height > 250
