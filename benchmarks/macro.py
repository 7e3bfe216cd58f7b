"""The macro engine: CPU and calls of a run of 30 pairs, start and memory of the function, speed over history.

    MARKET_DATA=... python -m benchmarks.macro [--cloud]

The function runs as a process of functions-framework before a server that speaks Kraken's protocol. --cloud: on the emulators
of Pub/Sub and Bigtable instead of the embedded file. Kraken's budget of one call a second makes a first run of 30 pairs last
91 s; here calls are spread at 50 a second, which costs the same CPU. Every run is triggered in a quarter of an hour of its own.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from cli.infra import create_all
from cli.macro.candle_file import pair_of, read_candles
from cli.macro.command import MacroFiles, bias_history, read_sources, regime_history
from cli.supervisor.plan import mode_adapters
from services.macro_engine.core.candles import filled
from shared.runtime.settings import ServiceSettings
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable
from tests.support.kraken_server import KrakenServer, made_market, running_kraken
from tests.support.simulator import free_port

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "macro.json"
PAIRS = 30
CALLS_PER_SECOND = 50
STEP_MS = 1_795_176_000_000
QUARTER_MS = 900_000
RUNS = 4
MEGABYTE = 1_000_000


class Function:
    """The function's processes: gunicorn's master and its worker."""

    def __init__(self, environment: dict[str, str]) -> None:
        port = free_port()
        command = ["--source", "services/macro_engine/main.py", "--target", "run_signal_generation"]
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "functions_framework", *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{port}/"
        while True:
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(f"{self.url}robots.txt", timeout=10)
                break
            time.sleep(0.01)
        self.start_seconds = time.monotonic() - begin
        both = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        self.start_cpu_seconds = sum(sum(process.cpu_times()[:2]) for process in both)

    def worker(self) -> psutil.Process:
        """The process that runs the function."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found[-1] if found else psutil.Process(self.process.pid)

    def run(self) -> tuple[float, float, dict[str, object]]:
        """CPU seconds and wall seconds of one run, and its report."""
        before, begin = sum(self.worker().cpu_times()[:2]), time.monotonic()
        report = httpx.get(self.url, timeout=200).raise_for_status().json()
        return sum(self.worker().cpu_times()[:2]) - before, time.monotonic() - begin, report


@contextlib.contextmanager
def environment(folder: Path, *, cloud: bool) -> Iterator[dict[str, str]]:
    """The adapters' variables."""
    with contextlib.ExitStack() as brokers:
        variables = {**mode_adapters("demo"), "DATA_DIR": str(folder)}
        if cloud:
            name = f"bench-{uuid.uuid4().hex[:8]}"
            variables |= mode_adapters("emulators") | {
                "CACHE": "sqlite",
                "PUBSUB_EMULATOR_HOST": brokers.enter_context(running_pubsub()).address,
                "BIGTABLE_EMULATOR_HOST": brokers.enter_context(running_bigtable()).address,
                "GOOGLE_CLOUD_PROJECT": name,
                "PUBSUB_PROJECT_ID": name,
            }
        os.environ.update(variables)
        if cloud:
            asyncio.run(create_all(ServiceSettings()))
        yield variables


