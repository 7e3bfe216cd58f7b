"""A strategy's trades over a history by the fast path, where it has one; else by the exact one. The same result either way."""

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from research.evaluation import evaluate
from research.fast import kernels
from research.history import FloatArray, History, IntArray
from research.portfolio import Account
from research.simulation import Simulation
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import Direction
from shared.domain.signals import ExitReason, Signal
from shared.domain.timeframe import Timeframe
from shared.indicators.kernels.trend import ADX_TALIB, adx
from shared.strategies.macd_adx import MacdAdx

_REASONS: Final = {
    ExitReason.STOP_LOSS: kernels.REASON_STOP,
    ExitReason.TAKE_PROFIT: kernels.REASON_TARGET,
    ExitReason.EXPIRED: kernels.REASON_EXPIRED,
    ExitReason.REVERSED: kernels.REASON_REVERSED,
}


class Trades(msgspec.Struct, frozen=True, kw_only=True):
    """m trades on n candles of the strategy's timeframe. opened, closed: indices of own candles. prices: (m, 2), as asked.

    fraction: (n,), of equity, by the candle of the entry.
    returns: (n,), of the equity, costs paid. gains: (m,).
    """

    closes_ms: IntArray
    opened: IntArray
    closed: IntArray
    closed_at_ms: IntArray
    side: IntArray
    reason: IntArray
    prices: FloatArray
    fraction: FloatArray
    returns: FloatArray
    gains: FloatArray

    @property
    def held(self) -> int:
        """Candles with a position."""
        return int((self.closed - self.opened).sum())


