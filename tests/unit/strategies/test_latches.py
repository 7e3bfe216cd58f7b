"""Latches: once per move, released by their rule or by the day, never set by what is not told."""

import pytest

from shared.domain.bias import Direction
from shared.domain.timeframe import DAY_MS, MINUTE_MS
from shared.strategies.latches import AlertRule, Latches, LatchPolicy, step

RULES = {
    key: AlertRule(key=key, side=Direction.LONG, family=key.split("_")[0])
    for key in [f"ppo_{n}" for n in range(9)] + [f"pivot_{n}" for n in range(5)] + ["vwap_up"]
}
POLICY = LatchPolicy(per_family_max={"pivot": 3}, daily=("pivot", "vwap"))
QUARTER = 15 * MINUTE_MS


def stepped(before, holds=(), resets=(), *, at_ms=None, allowed=True):
    return step(
        before,
        holds=holds,
        resets=resets,
        close_time_ms=before.close_time_ms + QUARTER if at_ms is None else at_ms,
        rules=RULES,
        policy=POLICY,
        allowed=allowed,
    )


def test_an_alert_is_raised_once_until_its_rule_lets_go():
    first = stepped(Latches(), ["ppo_1"])
    second = stepped(first.latches, ["ppo_1"])
    released = stepped(second.latches, [], ["ppo_1"])
    again = stepped(released.latches, ["ppo_1"])
    assert [one.raised for one in (first, second, released, again)] == [("ppo_1",), (), (), ("ppo_1",)]


def test_what_a_cap_drops_does_not_latch_and_is_raised_at_the_next_candle():
    pivots = [f"pivot_{n}" for n in range(5)]
    first = stepped(Latches(), [*pivots, "ppo_1"])
    assert first.raised == ("pivot_0", "pivot_1", "pivot_2", "ppo_1")
    assert first.dropped == ("pivot_3", "pivot_4")
    second = stepped(first.latches, pivots)
    assert second.raised == ("pivot_3", "pivot_4")
    many = stepped(Latches(), [f"ppo_{n}" for n in range(9)])
    assert (len(many.raised), many.dropped) == (8, ("ppo_8",))


def test_what_may_not_be_told_does_not_latch():
    silent = stepped(Latches(), ["ppo_1"], allowed=False)
    assert (silent.raised, silent.latches.active) == ((), ())
    assert stepped(silent.latches, ["ppo_1"]).raised == ("ppo_1",)


@pytest.mark.parametrize(("key", "raised"), [("vwap_up", True), ("pivot_1", True), ("ppo_1", False)])
def test_the_latches_of_some_families_end_with_the_utc_day(key, raised):
    day = stepped(Latches(close_time_ms=DAY_MS - QUARTER), [key], at_ms=DAY_MS)
    assert day.raised == (key,)
    assert bool(stepped(day.latches, [key], at_ms=DAY_MS + QUARTER).raised) == raised


def test_a_candle_that_was_seen_changes_nothing():
    first = stepped(Latches(), ["ppo_1"])
    again = stepped(first.latches, ["ppo_2"], ["ppo_1"], at_ms=first.latches.close_time_ms)
    assert (again.latches, again.raised) == (first.latches, ())
