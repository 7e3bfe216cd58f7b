"""A MACD cross over 525,600 recorded minutes, and 1,000 of them over 100,000: our two paths beside vectorbt and backtesting.py.

    MARKET_DATA=folder PEERS_PYTHON=/path/to/python python -m benchmarks.backtests

PEERS_PYTHON: a Python with `vectorbt` and `backtesting` installed; without it the peers are left out. All run one after the
other, on one core, in processor seconds; the exact path and backtesting.py, whose time per bar does not depend on how many
there are, on the first 100,000. The year is two recorded months of BTCUSDT repeated, each time starting where the last one ended.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cli.replay.candle_reader import read_candles
from cli.replay.outputs import peak_rss_mb
from research.evaluation import evaluate
from research.fast.path import FastPath
from research.fast.trades import Trades
from research.history import History, history_of
from research.portfolio import Account, Costs
from research.recipe import Recipe
from research.simulation import Simulation
from research.sweep import candidates_of
from shared.deciding.active import active_strategy
from shared.domain.timeframe import Timeframe

BARS, SWEEP_BARS, COMBINATIONS = 525_600, 100_000, 1_000
FILE = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
RESULTS = Path(__file__).parent / "results" / "backtests.json"
FREE = Account(costs=Costs(fee_bps=0, spread_bps=0, slippage_bps=0))
PARAMETERS = {"fast": 12, "slow": 26, "signal": 9, "adx_min": 0.0, "direction": "long_flat"}


def a_year(folder: Path) -> History:
    """BARS minutes without a hole."""
    months = read_candles(folder / FILE, exchange="binance-spot", symbol="BTCUSDT").candles
    candles, factor, first = [], 1.0, months[0]
    while len(candles) < BARS:
        for candle in months[: BARS - len(candles)]:
            opened_ms = first.open_time_ms + len(candles) * 60_000
            prices = {name: getattr(candle, name) * factor for name in ("open", "high", "low", "close")}
            candles.append(
                msgspec.structs.replace(
                    candle, open_time_ms=opened_ms, volume=Decimal(candle.volume), missing_minutes=0, **prices
                )
            )
        factor = candles[-1].close / first.open
    return history_of(candles, [])


def best_of(runs: int, work: Callable[[], Any]) -> float:
    """Processor seconds of the quickest: others work on this machine."""
    seconds = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def combinations() -> list[dict[str, Any]]:
    """COMBINATIONS sets of three lengths."""
    return [
        {**PARAMETERS, "fast": 5 + fast, "slow": 20 + 2 * slow, "signal": 5 + signal}
        for fast in range(10)
        for slow in range(10)
        for signal in range(10)
    ][:COMBINATIONS]


def ours(history: History) -> dict[str, float]:
    """Bars and combinations per second."""

    def active(parameters: dict[str, Any]) -> Any:
        return active_strategy("macd_adx", Timeframe.M1, parameters, on_opposite="close", max_age_candles=None)

    one = active(PARAMETERS)
    fast = best_of(5, lambda: FastPath(history, FREE).trades(one).accounted())  # trades, and the equity of every candle
    short = history_of(history.candles[:SWEEP_BARS], [])
    exact = best_of(3, lambda: found(FastPath(short, FREE).by_columns(one)).accounted())
    recorded = best_of(1, lambda: Simulation([one], short).run({one.name: evaluate(one, short)}))
    recipe = Recipe(
        name="macd_adx",
        kind="macd_adx",
        timeframe=Timeframe.M1,
        parameters={},
        max_age_candles=None,
        on_opposite="close",
    )

    def sweep() -> None:
        list(candidates_of(recipe, combinations(), short, FREE, 359))

    before = peak_rss_mb()
    swept = best_of(1, sweep)
    return {
        "fast_bars_per_second": BARS / fast,
        "exact_bars_per_second": SWEEP_BARS / exact,
        "exact_with_signals_bars_per_second": SWEEP_BARS / recorded,
        "combinations_per_second": COMBINATIONS / swept,
        "sweep_memory_mb": peak_rss_mb() - before,
        "trades": float(len(FastPath(history, FREE).trades(one))),
    }


def found(trades: Trades | None) -> Trades:
    """Of a strategy that has this form."""
    if trades is None:
        sys.exit("macd_adx has columns")
    return trades


def peers(history: History, python: str) -> dict[str, dict[str, float]]:
    """Each peer's own figures, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candles.npy"
        np.save(file, history.series[Timeframe.M1].values)
        found = {}
        for name in ("vectorbt_macd", "backtesting_macd"):
            command = [python, str(Path(__file__).parent / "peers" / f"{name}.py"), str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                print(f"{name}: {done.stderr[-400:]}", file=sys.stderr)
                continue
            found[name] = msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])
        return found


def main() -> None:
    """Print everything and write JSON."""
    folder = os.environ.get("MARKET_DATA")
    if not folder:
        sys.exit("MARKET_DATA must name the folder with recorded market data")
    history = a_year(Path(folder))
    figures: dict[str, Any] = {"ours": ours(history)}
    python = os.environ.get("PEERS_PYTHON")
    if python:
        figures |= peers(history, python)
    for who, found in figures.items():
        for name, value in found.items():
            print(f"{who:>18} {name:>26} {value:>16,.0f}")
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


if __name__ == "__main__":
    main()
