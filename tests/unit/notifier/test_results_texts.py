"""What /status says of closed signals."""

import msgspec
import pytest

from services.notifier.core.chats import ChatProfile, wants
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.results_texts import Running, results_text
from services.notifier.core.texts import plain_text, signal_text
from services.notifier.core.voice import ENGLISH, Voice
from shared.domain.events import SignalOpened
from shared.domain.signals import ExitReason
from tests.support.signals import a_signal, closed

STRATEGIES = {"trend_30m": Running(kind="continuation"), "rsi_divergence": Running(kind="rsi_divergence")}
DAY_MS = 86_400_000


def ended(number, reason, strategy="rsi_divergence"):
    return closed(a_signal(f"S{number}USDT", strategy=strategy), reason, minutes=number + 1)


def test_win_rates_losses_in_a_row_and_the_memory_are_told_by_strategy():
    won, lost = ExitReason.TAKE_PROFIT, ExitReason.STOP_LOSS
    signals = [
        *[ended(number, won if number % 2 else lost) for number in range(10)],
        *[ended(10 + number, won, "trend_30m") for number in range(3)],
        ended(13, lost, "trend_30m"),
        ended(14, lost, "trend_30m"),
    ]
    now_ms = signals[0].opened_at_ms + 3_600_000
    lines = plain_text(results_text(ENGLISH, [*reversed(signals), a_signal()], STRATEGIES, now_ms)).splitlines()

    assert lines == [
        "Last 15 closed: 53 % won · PnL +7.10 % in sum · losses in a row: 2 · opened today: 16",
        "· rsi_divergence: 50 % of 10 won",
        "· trend_30m (trend): 60 % of 5 won",
        "Adaptive memory: capital 1,031.00 · drawdown 1.34 %",
        "· trend_30m (trend): score from 75 (+0 by the memory) · today 5/5",
    ]


def test_of_many_only_the_last_twenty_count_and_of_none_nothing_is_said():
    signals = [ended(number, ExitReason.TAKE_PROFIT if number >= 20 else ExitReason.STOP_LOSS) for number in range(40)]

    assert "Last 20 closed: 100 % won" in plain_text(results_text(ENGLISH, signals, STRATEGIES, 0))
    assert results_text(ENGLISH, [a_signal()], {"rsi_divergence": STRATEGIES["rsi_divergence"]}, 0) == ""


def told_of(strategies, signals, now_ms):
    return plain_text(results_text(ENGLISH, signals, strategies, now_ms)).splitlines()


def test_a_model_says_its_threshold_and_its_day_before_anything_has_closed():
    strict = Running(kind="reversal", score_min=80, per_day_max=3)
    off = Running(kind="continuation", enabled=False)
    midnight_ms = a_signal().opened_at_ms // DAY_MS * DAY_MS + DAY_MS
    opened = [
        a_signal(f"S{number}USDT", strategy="turn", candle_open_time_ms=midnight_ms + minute * 60_000)
        for number, minute in enumerate((-2, -1, 0, 700))  # the second closes at midnight sharp, which ends its day
    ]

    lines = told_of({"turn": strict, "trend": off}, [*opened, a_signal(strategy="other")], midnight_ms + DAY_MS)
    assert lines == [
        "Adaptive memory: capital 1,000.00 · drawdown 0 %",
        "· turn (reversal): score from 80 (+0 by the memory) · today 2/3",
    ]


def test_what_the_memory_asks_after_losses_is_what_a_model_says():
    lost = [ended(number, ExitReason.STOP_LOSS, "turn") for number in range(10)]
    models = {"turn": Running(kind="reversal"), "trend": Running(kind="continuation", score_min=92, per_day_max=9)}

    lines = told_of(models, lost, lost[-1].exit.closed_at_ms + 1)
    # Ten losses of 0.7 %: all thresholds +5 but none above 95, two signals a day, no reversal, no entries at all.
    assert lines[-4:] == [
        "Adaptive memory: capital 930.00 · drawdown 7 %",
        "· trend: score from 95 (+5 by the memory) · today 10/2",
        "· turn (reversal): off until 2026-08-11 20:37 UTC",
        "No entries of its models until 2026-08-10 08:37 UTC",
    ]


@pytest.mark.parametrize(("code", "model"), [("en", "trend"), ("vi", "Xu hướng")])
def test_an_entry_names_its_model_and_its_score_which_chats_can_filter_by(code, model):
    signal = msgspec.structs.replace(a_signal(trigger="continuation"), score=72.5)
    text = signal_text(Voice(words=LANGUAGES[code]), signal)

    assert f"<i>rsi_divergence · {model}</i>" in text
    assert "<b>72.5</b>/100" in text
    assert [wants(ChatProfile(chat="1", score_min=least), SignalOpened(signal=signal)) for least in (72, 73)] == [
        True,
        False,
    ]
