"""What /status says of closed signals."""

import msgspec
import pytest

from services.notifier.core.chats import ChatProfile, wants
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.results_texts import results_text
from services.notifier.core.texts import plain_text, signal_text
from services.notifier.core.voice import ENGLISH, Voice
from shared.domain.events import SignalOpened
from shared.domain.signals import ExitReason
from tests.support.signals import a_signal, closed

KINDS = {"trend_30m": "continuation", "rsi_divergence": "rsi_divergence"}


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
    lines = plain_text(results_text(ENGLISH, [*reversed(signals), a_signal()], KINDS, now_ms)).splitlines()

    assert lines == [
        "Last 15 closed: 53 % won · PnL +7.10 % in sum · losses in a row: 2 · opened today: 16",
        "· rsi_divergence: 50 % of 10 won",
        "· trend_30m (trend): 60 % of 5 won",
        "Adaptive memory: capital 1,031.00 · drawdown 1.34 % · thresholds +0",
    ]


def test_of_many_only_the_last_twenty_count_and_of_none_nothing_is_said():
    signals = [ended(number, ExitReason.TAKE_PROFIT if number >= 20 else ExitReason.STOP_LOSS) for number in range(40)]

    assert "Last 20 closed: 100 % won" in plain_text(results_text(ENGLISH, signals, KINDS, 0))
    assert results_text(ENGLISH, [a_signal()], KINDS, 0) == ""


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
