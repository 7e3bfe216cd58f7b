"""The pure parts of the logic engine: bias, gates, pairs, order of candles, corrections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logic_engine.core.correction import affected_closes
from services.logic_engine.core.feed import bundles, newest_revisions, next_in_order, waves
from shared.deciding.bias_versions import bias_at
from shared.deciding.gates import bias_gate, freshness_gate, quality_gate
from shared.deciding.opening import decimals_seen
from shared.domain.bias import Direction, MacroBias, bias_in_force
from shared.domain.decisions import Action
from shared.domain.pairs import base_and_quote
from shared.domain.timeframe import MINUTE_MS, Timeframe
from tests.support.engine_market import START_MS, a_candle, closed

HOUR_MS = 3_600_000


def a_bias(version, direction, confidence, *, at_ms=None, lasts_ms=4 * HOUR_MS, base="BTC", quote="USDT"):
    effective_ms = START_MS + version * MINUTE_MS if at_ms is None else at_ms
    return MacroBias(
        base=base,
        quote=quote,
        version=version,
        direction=direction,
        confidence=confidence,
        regime="test",
        components={},
        published_at_ms=effective_ms,
        effective_from_ms=effective_ms,
        expires_at_ms=effective_ms + lasts_ms,
    )


@pytest.mark.parametrize(
    ("versions", "long_allowed", "short_allowed"),
    [
        ([], True, True),
        ([("LONG", 79.9)], True, True),
        ([("LONG", 80)], True, False),
        ([("SHORT", 80)], False, True),
        ([("LONG", 80), ("LONG", 70)], True, False),
        ([("LONG", 80), ("LONG", 69.9)], True, True),
        ([("LONG", 80), ("LONG", 69.9), ("LONG", 79)], True, True),
        ([("LONG", 80), ("SHORT", 75)], True, True),
        ([("LONG", 80), ("SHORT", 80)], False, True),
        ([("LONG", 80), ("NEUTRAL", 90)], True, True),
        ([("LONG", 75), ("LONG", 79)], True, True),
    ],
)
def test_bias_binds_from_80_and_is_kept_to_70(versions, long_allowed, short_allowed):
    biases = [a_bias(i, Direction(side), confidence) for i, (side, confidence) in enumerate(versions)]
    force = bias_at(biases, START_MS + HOUR_MS)
    assert bias_gate(force, Action.ENTER_LONG).passed == long_allowed
    assert bias_gate(force, Action.ENTER_SHORT).passed == short_allowed
    assert bias_gate(force, Action.NONE).passed
    assert bias_gate(force, Action.EXIT).passed


def test_an_expired_or_future_bias_binds_nothing():
    biases = [a_bias(1, Direction.LONG, 95)]
    assert bias_at(biases, START_MS).text == "none"
    assert bias_at(biases, START_MS + MINUTE_MS).side is Direction.LONG
    assert bias_at(biases, START_MS + MINUTE_MS + 4 * HOUR_MS).side is None


@given(
    given_versions=st.lists(
        st.tuples(
            st.sampled_from(Direction),
            st.sampled_from([0, 60, 69.9, 70, 75, 79.9, 80, 100]),
            st.integers(0, 30),
            st.integers(1, 30),
        ),
        max_size=12,
    ),
    minute=st.integers(0, 40),
)
def test_the_newest_versions_say_as_much_as_all_of_them(given_versions, minute):
    biases = [
        a_bias(i, side, confidence, at_ms=START_MS + at * MINUTE_MS, lasts_ms=lasts * MINUTE_MS)
        for i, (side, confidence, at, lasts) in enumerate(given_versions)
    ]
    close_ms = START_MS + minute * MINUTE_MS
    assert bias_at(biases, close_ms) == bias_in_force(biases, close_ms)


def test_gates():
    assert quality_gate(0).passed
    assert quality_gate(2).detail.startswith("2 candles")
    assert freshness_gate(1_000, 121_000, 120_000).passed
    late = freshness_gate(1_000, 121_001, 120_000)
    assert not late.passed
    assert late.detail.startswith("stale")


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("ethbtc", ("ETH", "BTC")),
        ("XBT/USD", ("XBT", "USD")),
        ("BTC-USDT", ("BTC", "USDT")),
        ("USDT", ("USDT", "")),
        ("WHATEVER", ("WHATEVER", "")),
    ],
)
def test_pairs(symbol, pair):
    assert base_and_quote(symbol) == pair


def test_decimals_seen():
    assert decimals_seen([60000.1, 60000.0]) == 1
    assert decimals_seen([1e-05]) == 5
    assert decimals_seen([]) == 0


def minute_events(*minutes):
    return {START_MS + m * MINUTE_MS: closed(a_candle(START_MS + (m - 1) * MINUTE_MS, 1.0)) for m in minutes}


@pytest.mark.parametrize(
    ("minutes", "ready"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([3, 1], [1]),
        ([2, 3], []),
        ([0, 1], [1]),
        ([1, 3, 15], [1]),
        ([1, 3, 16], [1, 3]),  # minute 2 lies so far back that it is passed over
    ],
)
def test_candles_are_handled_in_order_up_to_a_hole(minutes, ready):
    found = next_in_order(START_MS, minute_events(*minutes), gap_patience_ms=13 * MINUTE_MS)
    expected = [START_MS + m * MINUTE_MS for m in ready]
    assert [event.close_time_ms for event in found] == expected


def test_stored_minutes_wait_for_a_roll_up_that_is_still_being_written():
    minutes = [a_candle(START_MS + i * MINUTE_MS, 1.0) for i in range(6)]
    five = a_candle(START_MS, 1.0, timeframe=Timeframe.M5)
    due_ms = five.close_time_ms
    waiting = bundles(minutes, [], wanted=[Timeframe.M5], wait_from_ms=0)
    assert max(waiting) == due_ms - MINUTE_MS
    assert max(bundles(minutes, [], wanted=[Timeframe.M5], wait_from_ms=due_ms)) == due_ms + MINUTE_MS
    whole = bundles(minutes, [five], wanted=[Timeframe.M5], wait_from_ms=0)
    assert whole[due_ms].candles == (minutes[4], five)


def test_waves_and_repeated_announcements():
    first = a_candle(START_MS, 1.0)
    again = a_candle(START_MS, 1.5, revision=2)
    other = a_candle(START_MS, 1.0, symbol="AUSDT")
    later = a_candle(START_MS + MINUTE_MS, 1.0)
    kept = newest_revisions([closed(again), closed(first), closed(later), closed(other)])
    found = waves(event for closes in kept.values() for event in closes.values())
    assert [[event.candles[0] for event in wave] for wave in found] == [[other, again], [later]]


def test_affected_closes_are_those_whose_window_holds_the_candle():
    candle = a_candle(START_MS, 1.0)
    closes = affected_closes(candle, Timeframe.M1, length=3, handled_through_ms=START_MS + HOUR_MS)
    assert list(closes) == [START_MS + m * MINUTE_MS for m in (1, 2, 3)]
    until = affected_closes(candle, Timeframe.M1, length=3, handled_through_ms=START_MS + MINUTE_MS)
    assert list(until) == [START_MS + MINUTE_MS]
