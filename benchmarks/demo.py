"""`./start_services.sh demo` as a newcomer sees it: seconds to the first candle, signal, chart and edit; memory of the set.

    python -m benchmarks.demo [--seconds 60]

Dependencies are installed before (`./start_services.sh setup`). Ends what it started.
"""

import argparse
import selectors
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "demo.json"
MARKS = {
    "first live candle": "candle ",
    "first complete candle": " complete",
    "first signal message": "NEW",
    "first chart": "CHART",
    "first edit": "EDIT",
}


def watch(seconds: float) -> tuple[dict[str, float], float]:
    """Seconds from the command to each mark, and the largest memory of all its processes together, MB."""
    found: dict[str, float] = {}
    largest_mb = 0.0
    begin = time.monotonic()
    demo = subprocess.Popen(["./start_services.sh", "demo"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert demo.stdout is not None  # noqa: S101 - a pipe was asked for
    with selectors.DefaultSelector() as ready:
        ready.register(demo.stdout, selectors.EVENT_READ)
        while time.monotonic() - begin < seconds:
            if ready.select(timeout=0.5):
                line = demo.stdout.readline().decode()
                for name, mark in MARKS.items():
                    if mark in line:
                        found.setdefault(name, round(time.monotonic() - begin, 1))
            largest_mb = max(largest_mb, resident_mb(demo.pid))
    demo.send_signal(signal.SIGINT)
    demo.wait(timeout=60)
    return found, largest_mb


def resident_mb(pid: int) -> float:
    """Memory of the process and everything it started; the services are in sessions of their own but still its children."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    found, largest_mb = watch(parser.parse_args().seconds)
    table = Table(title="./start_services.sh demo")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name in MARKS:
        table.add_row(name, f"{found[name]:.1f} s" if name in found else "not seen")
    table.add_row("memory of all processes, largest", f"{largest_mb:.0f} MB")
    Console().print(table)
    figures = {"seconds": found, "resident_mb_max": round(largest_mb)}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


if __name__ == "__main__":
    main()
