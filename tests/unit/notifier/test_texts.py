"""What messages say."""

import html
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core.callbacks import CALLBACK_BYTES_MAX, chart_callback, signal_of_chart_callback
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.texts import (
    TEXT_LENGTH_MAX,
    alert_text,
    duration_text,
    plain_text,
    signal_text,
    signed_percent,
    system_text,
)
from shared.domain.bias import Direction
from shared.domain.events import AlertRaised, Severity, SystemEvent
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from tests.support.signals import a_signal, closed

ENGLISH = LANGUAGES["en"]


def test_an_entry_names_side_symbol_levels_conditions_and_time():
    text = signal_text(ENGLISH, a_signal(price_decimals=4, entry_price=1.5))

    assert text.startswith("⬆️ <b>LONG SIGNAL</b> for <code>BTCUSDT</code>")
    assert "Entry: <code>1.5000</code>" in text
    assert "Take Profit: <code>1.5225</code> (+1.50 %)" in text
    assert "Stop Loss: <code>1.4895</code> (-0.70 %)" in text
    assert "<i>rsi_divergence · extreme</i>" in text
    assert "rsi: 24.1" in text
    assert "volume spike: 1.84" in text
    assert "divergence: " not in text, "a condition that did not pass is no reason"
    assert a_signal(price_decimals=4, entry_price=1.5).signal_id in text
    assert "2026-08-09 20:27 UTC" in text
    assert "advice" not in text.lower()


def test_a_short_points_down():
    assert "⬇️ <b>SHORT SIGNAL</b>" in signal_text(ENGLISH, a_signal(side=Direction.SHORT))


@pytest.mark.parametrize(
    ("reason", "mark", "pnl"), [(ExitReason.TAKE_PROFIT, "✅", "+1.50 %"), (ExitReason.STOP_LOSS, "❌", "-0.70 %")]
)
def test_an_exit_says_price_result_reason_and_duration(reason, mark, pnl):
    signal = closed(a_signal(), reason)
    text = signal_text(ENGLISH, signal)

    assert text.startswith(f"{mark} <b>EXIT LONG</b> <code>BTCUSDT</code>")
    assert f"Exit: <code>{signal.exit.price:.2f}</code>" in text
    assert f"PnL: <b>{pnl}</b>" in text
    assert "after 23 min" in text


def test_a_correction_adds_one_line_and_a_repeat_its_mark():
    text = signal_text(ENGLISH, a_signal(), notes=((2, "a <late> trade"),), repeats=2)

    assert "a &lt;late&gt; trade" in text
    assert "repeat 2" in text


@given(trigger=st.text(max_size=40), bias=st.text(max_size=500), note=st.text(max_size=5_000))
def test_whatever_the_values_the_markup_stays_ours_and_the_length_telegrams(trigger, bias, note):
    signal = a_signal(trigger=trigger)
    signal = msgspec.structs.replace(signal, bias=bias, conditions=signal.conditions * 50)
    text = signal_text(ENGLISH, signal, notes=tuple((version, note) for version in range(30)))

    assert set(re.findall(r"<[^>]*>", text)) <= {"<b>", "</b>", "<i>", "</i>", "<code>", "</code>"}
    assert len(plain_text(text).encode("utf-16-le")) // 2 <= TEXT_LENGTH_MAX


def test_alerts_and_system_events_are_escaped():
    alert = AlertRaised(
        strategy="s",
        alert="<a>",
        exchange="e",
        symbol="X",
        timeframe=Timeframe.M1,
        candle_open_time_ms=0,
        price=1.0,
        text="1 < 2",
    )
    event = SystemEvent(kind="blind", subject="a&b", version=1, severity=Severity.ERROR, text="<x>", at_ms=0)

    assert "1 &lt; 2" in alert_text(ENGLISH, alert)
    assert "&lt;x&gt;" in system_text(ENGLISH, event)
    assert html.unescape("a&amp;b") in plain_text(system_text(ENGLISH, event))


def test_button_data_fits_and_names_only_signals():
    identity = a_signal().signal_id

    assert len(chart_callback(identity).encode()) <= CALLBACK_BYTES_MAX
    assert signal_of_chart_callback(chart_callback(identity)) == identity
    assert [signal_of_chart_callback(data) for data in (None, "", "chart:", "chart:ABC", "chart_x", "x" * 64)] == [
        None
    ] * 6


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [(-5, "0 s"), (45_000, "45 s"), (1_380_000, "23 min"), (7_500_000, "2 h 05 min"), (2**28, "3 d 2 h")],
)
def test_durations_have_two_units(span_ms, text):
    assert duration_text(span_ms) == text


def test_a_rounded_zero_has_no_minus():
    assert signed_percent(-0.001) == "+0.00"
