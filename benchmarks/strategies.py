"""What deciding costs: every strategy on every timeframe of 300 symbols when an hour closes, and the windows' memory.

python -m benchmarks.strategies [symbols]. One core. `windows to Decisions` begins with windows that hold the hour's candles
and ends with Decision objects: windows cut and named by digest, every strategy evaluated, conditions, scores, gates. It is
what the logic engine does between a candle and its store. Also: the logic engine's start to ready, with a warm cache.
"""

# ruff: noqa: SLF001 - rows are put in place without making a million candles
import gc
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from shared.deciding.active import ActiveStrategy, active_strategy
from shared.deciding.decide import Moment, decide
from shared.domain.bias import bias_in_force
from shared.domain.decisions import Decision
from shared.domain.timeframe import Timeframe
from shared.indicators import compilations
from shared.runtime.config import load_config
from shared.strategies.registry import warm_up
from shared.strategies.windows import Windows, WindowTable, candle_mark

ROUNDS = 21
VENUE = "bybit-linear"
ALL = "config/all-strategies.yaml"
HOUR_CLOSE_MS = 1_700_000_000_000 // 86_400_000 * 86_400_000 + 7 * 3_600_000  # 07:00: an hour closes, four do not
SINGLE = ("rsi_divergence", "macd_adx", "ema_cross", "rsi_momentum", "bollinger", "ema_atr", "donchian", "supertrend", "continuation", "reversal")  # fmt: skip
CLOSING = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1)
LENGTHS = {Timeframe.D1: 360, Timeframe.W1: 60}


def tables(symbols: list[str]) -> dict[Timeframe, WindowTable]:
    """Windows of every timeframe, as long as any strategy wants them, that end at the last close of each."""
    chance = np.random.default_rng(1)
    found = {}
    for timeframe in Timeframe:
        length = LENGTHS.get(timeframe, 360)
        table = WindowTable(timeframe, length)
        newest_ms = timeframe.open_time_ms(HOUR_CLOSE_MS) - timeframe.duration_ms
        for symbol in symbols:
            close = 100 * np.exp(np.cumsum(chance.normal(0, 0.004, length)))
            fill(table, symbol, newest_ms, close, chance.exponential(5.0, length))
        found[timeframe] = table
    return found


def fill(table: WindowTable, symbol: str, newest_ms: int, close: np.ndarray, volume: np.ndarray) -> None:
    """Put one row in place without 300 x 8 x 360 candle objects; the arrays are the table's own."""
    row = table._row((VENUE, symbol))
    length = table.length
    opened = np.concatenate([close[:1], close[:-1]])
    values = (opened, np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999, close, volume)
    table._values[:, row, :length] = np.array(values)
    table._open_ms[row, :length] = newest_ms + (np.arange(length) - length + 1) * table.timeframe.duration_ms
    table._revision[row, :length] = 1
    table._mark[row, :length] = [
        candle_mark(at, one) for at, one in zip(table._open_ms[row].tolist(), np.array(values).T.tolist(), strict=False)
    ]
    table._end[row] = table._count[row] = length
    table._newest_ms[row] = newest_ms


def decided(
    strategies: list[ActiveStrategy], windows: dict[Timeframe, WindowTable], symbols: list[str]
) -> list[Decision]:
    series = [(VENUE, symbol) for symbol in symbols]
    moment = Moment(close_time_ms=HOUR_CLOSE_MS, market_ms=HOUR_CLOSE_MS, entry_freshness_ms=120_000)
    biases = [bias_in_force([], HOUR_CLOSE_MS)] * len(series)
    made: list[Decision] = []
    for active in strategies:
        cut: dict[Timeframe, Windows] = {
            need.timeframe: windows[need.timeframe].windows(series, need.length) for need in active.strategy.needs
        }
        made += decide(active, series, cut, biases, moment)
    return made


def timed(strategies: list[ActiveStrategy], windows: dict[Timeframe, WindowTable], symbols: list[str]) -> str:
    taken = []
    count = 0
    spent = []
    for _ in range(ROUNDS):
        for table in windows.values():
            table._changed()  # as every new candle does
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        count = len(decided(strategies, windows, symbols))
        taken.append((time.perf_counter() - begin) * 1000)
        spent.append((time.thread_time() - begin_cpu) * 1000)
    wall = f"median {statistics.median(taken):.1f} ms, best {min(taken):.1f} ms"
    return f"{count:,} Decisions, {wall} (of this core: median {statistics.median(spent):.1f}, best {min(spent):.1f})"


def configured() -> list[ActiveStrategy]:
    """Those of config/all-strategies.yaml that decide when an hour closes."""
    return [
        active_strategy(item.name, item.timeframe, item.parameters, kind=item.kind)
        for item in load_config(ALL).strategies
        if item.timeframe.closes_at(HOUR_CLOSE_MS)
    ]


def everywhere() -> list[ActiveStrategy]:
    """Every strategy of one timeframe on each of the five that close, and those of several timeframes."""
    found = [active_strategy(f"{kind}_{t}", t, kind=kind) for t in CLOSING for kind in SINGLE]
    return [*found, active_strategy("macd_unified", Timeframe.M15), active_strategy("mtf_score", Timeframe.M15)]


def start_seconds() -> list[str]:
    """Process start to kernels ready, strategies built and probed, as the service does it."""
    code = (
        "from pathlib import Path\n"
        "import services.logic_engine.main\n"
        "from services.logic_engine.kernels import load_kernels\n"
        "from services.logic_engine.configured import active_strategies\n"
        "from shared.runtime.config import load_config\n"
        "compiled = load_kernels(Path(__import__('os').environ['NUMBA_CACHE_DIR']), require_compiled=False)\n"
        f"active_strategies(load_config('{ALL}'))\n"
        "print(compiled)"
    )
    found = []
    for attempt in range(4):
        begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        if attempt:  # the first may fill the cache
            found.append(f"{time.perf_counter() - begin:.2f} s ({cpu:.2f} s of a core, {done.stdout.strip()} compiled)")
    return found


def main() -> None:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(".cache/kernels").resolve()))
    symbols = [f"S{number:03d}USDT" for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 300)]
    warm_up()
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    windows = tables(symbols)
    arrays = [array for table in windows.values() for array in (table._values, table._open_ms, table._revision, table._unusable, table._mark)]  # fmt: skip
    held_mb = sum(array.nbytes for array in arrays) / 1e6
    after_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"windows: {len(symbols)} symbols x {len(windows)} timeframes: {held_mb:.0f} MB of arrays, resident +{after_mb - before_mb:.0f} MB")  # fmt: skip
    chosen, all_of_them = configured(), everywhere()
    compiled = compilations()
    gc.collect()
    gc.freeze()
    print(f"config/all-strategies.yaml, {len(chosen)} strategies due: {timed(chosen, windows, symbols)}")
    print(f"every strategy on every timeframe, {len(all_of_them)} pairs: {timed(all_of_them, windows, symbols)}")
    print(f"kernels compiled meanwhile: {compilations() - compiled}")
    print(f"logic engine, start to strategies ready, warm: {'; '.join(start_seconds())}")


if __name__ == "__main__":
    main()
