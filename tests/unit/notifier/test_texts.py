"""What messages say."""

import html
import re
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core.callbacks import (
    CALLBACK_BYTES_MAX,
    chart_callback,
    chart_keyboard,
    market_keyboard,
    press_of,
    signal_keyboard,
)
from services.notifier.core.event_texts import alerts_text, digest_text, macro_text, system_text
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.texts import (
    CAPTION_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    duration_text,
    exit_notice,
    plain_text,
    signal_caption,
    signal_text,
    signed_percent,
    utf16_length,
)
from services.notifier.core.voice import ENGLISH, Voice
from shared.domain.bias import Direction, MacroBias
from shared.domain.decisions import Sizing
from shared.domain.events import AlertRaised, Severity, SystemEvent
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from tests.support.signals import a_signal, closed


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


SIZING = Sizing(equity=10_000, fraction=0.714286, notional=7_142.857, quantity=119.04761904, risk_pct=0.5)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("en", "Size: 119.04762 worth 7,142.86, 71.43 % of 10,000.00 · risk 0.5 % · open risk 1.25 % of at most 2 %"),
        (
            "vi",
            "Khối lượng: 119.04762 trị giá 7,142.86, 71.43 % của 10,000.00 · rủi ro 0.5 % · rủi ro đang mở 1.25 %, tối đa 2 %",
        ),
    ],
)
def test_an_entry_says_how_large_its_strategy_would_make_it_and_an_exit_no_more(code, line):
    voice = Voice(words=LANGUAGES[code])
    sized = msgspec.structs.replace(a_signal(), sizing=SIZING)
    among_others = msgspec.structs.replace(SIZING, open_risk_pct=1.25, open_risk_pct_max=2.0)
    signal = msgspec.structs.replace(sized, sizing=among_others)

    assert line in plain_text(signal_text(voice, signal)).splitlines()
    assert line.partition(" ·")[0] in plain_text(signal_text(voice, sized))
    assert "7,142.86" not in signal_text(voice, a_signal())
    assert line.partition(" ·")[0] not in plain_text(signal_text(voice, closed(signal)))


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
    assert f"· {'won' if mark == '✅' else 'lost'}\n" in text
    assert "after 23 min" in text


def sized(signal, quantity):
    return msgspec.structs.replace(signal, sizing=msgspec.structs.replace(SIZING, quantity=quantity))


@pytest.mark.parametrize(
    ("side", "reason", "price", "quantity", "gain"),
    [
        (Direction.LONG, ExitReason.TAKE_PROFIT, 60_000.0, 0.25, "+225.00"),
        (Direction.LONG, ExitReason.STOP_LOSS, 60_000.0, 0.25, "-105.00"),
        (Direction.SHORT, ExitReason.TAKE_PROFIT, 60_000.0, 10.0, "+9,000.00"),
        (Direction.SHORT, ExitReason.STOP_LOSS, 0.1, 3.0, "-0.0021"),
        (Direction.LONG, ExitReason.EXPIRED, 60_000.0, 0.25, "+0.00"),
    ],
)
def test_an_exit_of_a_sized_signal_says_the_result_in_money_and_that_fees_are_not_in_it(
    side, reason, price, quantity, gain
):
    signal = sized(closed(a_signal(side=side, entry_price=price, price_decimals=4), reason), quantity)

    said = f"· {gain} USDT on {quantity:g}, before fees"
    assert said in plain_text(signal_text(ENGLISH, signal))
    assert said in plain_text(signal_caption(ENGLISH, signal))
    assert f"% · {gain} USDT\n" in plain_text(exit_notice(ENGLISH, signal))
    assert "before fees" not in signal_text(ENGLISH, closed(a_signal())), "its strategy gave no size"
    odd = sized(closed(a_signal("XYZ")), quantity)
    assert "(quote currency) on" in signal_text(ENGLISH, odd), "no known asset ends its symbol"
    assert "chưa trừ phí" in signal_text(Voice(words=LANGUAGES["vi"]), signal)


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
        symbol="<X>",
        timeframe=Timeframe.M1,
        candle_open_time_ms=0,
        price=1.0,
        text="1 < 2",
    )
    event = SystemEvent(kind="blind", subject="a&b", version=1, severity=Severity.ERROR, text="<x>", at_ms=0)

    assert "1 &lt; 2" in alerts_text(ENGLISH, [alert])
    assert "&lt;x&gt;" in system_text(ENGLISH, [event])
    assert html.unescape("a&amp;b") in plain_text(system_text(ENGLISH, [event]))


