"""A MACD cross with vectorbt: one pair of lengths over all bars, and 100 over 100,000. Prints one line of JSON."""

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

CLOSE = np.load(sys.argv[1])[3]
SETS = 100  # so many at once; a thousand need gigabytes


def run(close: Any, fast: Any, slow: Any, signal: Any) -> Any:
    """Entries where the histogram turns positive, exits where it turns negative."""
    macd = vbt.MACD.run(close, fast_window=fast, slow_window=slow, signal_window=signal, macd_ewm=True, signal_ewm=True)
    entries, exits = macd.macd_crossed_above(macd.signal), macd.macd_crossed_below(macd.signal)
    return vbt.Portfolio.from_signals(close, entries, exits, fees=0.0, freq="1min").total_return()


def main() -> None:
    """Warm up (it compiles), then the best of three."""
    year = pd.Series(CLOSE, index=pd.date_range("2023-01-01", periods=len(CLOSE), freq="min"))
    run(year[:5_000], 12, 26, 9)
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        run(year, 12, 26, 9)
        seconds.append(time.process_time() - begin)
    short = year[:100_000]
    sets = [(5 + i % 10, 20 + 2 * (i // 10 % 10), 5 + i % 7) for i in range(SETS)]
    fast, slow, signal = (list(values) for values in zip(*sets, strict=True))
    run(short[:5_000], fast, slow, signal)
    begin = time.process_time()
    run(short, fast, slow, signal)
    swept = time.process_time() - begin
    print(json.dumps({"bars_per_second": len(CLOSE) / min(seconds), "combinations_per_second": SETS / swept}))


main()
