"""Histories of the whole pipeline under faults, by seed: `python -m tests.simulation.run --first 0 --seeds 500`.

Prints every unexplained difference with the command that plays its history again, and how much of what was seen.
"""

import argparse
import sys
import time
from collections import Counter
from typing import NamedTuple

from tests.support.simulation.burial import series
from tests.support.simulation.compare import differences
from tests.support.simulation.market import market_of
from tests.support.simulation.plan import fault_free, plan_of
from tests.support.simulation.world import AFTER_MINUTES, History, run_history

_SHOWN = 5


class Report(NamedTuple):
    """failures: one text per failing seed. seen: how often everything happened.

    simulated_minutes: of all that was played, the histories without faults among it.
    """

    failures: list[str]
    seen: Counter[str]
    simulated_minutes: float
    seconds: float


def run_seeds(first: int, seeds: int) -> Report:
    """Play the histories first .. first + seeds - 1 and compare each with its market's history without faults."""
    with series():
        return _run_seeds(first, seeds)


def _run_seeds(first: int, seeds: int) -> Report:
    references: dict[tuple[int, str], History] = {}
    failures: list[str] = []
    seen: Counter[str] = Counter()
    minutes, begin = 0.0, time.process_time()
    for seed in range(first, first + seeds):
        plan = plan_of(seed)
        market_of_plan = (plan.market_seed, plan.exchange)
        if market_of_plan not in references:
            references[market_of_plan] = run_history(fault_free(*market_of_plan))
            minutes += plan.minutes + AFTER_MINUTES
        found: list[str]
        minutes += plan.minutes + AFTER_MINUTES
        try:
            history = run_history(plan)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed that shows it is what matters
            found = [f"{type(error).__name__}: {error}"]
        else:
            market = market_of(plan.market_seed, plan.minutes)
            found = differences(history, references[market_of_plan], market)
            seen.update(history.counters)
            seen.update(f"event {event.kind}" for event in history.system_events)
            seen.update(["history", f"history of {plan.exchange}"])
        if found:
            again = f"python -m tests.simulation.run --first {seed} --seeds 1"
            lines = "\n".join(f"    {line[:400]}" for line in found[:_SHOWN])
            failures.append(f"seed {seed}: {len(found)} differences, play it again with: {again}\n{lines}")
    return Report(failures, seen, minutes, time.process_time() - begin)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=500)
    options = parser.parse_args()
    report = run_seeds(options.first, options.seeds)
    lines = report.failures or ["no unexplained difference"]
    lines.append(", ".join(f"{what} {number}" for what, number in sorted(report.seen.items())))
    rate = report.simulated_minutes / max(report.seconds, 1e-9)
    took = f"{report.simulated_minutes:.0f} simulated minutes in {report.seconds:.1f} s of one core"
    lines.append(f"{took}: {rate:.0f} minutes a second")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