def measure_function(folder: Path, *, cloud: bool) -> dict[str, float]:
    """A first run that reads whole windows, then runs that read what came since; a quarter of an hour passes between them."""
    bases = [f"C{number:02d}" for number in range(PAIRS)]
    (folder / "tracker.yaml").write_text(
        f"venues: {{bybit-linear: {{symbols: [{', '.join(base + 'USDT' for base in bases)}]}}}}\n"
        "strategies: [{name: rsi_divergence}]\n"
    )
    market = made_market("C/USDT", "up", STEP_MS, days=30)
    markets = {f"{base}USDT": replace(market, wsname=f"{base}/USDT") for base in bases}
    started_ms = time.time_ns() // 1_000_000
    speed = QUARTER_MS / 8_000  # a quarter of an hour every eight seconds

    def market_ms() -> int:
        return int(STEP_MS + 20_000 + (time.time_ns() // 1_000_000 - started_ms) * speed)

    with environment(folder, cloud=cloud) as variables, running_kraken(markets, now_ms=market_ms) as kraken:
        function = Function(
            variables
            | {
                "TRACKER_CONFIG": str(folder / "tracker.yaml"),
                "KRAKEN_REST_URL": kraken.url,
                "KRAKEN_REQUESTS_PER_SECOND": str(CALLS_PER_SECOND),
                "MARKET_CLOCK_ORIGIN_WALL_MS": str(started_ms),
                "MARKET_CLOCK_ORIGIN_MARKET_MS": str(STEP_MS + 20_000),
                "MARKET_CLOCK_SPEED": str(speed),
                "MACRO_CANDLE_AGE_MINUTES_MAX": "60",
            }
        )
        try:
            return measured_runs(function, kraken)
        finally:
            function.process.terminate()
            function.process.wait()


def measured_runs(function: Function, kraken: KrakenServer) -> dict[str, float]:
    """CPU, wall time, calls and memory."""
    figures: dict[str, float] = {
        "start_seconds": function.start_seconds,
        "start_cpu_seconds": function.start_cpu_seconds,
    }
    later: list[float] = []
    for number in range(RUNS):
        kraken.requests.clear()
        cpu, wall, report = function.run()
        published = report["published"]
        assert isinstance(published, list), report  # noqa: S101 - the figure is worth nothing without
        assert len(published) == PAIRS, report  # noqa: S101 - a benchmark of something that failed is none
        times = [at for at, path in kraken.requests]
        busiest = max(Counter(int(at) for at in times).values())
        if number == 0:
            figures |= {"first_cpu_seconds": cpu, "first_wall_seconds": wall, "first_calls": len(times)}
            figures["calls_per_second_max"] = busiest
        else:
            later.append(cpu)
            figures["later_calls"] = len(times)
        time.sleep(8)
    figures["later_cpu_seconds"] = sorted(later)[len(later) // 2]
    figures["worker_rss_mb"] = function.worker().memory_info().rss / MEGABYTE
    return figures


def measure_history(data: Path) -> dict[str, float]:
    """Two months of one symbol's biases and the days of both daily sources, from files to values."""
    macro = data / "macro"
    files = MacroFiles(
        candles=data / "ohlcv" / "binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz",
        dxy=macro / "dxy_daily_2014_2026.csv",
        dominance=macro / "btc_dominance_daily_2013_2024.json",
        fomc=macro / "fomc_meetings_2000_2026.csv",
    )
    begin, begin_cpu = time.perf_counter(), time.process_time()
    pair, sources = pair_of(files.candles, None), read_sources(files)
    candles = read_candles(files.candles, pair)
    read = time.perf_counter()
    biases = list(bias_history(pair, filled(candles)[0], candles, sources, Counter()))
    evaluated = time.perf_counter()
    days = len(list(regime_history(sources, biases)))
    end = time.perf_counter()
    return {
        "history_biases": len(biases),
        "history_read_seconds": read - begin,
        "history_bias_seconds": evaluated - read,
        "regime_days": days,
        "regime_seconds": end - evaluated,
        "history_seconds": end - begin,
        "history_cpu_seconds": time.process_time() - begin_cpu,
    }


def main() -> None:
    """Print the figures; keep them where they are the embedded ones."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cloud", action="store_true", help="the function on the emulators of Pub/Sub and Bigtable")
    cloud = arguments.parse_args().cloud
    figures: dict[str, float] = {}
    if data := os.environ.get("MARKET_DATA"):
        figures |= measure_history(Path(data))
    with tempfile.TemporaryDirectory() as folder:
        figures |= measure_function(Path(folder), cloud=cloud)
    table = Table("figure", "measured", title=f"macro engine, {'emulators' if cloud else 'embedded'}")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.2f}".rstrip("0").rstrip("."))
    Console().print(table)
    kept = msgspec.json.decode(RESULTS.read_bytes()) if RESULTS.is_file() else {}
    kept["emulators" if cloud else "embedded"] = {name: round(value, 3) for name, value in figures.items()}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")


if __name__ == "__main__":
    main()
