"""`cst replay` over the day of 1,044,404 recorded trades, all roll-ups and the strategy on: rate and memory.

    MARKET_DATA=folder python -m benchmarks.replay [--runs 5]

Each run is a process of its own, as a user starts it; the figures are its own summary.json.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

TAPE = "tape/binance_spot_trades_2019-05-31.csv.gz"
RESULTS = Path(__file__).parent / "results" / "replay.json"
FIGURES = ("trades_per_second_with_decoding", "trades_per_second", "seconds", "peak_rss_mb")


def one_run(tape: Path) -> dict[str, Any]:
    """The summary of one replay."""
    with tempfile.TemporaryDirectory() as out:
        command = [str(Path(sys.executable).with_name("cst")), "replay", "--trades", str(tape), "--out", out]
        subprocess.run([*command, "--exchange", "binance-spot"], check=True, capture_output=True)
        return msgspec.json.decode((Path(out) / "summary.json").read_bytes(), type=dict[str, Any])


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = os.environ.get("MARKET_DATA")
    if not folder:
        sys.exit("MARKET_DATA must name the folder with recorded market data")
    one_run(Path(folder) / TAPE)  # compiles what is not compiled yet
    summaries = [one_run(Path(folder) / TAPE) for _ in range(runs)]
    table = Table(title=f"cst replay, {summaries[0]['trades']:,} trades, {runs} runs")
    for column in ("figure", "min", "median", "max"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    figures: dict[str, dict[str, float]] = {}
    for name in FIGURES:
        values = [float(summary[name]) for summary in summaries]
        figures[name] = {"min": min(values), "median": statistics.median(values), "max": max(values)}
        table.add_row(name, *(f"{value:,.1f}" for value in figures[name].values()))
    Console().print(table)
    stages = {
        stage: statistics.median(summary["seconds_by_stage"][stage] for summary in summaries)
        for stage in summaries[0]["seconds_by_stage"]
    }
    Console().print("seconds by stage (median):", stages)
    RESULTS.write_bytes(
        msgspec.json.format(msgspec.json.encode({**figures, "seconds_by_stage": stages}), indent=2) + b"\n"
    )


if __name__ == "__main__":
    main()
