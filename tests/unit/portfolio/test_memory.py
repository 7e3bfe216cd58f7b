"""The adaptive memory: a truth table per rule, what comes back when a condition clears, what expires, what a restart knows."""

import random

import pytest

from shared.portfolio.memory import (
    HOUR_MS,
    ClosedTrade,
    Memory,
    MemoryRules,
    drawdown_pct,
    memory_says,
    remembered,
)

RULES = MemoryRules()
DAY = 24 * HOUR_MS


def trades(outcomes, *, symbols="ABCDEFGHIJKLMNOPQRSTUVWXYZ", model="continuation", gain=1.0, start_ms=0):
    """One trade per hour: `+` wins and `-` loses; the symbols take turns, so that none has a history of its own."""
    return [
        ClosedTrade(
            signal_id=f"{start_ms}-{number:03d}",
            symbol=symbols[number % len(symbols)],
            model=model,
            closed_at_ms=start_ms + number * HOUR_MS,
            gain=gain if mark == "+" else -gain,
        )
        for number, mark in enumerate(outcomes)
    ]


def says(history, *, at_ms=10**12, symbol="other", model="continuation", rules=RULES):
    return memory_says(remembered(history, rules), rules, symbol=symbol, model=model, at_ms=at_ms)


@pytest.mark.parametrize(
    ("outcomes", "added"),
    [
        ("", 0),
        ("-+-+-+-+-", 0),  # 9 trades: too few to say
        ("+-" * 5, 5),  # 10 at 50 %
        ("+-" * 9 + "++", 0),  # 20 at 55 %: not below
        ("+-" * 9 + "+-", 5),  # 20 at 50 %
        ("+-" * 10 + "+" * 11, 0),  # the bad ones have left the last 20
    ],
)
def test_rule_1_a_low_win_rate_raises_every_threshold_and_lowers_it_again(outcomes, added):
    assert says(trades(outcomes)).threshold_add == added


@pytest.mark.parametrize(
    ("outcomes", "hours_later", "off"),
    [("--", 0, False), ("---", 0, True), ("---", 11, True), ("---", 12, False), ("---+", 0, True), ("+--+-", 0, False)],
)
def test_rule_2_three_losses_in_a_row_pause_all_for_12_hours(outcomes, hours_later, off):
    history = trades(outcomes)
    third_ms = min(2, len(history) - 1) * HOUR_MS
    verdict = says(history, at_ms=third_ms + hours_later * HOUR_MS + (HOUR_MS if outcomes == "---+" else 0))
    assert bool(verdict.entries_off) == off


def test_rule_2_a_win_does_not_set_the_pause_anew_and_another_loss_does():
    paused = remembered(trades("---"), RULES).paused_until_ms
    assert remembered(trades("---+"), RULES).paused_until_ms == paused
    assert remembered(trades("----"), RULES).paused_until_ms == paused + HOUR_MS


@pytest.mark.parametrize(
    ("gains", "drawdown", "per_day", "risk"),
    [
        ([], 0, None, None),
        ([-50], 5, None, None),  # exactly 5 % of the balance of 1000
        ([-51], 5.1, 2, None),
        ([-80], 8, 2, None),
        ([-81], 8.1, 2, 0.5),
        ([1000, -161], 8.05, 2, 0.5),  # from the peak, not from the start
        ([-81, 60], 2.1, None, None),  # what came with the drawdown goes with it
    ],
)
def test_rules_3_and_4_a_drawdown_means_fewer_and_smaller_signals_while_it_lasts(gains, drawdown, per_day, risk):
    history = [
        ClosedTrade(signal_id=str(n), symbol=str(n), model="continuation", closed_at_ms=n, gain=float(gain))
        for n, gain in enumerate(gains)
    ]
    assert drawdown_pct(remembered(history, RULES), RULES) == pytest.approx(drawdown)
    verdict = says(history)
    assert (verdict.signals_per_day_max, verdict.risk_pct_max) == (per_day, risk)


@pytest.mark.parametrize(
    ("outcomes", "symbol", "hours_later", "off"),
    [
        ("-", "A", 0, False),
        ("--", "A", 0, True),
        ("--", "A", 23, True),
        ("--", "A", 24, False),
        ("--", "B", 0, False),
        ("-+-", "A", 0, False),
    ],
)
def test_rule_5_two_losses_in_a_row_rest_the_symbol_for_24_hours(outcomes, symbol, hours_later, off):
    history = trades(outcomes, symbols="A")
    verdict = says(history, symbol=symbol, at_ms=history[-1].closed_at_ms + hours_later * HOUR_MS)
    assert bool(verdict.entries_off) == off


def test_rule_5_a_trade_of_another_symbol_does_not_set_it_anew():
    history = trades("--", symbols="A")
    later = trades("+", symbols="B", start_ms=10 * HOUR_MS)
    until = remembered(history, RULES).symbol_until_ms["A"]
    assert remembered([*history, *later], RULES).symbol_until_ms == {"A": until}


@pytest.mark.parametrize(
    ("outcomes", "added"), [("+-+-", 0), ("+-+--", 5), ("+-+-+-", 0), ("+-+--" + "+" * 4, 0), ("+-+--" + "+-" * 5, 0)]
)
def test_rule_6_a_symbol_that_loses_gets_a_higher_threshold_of_its_own(outcomes, added):
    rules = MemoryRules(trades_min=100)  # rule 1 is silent here
    history = trades(outcomes, symbols="A")
    assert says(history, symbol="A", rules=rules).threshold_add == added
    assert says(history, symbol="B", rules=rules).threshold_add == 0


@pytest.mark.parametrize(
    ("model", "outcomes", "hours_later", "off"),
    [
        ("reversal", "-+--+--+-", 0, False),  # 9 trades
        ("reversal", "-+--+--+-+", 0, True),  # 4 of 10
        ("reversal", "-+--+--+-+", 47, True),
        ("reversal", "-+--+--+-+", 48, False),  # on again by time alone, without another trade
        ("reversal", "+-" * 5, 0, False),
        ("continuation", "-+--+--+-+", 0, False),
    ],
)
def test_rule_7_a_reversal_model_that_loses_is_off_for_48_hours(model, outcomes, hours_later, off):
    history = trades(outcomes, model=model)
    verdict = says(history, model=model, at_ms=history[-1].closed_at_ms + hours_later * HOUR_MS)
    assert bool(verdict.model_off) == off


@pytest.mark.parametrize(
    ("model", "outcomes", "first"),
    [
        ("continuation", "++++++-+-", False),  # 9 trades
        ("continuation", "+" * 7 + "---", True),  # 70 %
        ("continuation", ("+" * 13 + "-" * 7), False),  # 65 %: not above
        ("reversal", "+" * 10, False),
    ],
)
def test_rule_8_a_continuation_model_that_wins_goes_first(model, outcomes, first):
    assert says(trades(outcomes, model=model), model=model).goes_first == first


def test_nothing_known_changes_nothing():
    verdict = memory_says(Memory(), RULES, symbol="A", model="reversal", at_ms=0)
    assert (verdict.threshold_add, verdict.signals_per_day_max, verdict.risk_pct_max) == (0, None, None)
    assert (verdict.entries_off, verdict.model_off, verdict.goes_first) == ("", "", False)


def test_a_memory_folded_again_after_a_restart_is_the_same_whatever_order_the_trades_are_read_in():
    chance = random.Random(3)
    history = trades("".join(chance.choice("+-") for _ in range(200)), symbols="ABC", model="reversal")
    shuffled = chance.sample(history, len(history))
    assert remembered(shuffled, RULES) == remembered(history, RULES)
