"""Start to ready and SIGTERM to exit of each service on the emulators and Redis, kernel cache warm.

    python -m benchmarks.start_stop [--runs 5]

Ready: it has reported its status under its own PID, which it does when its adapters have answered and it leads. One run of
each service goes before, so that its files are in the page cache and its kernels in theirs.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from tests.end_to_end.platform import SERVICES
from tests.support.start_stop import emulator_environment, start_and_stop

RESULTS = Path(__file__).parent / "results" / "start_stop.json"


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, emulator_environment(Path(folder)) as environment:
        for name in SERVICES:
            start_and_stop(name, environment)
            spans = [start_and_stop(name, environment) for _ in range(runs)]
            figures = {
                "ready_seconds": _spread([one.ready_seconds for one in spans]),
                "ready_cpu_seconds": _spread([one.ready_cpu_seconds for one in spans]),
                "exit_seconds": _spread([one.exit_seconds for one in spans]),
            }
            report[name] = figures
            print(f"{name:14}", json.dumps(figures), flush=True)
    report["load_average_after"] = round(os.getloadavg()[0], 2)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": round(min(values), 2), "median": round(statistics.median(values), 2), "max": round(max(values), 2)}


if __name__ == "__main__":
    main()
