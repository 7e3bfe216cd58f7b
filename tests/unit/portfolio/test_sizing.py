"""Sizes by what the stop may cost."""

import pytest

from shared.portfolio.sizing import risk_sizing


def test_the_reference_size_of_a_champion_trade():
    sizing = risk_sizing(equity=10_000, risk_pct=0.5, entry=100, stop=99.3)
    assert sizing.notional == pytest.approx(7142.86, abs=0.005)
    assert sizing.risk_pct == pytest.approx(0.5)
    assert sizing.quantity == pytest.approx(sizing.notional / 100)


@pytest.mark.parametrize(("open_risk", "risk"), [(0.0, 0.5), (1.5, 0.5), (1.8, 0.2), (2.0, 0.0), (2.5, 0.0)])
def test_open_risk_leaves_at_most_what_is_left_of_its_limit(open_risk, risk):
    sizing = risk_sizing(
        equity=10_000, risk_pct=0.5, entry=100, stop=101, open_risk_pct=open_risk, open_risk_pct_max=2.0
    )
    assert sizing.risk_pct == pytest.approx(risk)
    assert sizing.open_risk_pct == pytest.approx(open_risk + risk)


def test_a_near_stop_takes_the_whole_equity_and_no_more():
    sizing = risk_sizing(equity=1_000, risk_pct=1, entry=50, stop=49.95, quantity_decimals=3)
    assert (sizing.notional, sizing.quantity) == (1_000, 20)
    assert sizing.risk_pct == pytest.approx(0.1)
