"""A MACD cross with backtesting.py over the first 100,000 bars (its time per bar does not depend on how many). One line of JSON."""

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

BARS = 100_000
VALUES = np.load(sys.argv[1])[:, :BARS]


def histogram(close: Any) -> Any:
    """MACD 12/26 less its signal line."""
    series = pd.Series(close)
    line = series.ewm(span=12, adjust=False).mean() - series.ewm(span=26, adjust=False).mean()
    return line - line.ewm(span=9, adjust=False).mean()


class Cross(Strategy):
    """Long while the histogram is positive."""

    def init(self) -> None:
        """Once."""
        self.value = self.I(histogram, self.data.Close)

    def next(self) -> None:
        """On every bar."""
        if self.value[-1] > 0 >= self.value[-2]:
            self.buy(size=0.5)
        elif self.value[-1] < 0 <= self.value[-2]:
            self.position.close()


frame = pd.DataFrame(dict(zip(("Open", "High", "Low", "Close", "Volume"), VALUES, strict=True)))
frame.index = pd.date_range("2023-01-01", periods=BARS, freq="min")
begin = time.process_time()
Backtest(frame, Cross, cash=1e9, trade_on_close=True).run()
print(json.dumps({"bars_per_second": BARS / (time.process_time() - begin)}))