class FastPath:
    """One history, many parameter sets: what they share is computed once."""

    def __init__(self, history: History, account: Account) -> None:
        self._history, self._account = history, account
        self._shared: dict[tuple[Any, ...], Any] = {}

    def trades(self, active: ActiveStrategy) -> Trades:
        """By series kernels for `macd_adx` without levels, else by the exact path."""
        strategy = active.strategy
        if (
            isinstance(strategy, MacdAdx)
            and strategy.own.take_profit_pct is None
            and strategy.own.stop_loss_pct is None
        ):
            return self._macd_adx(active, strategy)
        return self.exact(active)

    def exact(self, active: ActiveStrategy) -> Trades:
        """Through Decisions and signals."""
        signals = Simulation([active], self._history).run({active.name: evaluate(active, self._history)}).signals
        return self._of_signals(active, signals)

    def _macd_adx(self, active: ActiveStrategy, strategy: MacdAdx) -> Trades:
        values = self._history.series[active.timeframe].values
        p = strategy.own
        high, low, close = values[1], values[2], values[3]
        n, first = len(close), strategy.needs[0].length - 1
        period = p.adx_period if p.adx_min > 0 else 0  # an ADX is never below 0: none is needed then
        strength = self._kept(("adx", period), lambda: _adx(high, low, close, period) if period else np.zeros(n))
        names = ("volatility_candles", "volatility_mode", "target_daily_volatility", "scale_min", "scale_max")
        key = ("scale", *(getattr(p, name) for name in names))
        scale = self._kept(key, lambda: _scales(strategy, close))
        asks = self._kept(("asks", n), lambda: np.empty(n, dtype=np.int64))  # written anew by every call
        flat = p.direction == "long_flat"
        kernels.macd_asks(close, strength, scale, p.fast, p.slow, p.signal, first, p.adx_min, flat, asks)
        sized = ("fraction", *key, p.fraction_min, p.position_fraction_max, p.risk_fraction)
        fraction = self._kept(
            sized, lambda: np.maximum(p.fraction_min, np.minimum(p.position_fraction_max, p.risk_fraction * scale))
        )
        none = self._kept(("none",), lambda: np.full(n, np.nan))
        return self._lived(active, asks, none, none, fraction)

    def _lived(
        self, active: ActiveStrategy, asks: IntArray, stop: FloatArray, target: FloatArray, fraction: FloatArray
    ) -> Trades:
        history = self._history
        own, base = history.series[active.timeframe], history.series[history.base]
        close = own.values[3]
        base_end = self._kept(
            ("base_end", active.timeframe),
            lambda: (own.close_time_ms - base.open_time_ms[0]) // history.base.duration_ms,
        )
        # Kept and copied from: fresh pages cost more than what is written on them.
        rows = len(close) + 1
        trades = self._kept(("trades", rows), lambda: np.zeros((rows, kernels.TRADE_COLUMNS), dtype=np.int64))
        prices = self._kept(("prices", rows), lambda: np.zeros((rows, 2)))
        ratio = active.timeframe.duration_ms // history.base.duration_ms
        count = kernels.live_through(
            asks,
            base_end,
            close,
            stop,
            target,
            base.values[:4],
            self._barred(active),
            (active.max_age_candles or 0) * ratio,
            active.on_opposite == "close",
            trades,
            prices,
        )
        return self._accounted(active, trades[:count].copy(), prices[:count].copy(), fraction)

    def _of_signals(self, active: ActiveStrategy, signals: list[Signal]) -> Trades:
        own = self._history.series[active.timeframe]
        base = self._history.series[self._history.base]
        trades = np.zeros((len(signals), kernels.TRADE_COLUMNS), dtype=np.int64)
        prices = np.zeros((len(signals), 2))
        fraction = np.full(len(own), self._account.fraction)
        for row, signal in enumerate(signals):
            entry = int(np.searchsorted(own.close_time_ms, signal.opened_at_ms))
            end_ms = signal.exit.closed_at_ms if signal.exit is not None else int(own.close_time_ms[-1])
            after = min(int(np.searchsorted(own.close_time_ms, end_ms)), len(own) - 1)
            at_base = int((end_ms - base.open_time_ms[0]) // self._history.base.duration_ms) - 1
            side = 1 if signal.side is Direction.LONG else -1
            reason = kernels.REASON_OPEN if signal.exit is None else _REASONS[signal.exit.reason]
            trades[row] = entry, at_base, after, side, reason, 0
            prices[row] = signal.entry_price, own.values[3, -1] if signal.exit is None else signal.exit.price
            if signal.sizing is not None:
                fraction[entry] = signal.sizing.fraction
        return self._accounted(active, trades, prices, fraction)

    def _accounted(self, active: ActiveStrategy, trades: IntArray, prices: FloatArray, fraction: FloatArray) -> Trades:
        own = self._history.series[active.timeframe]
        base = self._history.series[self._history.base]
        close = own.values[3]
        costs = self._account.costs
        returns, gains = np.empty(len(close)), np.empty(len(trades))
        fee, worse = costs.fee_bps / 1e4, (costs.spread_bps / 2 + costs.slippage_bps) / 1e4
        rows = np.ascontiguousarray(trades)
        kernels.account(close, rows, np.ascontiguousarray(prices), fraction, len(rows), fee, worse, returns, gains)
        return Trades(
            closes_ms=own.close_time_ms,
            opened=rows[:, 0],
            closed=rows[:, 2],
            closed_at_ms=base.close_time_ms[rows[:, 1]],
            side=rows[:, 3],
            reason=rows[:, 4],
            prices=prices,
            fraction=fraction,
            returns=returns,
            gains=gains,
        )

    def _barred(self, active: ActiveStrategy) -> npt.NDArray[np.bool_]:
        """Own candles whose window holds an unusable candle: the quality gate."""
        length = active.strategy.needs[0].length
        found: npt.NDArray[np.bool_] = self._kept(
            ("barred", active.timeframe, length), lambda: self._barred_by(active.timeframe, length)
        )
        return found

    def _barred_by(self, timeframe: Timeframe, length: int) -> npt.NDArray[np.bool_]:
        own = self._history.series[timeframe]
        counts = np.concatenate([[0], np.cumsum(own.unusable)])
        first = np.maximum(np.arange(1, len(own) + 1) - length, 0)
        found: npt.NDArray[np.bool_] = counts[1:] > counts[first]
        return found

    def _kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


def _adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int) -> FloatArray:
    out, plus, minus = (np.empty(len(close)) for _ in range(3))
    adx(high, low, close, period, ADX_TALIB, plus, minus, out)
    return out


def _scales(strategy: MacdAdx, close: FloatArray) -> FloatArray:
    """The strategy's volatility scale on every candle, as MacdAdx.scale has it for one."""
    own = strategy.own
    deviation, squares = np.empty(len(close)), np.empty(len(close))
    kernels.return_deviations(close, own.volatility_candles, deviation, squares)
    by_day = deviation * math.sqrt(strategy.candles_per_day)
    with np.errstate(divide="ignore", invalid="ignore"):  # no movement at all: no scale, as below
        raw = own.target_daily_volatility / by_day
        if own.volatility_mode == "inverse_var":
            raw = own.target_daily_volatility**2 / (squares * strategy.candles_per_day)
    moving = (by_day > 0) & np.isfinite(by_day)
    found: FloatArray = np.where(moving, np.minimum(np.maximum(raw, own.scale_min), own.scale_max), 0.0)
    return found