def test_button_data_fits_and_names_what_it_asks_for():
    signal = a_signal()
    keyboards = [
        *(signal_keyboard(LANGUAGES[code], one) for code in LANGUAGES for one in (signal, closed(signal))),
        chart_keyboard(signal),
        market_keyboard("bybit-linear", "BTCUSDT"),
    ]
    for button in (button for keyboard in keyboards for row in keyboard for button in row):
        assert len(button.data.encode()) <= CALLBACK_BYTES_MAX
        assert press_of(button.data) is not None, button
    assert press_of(chart_callback(signal.signal_id)).signal_id == signal.signal_id
    assert [press_of(data) for data in (None, "", "chart:", "chart:ABC", "chart_x", "x" * 64, "tf:9m:" + "0" * 16)] == [
        None
    ] * 7
    assert market_keyboard("bybit-linear", "X" * 60) == (), "names too long for a button"


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [(-5, "0 s"), (45_000, "45 s"), (1_380_000, "23 min"), (7_500_000, "2 h 05 min"), (2**28, "3 d 2 h")],
)
def test_durations_have_two_units(span_ms, text):
    assert duration_text(span_ms) == text


def test_a_rounded_zero_has_no_minus():
    assert signed_percent(-0.001) == "+0.00"


def an_alert(name="ppo_signal_up", symbol="BTCUSDT", **values):
    given = {"strategy": "scanner", "exchange": "bybit-linear", "timeframe": Timeframe.M15, "price": 60_000.0}
    given |= {"candle_open_time_ms": 1_786_300_200_000, "price_decimals": 2, "values": {"ppo": 0.12345}}
    return AlertRaised(alert=name, symbol=symbol, **(given | values))


def test_several_alerts_of_a_pair_are_a_tree_under_one_headline():
    alerts = [an_alert(side=Direction.LONG), an_alert("vwap_up", side=Direction.LONG, values={}), an_alert("zz_pivot")]
    lines = plain_text(alerts_text(ENGLISH, alerts)).splitlines()

    assert lines[0] == "🔔 BTCUSDT • 60000.00 · 2026-08-09 18:45 UTC"
    assert lines[1] == "├➤ 🟢 PPO above its signal 15m | ppo 0.1235"
    assert lines[2] == "├➤ 🟢 Price above VWAP 15m"
    assert lines[3].startswith("└➤ 🔔 zz pivot")


def test_what_does_not_fit_into_one_message_is_counted():
    alerts = [an_alert(f"rule_{number}", text="<" * 300, values={}) for number in range(60)]
    reports = [a_report(number, text="<" * 300) for number in range(60)]
    for text in (alerts_text(ENGLISH, alerts), system_text(ENGLISH, reports), digest_text(ENGLISH, alerts, since_ms=0)):
        assert utf16_length(plain_text(text)) <= TEXT_LENGTH_MAX
        assert re.search(r"and \d+ more", text)


def a_report(number=1, **values):
    given = {"kind": "blind", "subject": f"ingestion#{number}", "version": number, "severity": Severity.WARNING}
    return SystemEvent(**(given | {"text": "no data", "at_ms": 1_786_300_200_000 + number} | values))


def test_reports_of_a_kind_are_told_together_the_loudest_first_and_the_newest_last():
    text = plain_text(system_text(ENGLISH, [a_report(2, kind="seeing", severity=Severity.INFO), a_report(1)]))

    assert text.splitlines()[0] == "⚠️ WARNING 2 reports since 2026-08-09 18:30 UTC"
    assert text.index("ingestion#1") < text.index("seeing again")


def test_the_bias_says_side_strength_regime_and_what_was_before():
    bias = MacroBias(
        base="BTC",
        quote="USDT",
        version=2,
        direction=Direction.LONG,
        confidence=85.0,
        regime="risk_on",
        components={"rsi": 61.0},
        published_at_ms=0,
        effective_from_ms=60_000,
        expires_at_ms=14_400_000,
    )
    before = msgspec.structs.replace(bias, direction=Direction.SHORT, confidence=60.0, regime="risk_off")
    text = plain_text(macro_text(ENGLISH, bias, binding=Direction.LONG, before=before))

    assert "MACRO BTC/USDT" in text
    assert "Regime: risk on (before: risk off)" in text
    assert "up 85/100, strong" in text
    assert "Before: down 60/100" in text
    assert "rsi: 61" in text


def test_a_chat_reads_its_own_language_and_time_zone():
    voice = Voice(words=LANGUAGES["vi"], zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    text = signal_text(voice, closed(a_signal()))

    assert "ĐÓNG LỆNH MUA" in text
    assert "· THẮNG" in text
    assert "đã chạm chốt lời" in text.lower()
    assert "2026-08-10 03:27 +07" in text


@given(note=st.text(max_size=400), conditions=st.integers(0, 30), notes=st.integers(0, 10))
def test_a_caption_keeps_telegrams_limit_and_always_the_signals_id(note, conditions, notes):
    signal = closed(msgspec.structs.replace(a_signal(), conditions=a_signal().conditions[:1] * conditions))
    for code in LANGUAGES:
        voice = Voice(words=LANGUAGES[code])
        text = signal_caption(voice, signal, notes=tuple((version, note) for version in range(notes)), repeats=1)
        assert utf16_length(plain_text(text)) <= CAPTION_LENGTH_MAX
        assert signal.signal_id in text
