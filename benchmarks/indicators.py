"""RSI, MACD, ADX, ATR and Bollinger bands of a market beside TA-Lib, on one core, in one run.

    MARKET_DATA=... python -m benchmarks.indicators [--rounds 15]

1,500 windows (300 symbols x 5 timeframes) of 200 candles, cut from recorded 1m candles of BTC, ETH and SOL. TA-Lib is called
once per window and indicator on the same arrays. Four things are timed, taking turns within each round:

newest   one call over all windows, the values of the newest candle (what a strategy reads)
last two the same with the candle before it (what a cross needs)
series   the same with the values of all 200 candles
stream   one new candle of all 1,500 series, from the state of the last

Seconds are those of the process, so that other work on the machine counts little; the least of all rounds stands for the
work itself, and the ratio is also given between medians.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import talib

from cli.supervisor.plan import use_kernel_cache

ROWS, LENGTH = 1500, 200
FILES = (
    "binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz",
    "binance_spot_ETHUSDT_1m_2023-03_2023-04.csv.gz",
    "binance_spot_SOLUSDT_1m_2022-11.csv.gz",
)
GOALS = {"newest": 15, "stream": 500}


def windows(folder: Path) -> tuple[Any, Any, Any]:
    """High, low and close of shape (ROWS, LENGTH + 1): the last candle is the one that streams."""
    columns: list[list[Any]] = [[], [], []]
    for name in FILES:
        table = np.loadtxt(folder / "ohlcv" / name, delimiter=",", skiprows=1, usecols=(2, 3, 4))
        starts = np.linspace(0, len(table) - LENGTH - 1, ROWS // len(FILES)).astype(int)
        for values, column in zip(columns, table.T, strict=True):
            values += [column[start : start + LENGTH + 1] for start in starts]
    high, low, close = (np.array(values) for values in columns)
    return high, low, close


def talib_loop(high: Any, low: Any, close: Any) -> None:
    for row in range(ROWS):
        h, x, c = high[row], low[row], close[row]
        talib.RSI(c, 14)
        talib.MACD(c, 12, 26, 9)
        talib.ADX(h, x, c, 14)
        talib.ATR(h, x, c, 14)
        talib.BBANDS(c, 20)


def agree(board: Any, columns: tuple[Any, Any, Any]) -> float:
    """The largest relative difference to TA-Lib over some rows, where TA-Lib has a value; absolute for values about 0."""
    found = board.series(*columns)
    worst = 0.0
    for row in range(0, ROWS, 37):
        h, x, c = (column[row] for column in columns)
        peers = (talib.RSI(c, 14), *talib.MACD(c, 12, 26, 9), talib.ADX(h, x, c, 14), talib.ATR(h, x, c, 14))
        for values, peer in zip(found, peers, strict=False):
            known = ~np.isnan(peer)
            difference = np.abs(values[known, row] - peer[known]) / np.maximum(np.abs(peer[known]), 1e-3 * c.mean())
            worst = max(worst, float(difference.max()))
    return worst


def measure(work: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (run, repeats) in work.items():
            for _ in range(repeats):
                begin = time.process_time_ns()
                run()
                seconds[name].append((time.process_time_ns() - begin) / 1e9)
    return seconds


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    use_kernel_cache()
    from shared.indicators.board import Board

    high, low, close = windows(Path(os.environ["MARKET_DATA"]))
    whole = tuple(np.ascontiguousarray(column[:, :-1]) for column in (high, low, close))
    candle = tuple(np.ascontiguousarray(column[:, -1]) for column in (high, low, close))
    board, streamed = Board(ROWS), Board(ROWS)
    streamed.load(*whole)
    print(f"largest difference to TA-Lib: {agree(board, whole):.1e}")
    seconds = measure(
        {
            "TA-Lib": (lambda: talib_loop(*whole), 1),
            "newest": (lambda: board.load(*whole), 6),
            "last two": (lambda: board.series(*whole, steps=2), 6),
            "series": (lambda: board.series(*whole), 4),
            "stream": (lambda: streamed.update(*candle), 200),
        },
        rounds,
    )
    peer = seconds.pop("TA-Lib")
    print(f"TA-Lib loop: least {min(peer) * 1e3:.1f} ms, median {statistics.median(peer) * 1e3:.1f} ms")
    results: dict[str, Any] = {"TA-Lib": {"least_ms": round(min(peer) * 1e3, 2)}}
    for name, values in seconds.items():
        least, ratio = min(values), min(peer) / min(values)
        medians = statistics.median(peer) / statistics.median(values)
        goal = f", goal {GOALS[name]}" if name in GOALS else ""
        print(f"{name:9} least {least * 1e3:8.4f} ms: {ratio:6.1f} times as fast ({medians:.1f} between medians{goal})")
        results[name] = {
            "least_ms": round(least * 1e3, 4),
            "times": round(ratio, 1),
            "times_medians": round(medians, 1),
        }
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = json.dumps({"machine": machine, "load_average": round(os.getloadavg()[0], 1), "figures": results}, indent=2)
    (Path(__file__).parent / "results" / "indicators.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
