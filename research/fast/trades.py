"""The trades of one strategy over a history as columns, and what they make of an account."""

import msgspec
import numpy as np

from research.fast.accounts import account, measure
from research.fast.life import ENTRY, EXIT, REASON, SIDE
from research.history import FloatArray, IntArray
from research.portfolio import Account


class Trades(msgspec.Struct, frozen=True, kw_only=True):
    """m trades on n candles of the strategy's timeframe.

    close: (n,). rows: (m, TRADE_COLUMNS), see life.py. prices: (m, 2), of entry and exit, as asked. fraction: (m,), of equity.
    closed_at_ms: (m,).
    """

    account: Account
    close: FloatArray
    rows: IntArray
    prices: FloatArray
    fraction: FloatArray
    closed_at_ms: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def opened(self) -> IntArray:
        """Own candle at whose close each was entered."""
        return self.rows[:, ENTRY]

    @property
    def closed(self) -> IntArray:
        """Own candle at or in which each ended."""
        return self.rows[:, EXIT]

    @property
    def side(self) -> IntArray:
        """1 long, -1 short."""
        return self.rows[:, SIDE]

    @property
    def reason(self) -> IntArray:
        """REASON_ values of life.py."""
        return self.rows[:, REASON]

    def accounted(self) -> tuple[FloatArray, FloatArray]:
        """Return of each of the n candles, of the equity, and gain of each trade, of the equity before it; costs paid."""
        returns, gains = np.empty(len(self.close)), np.empty(len(self.rows))
        account(self.close, self.rows, self.prices, self.fraction, *self.account.costs.shares, returns, gains)
        return returns, gains

    def summed(self, first: int) -> FloatArray:
        """What `accounted` gives from candle `first` on, summed up without being written down; see `measure`."""
        out = np.empty(6)
        measure(self.close, self.rows, self.prices, self.fraction, *self.account.costs.shares, first, out)
        return out
