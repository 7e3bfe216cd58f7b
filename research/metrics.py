"""What a backtest says in numbers, each with the interval that chance alone would give it.

Returns by day (UTC) are resampled in blocks of five days, so that bad weeks stay together; trades one by one. 5 % to 95 %.
Below 30 trades nothing is said but `not enough data`: so few tell nothing about the next ones.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from research.history import FloatArray, IntArray
from research.portfolio import Book
from shared.domain.timeframe import DAY_MS

TRADES_MIN: Final = 30
NOT_ENOUGH: Final = "not enough data"
RESAMPLES: Final = 1_000
BLOCK_DAYS: Final = 5
DAYS_PER_YEAR: Final = 365.0  # these markets never close
_LOW, _HIGH = 5.0, 95.0
_SEED: Final = 20261120


def metrics_of(book: Book, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """By name: value, low, high; with counts. Shares in percent."""
    days, exposed = (
        daily_returns(book.closes_ms, book.equity, book.account.start_cash),
        _by_day(book.closes_ms, book.exposure),
    )
    gains = np.array([float(trade.profit) for trade in book.trades])
    fees = np.array([float(trade.fees) for trade in book.trades])
    turned = np.array([float(trade.quantity * (trade.entry_price + trade.exit_price)) for trade in book.trades])
    found: dict[str, Any] = {"trades": len(gains), "days": len(days)}
    if len(gains) < TRADES_MIN:
        return {**found, "note": f"{NOT_ENOUGH}: {len(gains)} trades, at least {TRADES_MIN} are needed"}
    random = np.random.default_rng(_SEED)
    by_day: dict[str, Callable[[FloatArray], FloatArray]] = {
        "return_pct": total_return_pct,
        "cagr_pct": cagr_pct,
        "sharpe": sharpe,
        "sortino": sortino,
        "max_drawdown_pct": max_drawdown_pct,
    }
    picked = _blocks(random, len(days), resamples)
    for name, measure in by_day.items():
        found[name] = _with_interval(measure(days[None, :]), measure(days[picked]))
    found["exposure_pct"] = _with_interval(_mean_pct(exposed[None, :]), _mean_pct(exposed[picked]))
    per_year = turned.sum() / book.account.start_cash / max(len(days), 1) * DAYS_PER_YEAR
    again = random.integers(0, len(gains), (resamples, len(gains)))
    found["turnover_per_year"] = _with_interval(
        np.array([per_year]), turned[again].sum(axis=1) / turned.sum() * per_year
    )
    found["hit_rate_pct"] = _with_interval(_mean_pct(gains[None, :] > 0), _mean_pct(gains[again] > 0))
    found["fees_of_gross_pct"] = _with_interval(
        fees_of_gross_pct(gains[None, :], fees[None, :]), fees_of_gross_pct(gains[again], fees[again])
    )
    return found


def daily_returns(closes_ms: IntArray, equity: FloatArray, start: float) -> FloatArray:
    """Return of each UTC day that has a close: its last equity over that of the day before (the first day: the start)."""
    if not len(closes_ms):
        return np.empty(0)
    day = (closes_ms - 1) // DAY_MS  # the last candle before midnight closes at it
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    before = np.concatenate([[start], equity[last][:-1]])
    returns: FloatArray = equity[last] / np.maximum(before, 1e-9) - 1.0
    return returns


def total_return_pct(days: FloatArray) -> FloatArray:
    """Of each row of daily returns."""
    found: FloatArray = 100.0 * (np.prod(1.0 + days, axis=1) - 1.0)
    return found


def cagr_pct(days: FloatArray) -> FloatArray:
    """Compound return per year; -100 where nothing is left."""
    whole = np.maximum(np.prod(1.0 + days, axis=1), 0.0)
    found: FloatArray = 100.0 * (whole ** (DAYS_PER_YEAR / days.shape[1]) - 1.0)
    return found


def sharpe(days: FloatArray) -> FloatArray:
    """Mean over sample deviation of daily returns, per year; 0 where nothing moves."""
    if days.shape[1] < 2:  # noqa: PLR2004 - one day has no deviation
        return np.zeros(len(days))
    return _ratio(days.mean(axis=1), days.std(axis=1, ddof=1))


def sortino(days: FloatArray) -> FloatArray:
    """Mean over downside deviation (root mean square of the losses over all days), per year."""
    return _ratio(days.mean(axis=1), np.sqrt((np.minimum(days, 0.0) ** 2).mean(axis=1)))


def max_drawdown_pct(days: FloatArray) -> FloatArray:
    """The deepest fall below the highest equity before it, as a positive share, from day to day."""
    curve = np.cumprod(1.0 + days, axis=1)
    peak = np.maximum(np.maximum.accumulate(curve, axis=1), 1.0)
    found: FloatArray = 100.0 * (1.0 - curve / peak).max(axis=1)
    return found


def fees_of_gross_pct(gains: FloatArray, fees: FloatArray) -> FloatArray:
    """Fees in percent of what winners made before fees; 0 without winners."""
    gross = (np.maximum(gains + fees, 0.0)).sum(axis=1)
    found: FloatArray = 100.0 * np.divide(fees.sum(axis=1), gross, out=np.zeros(len(gross)), where=gross > 0)
    return found


def _ratio(mean: FloatArray, deviation: FloatArray) -> FloatArray:
    ratio = np.divide(mean, deviation, out=np.zeros(len(mean)), where=deviation > 0)
    found: FloatArray = ratio * np.sqrt(DAYS_PER_YEAR)
    return found


def _mean_pct(values: Any) -> FloatArray:
    found: FloatArray = 100.0 * values.mean(axis=1)
    return found


def _by_day(closes_ms: IntArray, values: FloatArray) -> FloatArray:
    """Share of each day's closes at which anything is held."""
    if not len(closes_ms):
        return np.empty(0)
    day = (closes_ms - 1) // DAY_MS
    first = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    counts = np.diff(np.append(first, len(day)))
    held: FloatArray = np.add.reduceat((values > 0).astype(np.float64), first) / counts
    return held


def _blocks(random: np.random.Generator, days: int, resamples: int) -> IntArray:
    """Rows of day indices: blocks of consecutive days (around the end) from random places."""
    count = -(-days // BLOCK_DAYS)
    starts = random.integers(0, days, (resamples, count, 1))
    return ((starts + np.arange(BLOCK_DAYS)) % days).reshape(resamples, -1)[:, :days]


def _with_interval(value: FloatArray, resampled: FloatArray) -> dict[str, float]:
    low, high = np.percentile(resampled, [_LOW, _HIGH])
    return {"value": round(float(value[0]), 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def monthly_returns(closes_ms: IntArray, equity: FloatArray, start: float) -> dict[str, float]:
    """Return in percent by month, `2023-03` say."""
    if not len(closes_ms):
        return {}
    months = ((closes_ms - 1).astype("datetime64[ms]")).astype("datetime64[M]")
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    before = np.concatenate([[start], equity[last][:-1]])
    changes = 100.0 * (equity[last] / np.maximum(before, 1e-9) - 1.0)
    return dict(zip(months[last].astype(str).tolist(), changes.tolist(), strict=True))
