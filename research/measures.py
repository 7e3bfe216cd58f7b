"""A set of trades in a few numbers, for comparing many of them: by candle, not by day, as the reference's walk-forward does."""

import msgspec
import numpy as np

from research.fast import life
from research.fast.trades import Trades
from research.history import FloatArray
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
    return float(returns.mean()) / deviation * _per_year(timeframe) if deviation > 0 else 0.0


def measured_trades(trades: Trades, timeframe: Timeframe, first: int) -> Measures:
    """The same of all trades from candle `first` on, without an array of returns."""
    mean, deviation, equity, fall, winners, held = trades.summed(first).tolist()
    count = len(trades.close) - first
    return Measures(
        trades=len(trades),
        sharpe=mean / deviation * _per_year(timeframe) if deviation > 0 else 0.0,
        return_pct=100.0 * (equity - 1.0),
        max_drawdown_pct=100.0 * fall,
        hit_rate_pct=100.0 * winners / len(trades) if len(trades) else 0.0,
        exposure_pct=100.0 * held / count if count > 0 else 0.0,
    )


def _per_year(timeframe: Timeframe) -> float:
    return float(np.sqrt(_DAYS * DAY_MS / timeframe.duration_ms))


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Returns and gains of the trades inside [begin, end) own candles."""

    returns: FloatArray
    gains: FloatArray
    held: int


def cut(trades: Trades, begin: int, end: int, *, whole: bool) -> Cut:
    """What the trades opened in [begin, end) make until end.

    whole: only trades that also end inside (training: nothing of what comes later is known). Else one that outlives the
    end is closed there, at the close and its costs.
    """
    inside = (trades.opened >= begin) & (trades.opened < end - 1)
    if whole:
        inside &= trades.closed < end
    rows, prices = trades.rows[inside], trades.prices[inside]
    late = rows[:, life.EXIT] >= end
    prices[late, 1], rows[late, life.REASON] = trades.close[end - 1], life.REASON_REVERSED
    rows[late, life.EXIT] = end - 1
    rows[:, [life.ENTRY, life.EXIT]] -= begin
    part = msgspec.structs.replace(
        trades, close=trades.close[begin:end], rows=rows, prices=prices, fraction=trades.fraction[inside]
    )
    returns, gains = part.accounted()
    return Cut(returns=returns, gains=gains, held=int((part.closed - part.opened).sum()))
