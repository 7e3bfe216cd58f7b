"""A strategy's trades over a history by the fast path, where it has one; else by the exact one. The same result either way."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from research.columns import Asked, columns_of
from research.evaluation import evaluate
from research.fast import life, macd
from research.fast.trades import Trades
from research.history import FloatArray, History, IntArray, Series
from research.portfolio import Account
from research.simulation import Simulation
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import Direction
from shared.domain.signals import ExitReason, Signal
from shared.indicators.kernels.trend import ADX_TALIB, adx
from shared.strategies.macd_adx import MacdAdx

_REASONS: Final = {
    ExitReason.STOP_LOSS: life.REASON_STOP,
    ExitReason.TAKE_PROFIT: life.REASON_TARGET,
    ExitReason.EXPIRED: life.REASON_EXPIRED,
    ExitReason.REVERSED: life.REASON_REVERSED,
}

_LEFT_MAX: Final = 1e-6  # of what a window began with, at its end
_SETTLED: Final = 12  # times the lengths: what an average began with is below 1e-10 of itself


class FastPath:
    """One history, many parameter sets: what they share is computed once."""

    def __init__(self, history: History, account: Account) -> None:
        self._history, self._account = history, account
        self._shared: dict[tuple[Any, ...], Any] = {}

    def trades(self, active: ActiveStrategy) -> Trades:
        """By series kernels for `macd_adx` without levels, else on every window by columns, else through Decisions."""
        strategy = active.strategy
        if type(strategy) is MacdAdx and self._has_series(active, strategy):
            return self._lived(active, self._macd_adx(strategy, self._history.series[active.timeframe]))
        found = self.by_columns(active)
        return self.exact(active) if found is None else found

    def by_columns(self, active: ActiveStrategy) -> Trades | None:
        """On every fixed window, its tests recorded as columns; None for a strategy that has no such form."""
        found = columns_of(active, self._history, self._account)
        return None if found is None else self._lived(active, found.asked)

    def exact(self, active: ActiveStrategy) -> Trades:
        """Through Decisions and signals."""
        signals = Simulation([active], self._history).run({active.name: evaluate(active, self._history)}).signals
        return self._of_signals(active, signals)

    def _has_series(self, active: ActiveStrategy, strategy: MacdAdx) -> bool:
        """Where the whole series says what each window would: its first candles are forgotten at its end, and so are those before it.

        Not for long averages, which remember where a window began; nor where a price stands still until every average has come to
        it: whether it is above or below is a matter of the last bits then. Not with levels, which only the windows' path knows.
        """
        own, close = strategy.own, self._history.series[active.timeframe].values[3]
        length = strategy.needs[0].length
        left = (1 - 2 / (max(own.slow, own.signal) + 1)) ** (length - own.slow - own.signal)
        if own.adx_min > 0:
            left = max(left, (1 - 1 / own.adx_period) ** (length - 2 * own.adx_period))
        rest: int = self._kept(("rest", active.timeframe), lambda: macd.longest_rest(close))
        still = rest >= _SETTLED * (own.slow + own.signal)
        return own.take_profit_pct is None and own.stop_loss_pct is None and left <= _LEFT_MAX and not still

    def _macd_adx(self, strategy: MacdAdx, own: Series) -> Asked:
        p, values, first = strategy.own, own.values, strategy.needs[0].length - 1
        at = np.empty(max(len(own) - first, 0) + 1, dtype=np.int64)
        count = macd.macd_crosses(values[3], p.fast, p.slow, p.signal, first, at) if len(own) > first else 0
        # An ADX is never below 0: none is needed then.
        strength = (
            self._kept(
                ("adx", own.timeframe, p.adx_period), lambda: _adx(values[1], values[2], values[3], p.adx_period)
            )
            if p.adx_min > 0
            else np.empty(0)
        )
        sizes = (
            strategy.candles_per_day,
            p.target_daily_volatility,
            p.volatility_mode == "inverse_var",
            p.scale_min,
            p.scale_max,
        )
        rule = np.array([p.adx_min, p.direction == "long_flat", *sizes, p.fraction_min, p.position_fraction_max])
        scales = self._kept(("scales", own.timeframe, p.volatility_candles, *sizes), lambda: np.zeros(len(own)))
        asked, asks, fraction = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64), np.empty(count)
        found = macd.macd_asks(
            at, count, strength, values[3], scales, p.volatility_candles, p.risk_fraction, rule, asked, asks, fraction
        )
        return Asked(asked[:found], asks[:found], fraction[:found])

    def _lived(self, active: ActiveStrategy, asked: Asked) -> Trades:
        history = self._history
        own, base = history.series[active.timeframe], history.series[history.base]
        ratio = active.timeframe.duration_ms // history.base.duration_ms
        rows = np.empty((len(asked.at) + 1, life.TRADE_COLUMNS), dtype=np.int64)
        prices = np.empty((len(rows), 2))
        count = life.live_through(
            asked.at,
            asked.asks,
            len(asked.at),
            asked.levels,
            int((own.open_time_ms[0] - base.open_time_ms[0]) // history.base.duration_ms),
            ratio,
            own.values[3],
            base.values[:4],
            self._barred(active),
            (active.max_age_candles or 0) * ratio,
            active.on_opposite == "close",
            rows,
            prices,
        )
        rows = rows[:count]
        return self._trades_of(active, rows, prices[:count], asked.fraction[rows[:, life.ASK]])

    def _of_signals(self, active: ActiveStrategy, signals: list[Signal]) -> Trades:
        own = self._history.series[active.timeframe]
        base = self._history.series[self._history.base]
        rows = np.zeros((len(signals), life.TRADE_COLUMNS), dtype=np.int64)
        prices = np.zeros((len(signals), 2))
        fraction = np.full(len(signals), self._account.fraction)
        for row, signal in enumerate(signals):
            entry = int(np.searchsorted(own.close_time_ms, signal.opened_at_ms))
            end_ms = signal.exit.closed_at_ms if signal.exit is not None else int(base.close_time_ms[-1])
            after = min(int(np.searchsorted(own.close_time_ms, end_ms)), len(own) - 1)
            at_base = int((end_ms - base.open_time_ms[0]) // self._history.base.duration_ms) - 1
            side = 1 if signal.side is Direction.LONG else -1
            reason = life.REASON_OPEN if signal.exit is None else _REASONS[signal.exit.reason]
            rows[row] = entry, at_base, after, side, reason, row
            prices[row] = signal.entry_price, own.values[3, -1] if signal.exit is None else signal.exit.price
            if signal.sizing is not None:
                fraction[row] = signal.sizing.fraction
        return self._trades_of(active, rows, prices, fraction)

    def _trades_of(self, active: ActiveStrategy, rows: IntArray, prices: FloatArray, fraction: FloatArray) -> Trades:
        base = self._history.series[self._history.base]
        return Trades(
            account=self._account,
            close=self._history.series[active.timeframe].values[3],
            rows=rows,
            prices=prices,
            fraction=fraction,
            closed_at_ms=base.open_time_ms[rows[:, life.EXIT_BASE]] + self._history.base.duration_ms,
        )

    def _barred(self, active: ActiveStrategy) -> npt.NDArray[np.bool_]:
        """Own candles whose windows hold an unusable candle: the quality gate. Empty for none."""
        needs = active.strategy.needs
        found: npt.NDArray[np.bool_] = self._kept(("barred", *needs), lambda: self._history.barred(needs))
        return found

    def _kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


def _adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int) -> FloatArray:
    out, plus, minus = (np.empty(len(close)) for _ in range(3))
    adx(high, low, close, period, ADX_TALIB, plus, minus, out)
    return out
