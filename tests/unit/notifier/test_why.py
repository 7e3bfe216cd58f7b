"""Why a candle did, or did not, become a signal."""

import msgspec
import pytest

from services.notifier.core.languages import LANGUAGES
from services.notifier.core.texts import TEXT_LENGTH_MAX, plain_text, utf16_length
from services.notifier.core.voice import ENGLISH, Voice
from services.notifier.core.why_texts import why_text
from services.notifier.why import Why
from shared.domain.candles import CandleQuality
from shared.domain.decisions import Action, Condition, Gate
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.config import TrackerConfig
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.sqlite import SqliteStore
from tests.support.signals import EXCHANGE, a_decision, a_signal, some_candles

CONFIG = TrackerConfig.model_validate(
    {"venues": {EXCHANGE: {"symbols": ["BTCUSDT"]}}, "strategies": [{"name": "rsi_divergence"}]}
)
CANDLES = some_candles()
LAST = CANDLES[-1]
NOW_MS = LAST.close_time_ms + 5_000


@pytest.fixture
async def store():
    database = open_database(":memory:")
    yield SqliteStore(database, load_topology(), EventClock(NOW_MS))
    await database.close()


async def explained(store, *, at_ms=None, timeframe=Timeframe.M1, now_ms=NOW_MS):
    found = await Why(store, CONFIG).explain(EXCHANGE, "BTCUSDT", timeframe, at_ms=at_ms, now_ms=now_ms)
    return plain_text(why_text(ENGLISH, found.decisions, found.missing)), found


async def test_a_decision_is_told_with_every_condition_its_margin_the_first_that_failed_gates_and_bias(store):
    await DecisionStore(store).save_first([a_decision(a_signal(), CANDLES)], fence=None)
    text, found = await explained(store)

    assert found.open_time_ms == LAST.open_time_ms, "without a time the newest decided candle"
    assert "BTCUSDT 1m · candle of 2026-08-09 20:26 UTC" in text
    assert "rsi_divergence: ⬆️ entry long · extreme" in text
    assert "✓ rsi: 24.1 (threshold 25) · +0.9" in text
    assert "✗ divergence: n/a" in text
    assert "✓ gate quality: 120 usable candles" in text
    assert "Bias: none" in text
    assert "First that failed" not in text, "it became a signal"


async def test_of_a_candle_without_a_signal_the_first_condition_that_failed_is_named_with_its_distance(store):
    failed = Condition(name="volume_spike", value=1.2, threshold=1.5, margin=-0.3, passed=False)
    decision = msgspec.structs.replace(
        a_decision(a_signal(), CANDLES), action=Action.NONE, trigger="", conditions=(failed,), take_profit=None
    )
    await DecisionStore(store).save_first([decision], fence=None)
    text, _ = await explained(store, at_ms=LAST.open_time_ms + 1)

    assert "no signal" in text
    assert "First that failed: volume spike, short by 0.3" in text


@pytest.mark.parametrize(
    ("candles", "at_ms", "now_ms", "reason"),
    [
        (CANDLES, LAST.open_time_ms, LAST.close_time_ms - 1, "has not closed yet"),
        (CANDLES[:-1], LAST.open_time_ms, NOW_MS, "no such candle is stored"),
        (CANDLES[-50:], LAST.open_time_ms, NOW_MS, "50 candles without a hole end here, which is perhaps less than"),
        ([*CANDLES[:50], *CANDLES[60:]], LAST.open_time_ms, NOW_MS, f"{len(CANDLES) - 60} candles without a hole"),
        (
            [*CANDLES[:-1], msgspec.structs.replace(LAST, quality=CandleQuality.PARTIAL, missing_minutes=1)],
            LAST.open_time_ms,
            NOW_MS,
            "the candle is incomplete (partial)",
        ),
    ],
    ids=["not closed", "no candle", "window", "hole", "partial"],
)
async def test_of_a_candle_without_a_decision_the_reason_is_told(store, candles, at_ms, now_ms, reason):
    await CandleStore(store).save(candles, fence=None)
    text, _ = await explained(store, at_ms=at_ms, now_ms=now_ms)

    assert reason in text


@pytest.mark.parametrize(
    ("length", "reason"), [(60, "it was not decided on"), (360, f"its window has {len(CANDLES)} of 360 candles")]
)
async def test_how_many_candles_a_window_needs_is_what_decisions_near_by_recorded(store, length, reason):
    await CandleStore(store).save(CANDLES, fence=None)
    later = a_decision(a_signal(), CANDLES)
    windows = tuple(msgspec.structs.replace(window, length=length) for window in later.windows)
    later = msgspec.structs.replace(later, open_time_ms=LAST.open_time_ms + 60_000, windows=windows)
    await DecisionStore(store).save_first([later], fence=None)
    text, _ = await explained(store, at_ms=LAST.open_time_ms)

    assert reason in text


async def test_a_timeframe_that_no_strategy_reads_names_those_that_are_read(store):
    text, _ = await explained(store, timeframe=Timeframe.H4)

    assert "strategies read rsi_divergence 1m" in text


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_however_much_there_is_to_say_it_is_one_message(code):
    conditions = tuple(
        Condition(name=f"<{number}>" * 20, value=1.0, threshold=2.0, margin=-1.0, passed=False) for number in range(40)
    )
    gates = tuple(Gate(name="g", passed=False, detail="<" * 5_000) for _ in range(6))
    decision = msgspec.structs.replace(a_decision(a_signal(), CANDLES), conditions=conditions, gates=gates)
    text = why_text(Voice(words=LANGUAGES[code]), [decision] * 3, [])

    assert utf16_length(plain_text(text)) <= TEXT_LENGTH_MAX
