"""A set of trades in a few numbers, for comparing many of them: by candle, not by day, as the reference's walk-forward does."""

import msgspec
import numpy as np

from research.fast import kernels
from research.fast.path import Trades
from research.history import FloatArray
from research.portfolio import Account
from shared.domain.timeframe import DAY_MS, Timeframe

_DAYS = 365.0


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the trades of one parameter set. sharpe: of the candles' returns, per year."""

    trades: int
    sharpe: float
    return_pct: float
    max_drawdown_pct: float
    hit_rate_pct: float
    exposure_pct: float


def measured(returns: FloatArray, gains: FloatArray, held: int, timeframe: Timeframe) -> Measures:
    """returns: of n candles. gains: of the trades. held: candles with a position."""
    curve = np.cumprod(1.0 + returns)
    peak = np.maximum(np.maximum.accumulate(curve), 1.0) if len(curve) else curve
    return Measures(
        trades=len(gains),
        sharpe=sharpe_of(returns, timeframe),
        return_pct=100.0 * (float(curve[-1]) - 1.0) if len(curve) else 0.0,
        max_drawdown_pct=100.0 * float((1.0 - curve / peak).max()) if len(curve) else 0.0,
        hit_rate_pct=100.0 * float((gains > 0).mean()) if len(gains) else 0.0,
        exposure_pct=100.0 * held / len(returns) if len(returns) else 0.0,
    )


def sharpe_of(returns: FloatArray, timeframe: Timeframe) -> float:
    """Mean over sample deviation, per year; 0 where nothing moves."""
    if len(returns) < 2:  # noqa: PLR2004 - one return has no deviation
        return 0.0
    deviation = float(returns.std(ddof=1))
    per_year = _DAYS * DAY_MS / timeframe.duration_ms
    return float(returns.mean()) / deviation * float(np.sqrt(per_year)) if deviation > 0 else 0.0


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Returns and gains of the trades inside [begin, end) own candles."""

    returns: FloatArray
    gains: FloatArray
    held: int


def cut(trades: Trades, close: FloatArray, account: Account, begin: int, end: int, *, whole: bool) -> Cut:
    """What the trades opened in [begin, end) make until end.

    whole: only trades that also end inside (training: nothing of what comes later is known). Else one that outlives the
    end is closed there, at the close and its costs.
    """
    inside = (trades.opened >= begin) & (trades.opened < end - 1)
    if whole:
        inside &= trades.closed < end
    rows = np.zeros((int(inside.sum()), kernels.TRADE_COLUMNS), dtype=np.int64)
    rows[:, 0] = trades.opened[inside] - begin
    rows[:, 2] = np.minimum(trades.closed[inside], end - 1) - begin
    rows[:, 3], rows[:, 4] = trades.side[inside], trades.reason[inside]
    prices = np.ascontiguousarray(trades.prices[inside])
    late = trades.closed[inside] >= end
    prices[late, 1], rows[late, 4] = close[end - 1], kernels.REASON_REVERSED
    part = np.ascontiguousarray(close[begin:end])
    returns, gains = np.empty(end - begin), np.empty(len(rows))
    fraction = np.ascontiguousarray(trades.fraction[begin:end])
    costs = account.costs
    fee, worse = costs.fee_bps / 1e4, (costs.spread_bps / 2 + costs.slippage_bps) / 1e4
    kernels.account(part, rows, prices, fraction, len(rows), fee, worse, returns, gains)
    return Cut(returns=returns, gains=gains, held=int((rows[:, 2] - rows[:, 0]).sum()))
