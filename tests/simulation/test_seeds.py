"""Histories of faults on virtual time: the end is that of the history without them, or says where it differs.

SIMULATION_SEEDS says how many (500; a fifth of a second each); a failing one prints the command that plays it again.
"""

import os
from collections import Counter

import pytest

from shared.domain.candles import CandleQuality
from shared.domain.timeframe import Timeframe
from shared.exchanges.venue import BINANCE_SPOT, BYBIT_LINEAR
from tests.simulation.run import run_seeds
from tests.support.simulation.compare import differences
from tests.support.simulation.market import START_MS, market_of
from tests.support.simulation.plan import LASTING, MOMENTARY, Fault, fault_free, plan_of
from tests.support.simulation.world import run_history

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "500"))
PART = 50
ENOUGH = 200
seen: Counter[str] = Counter()


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_faults_leave_no_unexplained_difference(first):
    report = run_seeds(first, min(PART, SEEDS - first))

    seen.update(report.seen)
    assert not report.failures, "\n".join(report.failures)


def test_the_histories_held_what_they_are_for():
    """Runs after the histories: without corrections, repairs, holes and kills they would have shown nothing."""
    if seen["history"] < ENOUGH:
        pytest.skip(f"{seen['history']} histories were played, {ENOUGH} show everything")
    assert seen["kills"] > seen["history"]
    assert all(seen[f"history of {exchange}"] > 0 for exchange in (BINANCE_SPOT, BYBIT_LINEAR))
    assert all(seen[kind] > 0 for kind in (*MOMENTARY, *LASTING)), "a kind of fault never struck"
    assert seen["lost"] > 0
    assert seen["delayed"] > 0
    assert seen["reordered"] > 0
    assert seen["duplicated"] > 0
    assert seen["store: full"] > 0
    assert seen["bus: down"] > 0
    assert seen["bus: lost"] > 0
    assert seen["event clock_skew"] > 0
    assert seen["event blind"] > 0
    assert seen["revision partial"] > 0, "no minute closed with a hole"
    assert seen["revision repaired"] > 0, "no minute was repaired from refilled trades"
    corrections = {name: number for name, number in seen.items() if name.startswith("correction ")}
    assert corrections.get("correction repaired", 0) > 0, "no partial minute was repaired"
    assert sum(corrections.values()) > 10


def test_a_seed_always_plays_the_same_history():
    first, second = run_history(plan_of(7)), run_history(plan_of(7))

    assert first.candles == second.candles
    assert first.decisions == second.decisions
    assert first.signals == second.signals
    assert first.counters == second.counters
    assert first.awaits == second.awaits


def test_batches_that_the_bus_lost_are_fetched_again():
    """Nothing else goes wrong: at the end every minute is made of its trades, none of a kline or of a part of them."""
    calm = fault_free(3)
    history = run_history(calm._replace(seed=0, faults=(Fault(100.0, "bus_loses", 0.0, 2),)))

    assert history.counters["bus: lost"] == 2
    own = [
        one for (_, timeframe, at_ms), one in history.candles.items() if timeframe is Timeframe.M1 and at_ms >= START_MS
    ]
    assert {one.quality for one in own} <= {CandleQuality.COMPLETE, CandleQuality.REPAIRED}
    assert any(one.revision > 1 for one in own), "the minute closed before its trades were fetched"
    assert not list(differences(history, run_history(calm), market_of(3, calm.minutes)))
