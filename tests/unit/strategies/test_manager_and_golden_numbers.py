"""The manager's three modes over real members, and the numbers the reference systems print."""

import msgspec
import numpy as np
import pytest

from shared.domain.decisions import Action
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Outcome, WindowColumns
from shared.strategies.registry import build_strategy
from shared.strategies.verdicts import LONG, Figures

LONG_, SHORT_, EXIT_, NONE_ = Action.ENTER_LONG, Action.ENTER_SHORT, Action.EXIT, Action.NONE


def manager(mode, weights=(1, 1, 1), **parameters):
    kinds = ("donchian", "supertrend", "ema_cross")
    members = [{"kind": kind, "weight": weight} for kind, weight in zip(kinds, weights, strict=True)]
    return build_strategy("manager", Timeframe.H1, {"mode": mode, "members": members, **parameters})


def said(action, score=100.0, take_profit=None):
    return Outcome(action=action, trigger="", conditions=(), score=score, take_profit=take_profit)


@pytest.mark.parametrize(
    ("mode", "weights", "actions", "action", "confidence"),
    [
        ("first", (1, 1, 1), [(NONE_, 90), (SHORT_, 40), (LONG_, 70)], LONG_, 70),
        ("first", (1, 1, 1), [(SHORT_, 40), (NONE_, 0), (NONE_, 0)], NONE_, 40),
        ("vote", (1, 1, 1), [(LONG_, 80), (LONG_, 60), (SHORT_, 100)], LONG_, 2),
        ("vote", (1, 1, 1), [(LONG_, 80), (LONG_, 40), (SHORT_, 100)], NONE_, 1),
        ("vote", (1, 1, 1), [(EXIT_, 80), (EXIT_, 60), (NONE_, 0)], EXIT_, 2),
        ("weighted", (2, 1, 1), [(LONG_, 100), (SHORT_, 60), (NONE_, 90)], NONE_, 35),
        ("weighted", (2, 1, 1), [(LONG_, 100), (LONG_, 60), (NONE_, 90)], LONG_, 65),
        ("weighted", (1, 1, 1), [(LONG_, 100), (SHORT_, 100), (EXIT_, 100)], NONE_, 0),
        ("weighted", (1, 1, 1), [(NONE_, 100), (NONE_, 100), (NONE_, 100)], NONE_, 0),
    ],
)
def test_the_manager_decides_by_its_mode(mode, weights, actions, action, confidence):
    verdict = manager(mode, weights)._verdict([said(a, s) for a, s in actions])
    assert (verdict.action, verdict.conditions[0].value) == (action, confidence)
    assert [member.action for member in verdict.members] == [a for a, _ in actions]


def test_the_managers_members_say_what_they_say_alone():
    chance = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, (200, 130)), axis=1))
    columns = WindowColumns(open=close, high=close * 1.002, low=close * 0.998, close=close, volume=np.ones_like(close))
    windows = {Timeframe.H1: WindowColumns(**{n: np.ascontiguousarray(getattr(columns, n)[:, -120:]) for n in ("open", "high", "low", "close", "volume")})}  # fmt: skip
    chief = manager("weighted", confidence_min=30)
    verdicts = chief.evaluate(windows)
    assert {verdict.action for verdict in verdicts} >= {LONG_, SHORT_, NONE_}
    for place, kind in enumerate(("donchian", "supertrend", "ema_cross")):
        alone = build_strategy(kind, Timeframe.H1, {}).evaluate(windows)
        for verdict, outcome in zip(verdicts, alone, strict=True):
            member = verdict.members[place]
            assert (member.action, member.score, member.conditions) == (outcome.action, outcome.score, outcome.conditions)  # fmt: skip
    assert chief.parameters["donchian.window"] == 20


def test_the_managers_entry_has_its_leaders_levels_size_and_trailing_stop_and_tells_its_members_notes():
    leader = msgspec.structs.replace(said(LONG_, 90, 110.0), trail_pct=0.5, stop_loss=95.0)
    silent = msgspec.structs.replace(said(NONE_, 0), notes=("not_finite: the window holds NaN or Inf",))
    verdict = manager("first")._verdict([silent, leader, said(SHORT_)])
    assert (verdict.take_profit, verdict.stop_loss, verdict.trail_pct) == (110.0, 95.0, 0.5)
    assert verdict.notes == ("donchian: not_finite: the window holds NaN or Inf",)


def test_volatility_target_of_the_reference():
    strategy = build_strategy("macd_adx", Timeframe.M30, {})
    scale, unknown = strategy.scales(np.array([0.05, np.nan]), np.array([0.05**2 / 48, 0.0])).tolist()
    assert scale == pytest.approx(0.4)
    size = strategy.sizing(100.0, 0.05, scale)
    assert (size.notional, size.quantity, size.fraction) == (4000.0, 40.0, 0.04)
    assert unknown == 0.0


def test_inverse_variance_scales_by_the_square_and_is_capped():
    strategy = build_strategy("macd_adx", Timeframe.M30, {"volatility_mode": "inverse_var"})
    deviations = np.array([0.05, 0.01])
    assert strategy.scales(deviations, deviations**2 / 48).tolist() == [pytest.approx(0.16), 1.0]


def test_scores_of_the_reference_models():
    continuation = build_strategy("continuation", Timeframe.H4, {})
    found = Figures(np.array([[105.0, 5.0, 105.0, 5.0]]), np.zeros((1, 4)))
    assert continuation.scored(found, 0, LONG)[0] == 75.0
    reversal = build_strategy("reversal", Timeframe.H4, {})
    found = Figures(np.array([[100.0] * 4]), np.array([[105.0, 100.0, 120.0, 100.0]]))
    assert reversal.scored(found, 0, LONG)[0] == 75.0


def test_the_weights_of_the_timeframes_sum_to_one():
    parameters = build_strategy("mtf_score", Timeframe.M15, {}).parameters
    assert sum(value for name, value in parameters.items() if name.startswith("weight_")) == pytest.approx(1, abs=1e-6)
