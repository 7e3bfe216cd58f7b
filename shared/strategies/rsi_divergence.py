"""`rsi_divergence`, the "v5.2 Champion": RSI at an extreme on a volume spike, a regular divergence, or either.

extreme (default): long where RSI(14) <= 25 and volume > 1.5 x SMA20(volume, current candle included); short where
                   RSI >= 75 on the same spike. This is what the reference system does.
divergence:        long where the last candle confirms a swing low (swing_bars on each side, hence known swing_bars candles
                   after the low itself) that is lower in price and higher in RSI than the swing low before it, the later
                   one with RSI <= oversold + swing_near; short mirrored on swing highs.
both:              either rule; where the two contradict each other, nothing.
Entry is the candle's close; take-profit and stop are shares of it, or (`levels: atr`) multiples of ATR(14).
exhaustion_min: an entry then also needs so many of: RSI(7) < 20 (short: > 80); volume < 0.75 EMA20(volume); a double wick (both
last candles' wicks > 60 % of their range, their ends within 0.1 %). The reference's fourth, the order book, is not in candles.
trailing: a stop follows the best price at max(0.3 %, min(1 %, 0.5 ATR)). time_exit_minutes: so long after the entry the
signal ends at a close with less than `time_exit_below_pct` gain. Size: `risk_pct` of `equity` at the stop, with the strategy's
open signals at most `open_risk_pct_max`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from shared.domain.bias import Direction
from shared.domain.checks import require
from shared.domain.decisions import Action, Condition
from shared.domain.timeframe import Timeframe
from shared.strategies.base import (
    WINDOW_LENGTH,
    BaseStrategy,
    Outcome,
    WindowColumns,
)
from shared.strategies.levels import percent_levels
from shared.strategies.verdicts import rounded

_BULLISH, _BEARISH = 3, 7  # columns of the kernel's result, see rsi_divergence_kernel (not imported: it imports Numba)
_RSI_SHORT, _VOLUME_EMA, _ATR, _WICK_LOW, _WICK_HIGH = range(11, 16)
_FIGURES = 16


class RsiDivergenceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters with their ranges; the defaults are the reference system's."""

    mode: Literal["extreme", "divergence", "both"] = "extreme"
    rsi_period: int = 14
    oversold: float = 25.0
    overbought: float = 75.0
    volume_window: int = 20
    volume_factor: float = 1.5
    swing_bars: int = 3
    swing_distance_max: int = 60
    swing_near: float = 10.0
    take_profit_pct: float = 1.5
    stop_loss_pct: float = 0.7
    exhaustion_min: int = 0
    levels: Literal["percent", "atr"] = "percent"
    take_profit_atr: float = 2.0
    stop_loss_atr: float = 1.0
    trailing: bool = False
    time_exit_minutes: float | None = None
    time_exit_below_pct: float = 0.4
    equity: float = 10_000.0
    risk_pct: float = 0.5
    open_risk_pct_max: float = 2.0

    def __post_init__(self) -> None:
        place = "parameters of strategy rsi_divergence"
        ranges: tuple[tuple[str, float, float], ...] = (
            ("rsi_period", 2, WINDOW_LENGTH // 2),
            ("oversold", 1, 49),
            ("overbought", 51, 99),
            ("volume_window", 1, WINDOW_LENGTH),
            ("volume_factor", 0, 100),
            ("swing_bars", 1, 20),
            ("swing_distance_max", 2, WINDOW_LENGTH),
            ("swing_near", 0, 50),
            ("take_profit_pct", 0.01, 50),
            ("stop_loss_pct", 0.01, 50),
            ("exhaustion_min", 0, 3),
            ("take_profit_atr", 0.1, 20),
            ("stop_loss_atr", 0.1, 20),
            ("time_exit_below_pct", 0, 50),
            ("equity", 1, 1e12),
            ("risk_pct", 0.01, 5),
            ("open_risk_pct_max", 0.01, 100),
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            require(low <= value <= high, f"{name} must be {low:g}..{high:g}", value, place)
        minutes = self.time_exit_minutes
        require(minutes is None or 1 <= minutes <= 100_000, "time_exit_minutes must be 1..100000", minutes, place)  # noqa: PLR2004 - stated


class RsiDivergence(BaseStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "rsi_divergence"

    PARAMETERS: ClassVar[type[msgspec.Struct]] = RsiDivergenceParameters

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        self._scores: dict[tuple[bool, ...], tuple[float, dict[str, float]]] = {}

    def outcomes(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One kernel call over all rows, then one verdict per row."""
        columns = windows[self.needs[0].timeframe]
        figures = self._figures(columns).tolist()
        closes = columns.close[:, -1].tolist()
        return [self._verdict(row, close) for row, close in zip(figures, closes, strict=True)]

    def _figures(self, columns: WindowColumns) -> Any:
        from shared.strategies.rsi_divergence_kernel import rsi_divergence_figures

        own = self.own
        rsi, mean = np.empty_like(columns.close), np.empty_like(columns.close)
        out = np.empty((len(columns.close), _FIGURES))
        rsi_divergence_figures(
            columns.open,
            columns.high,
            columns.low,
            columns.close,
            columns.volume,
            own.rsi_period,
            own.volume_window,
            own.swing_bars,
            own.swing_distance_max,
            bool(own.exhaustion_min) or own.levels == "atr" or own.trailing,
            rsi,
            mean,
            out,
        )
        return out

    def _verdict(self, figures: list[float], close: float) -> Outcome:
        conditions: list[Condition] = []
        longs: list[str] = []
        shorts: list[str] = []
        fired = {Direction.LONG: longs, Direction.SHORT: shorts}
        if self.own.mode != "divergence":
            self._extreme(figures, conditions, fired)
        if self.own.mode != "extreme":
            self._divergence(figures, conditions, fired)
        if self.own.exhaustion_min:
            self._exhaustion(figures, conditions, fired)
        score, components = self._scored(conditions)
        if bool(longs) == bool(shorts):
            return Outcome(
                action=Action.NONE, trigger="", conditions=tuple(conditions), score=score, components=components
            )
        side = Direction.LONG if longs else Direction.SHORT
        take_profit, stop_loss = self._levels(close, side, figures[_ATR])
        return Outcome(
            action=Action.ENTER_LONG if longs else Action.ENTER_SHORT,
            trigger="+".join(longs or shorts),
            conditions=tuple(conditions),
            take_profit=take_profit,
            stop_loss=stop_loss,
            score=score,
            components=components,
            trail_pct=max(0.3, min(1.0, 50 * figures[_ATR] / close)) if self.own.trailing else None,
        )

    def _scored(self, conditions: list[Condition]) -> tuple[float, dict[str, float]]:
        """The tests are the same at every candle, so that which of them pass says it all."""
        passed = tuple([test.passed for test in conditions])
        known = self._scores.get(passed)
        if known is None:
            known = self._scores[passed] = _score(conditions)
        return known

    def _levels(self, close: float, side: Direction, reach: float) -> tuple[float | None, float | None]:
        own = self.own
        if own.levels == "percent":
            return percent_levels(close, side, own.take_profit_pct, own.stop_loss_pct)
        sign = 1 if side is Direction.LONG else -1
        target, stop = close + sign * own.take_profit_atr * reach, close - sign * own.stop_loss_atr * reach
        # Without any range there is no distance; a target below zero is none.
        return (rounded(target) if target > 0 and reach > 0 else None), (
            rounded(stop) if stop > 0 and reach > 0 else None
        )

    def _exhaustion(self, figures: list[float], conditions: list[Condition], fired: dict[Direction, list[str]]) -> None:
        """Each side keeps what fired only with enough signs of exhaustion."""
        quiet = _below("exhaustion_volume", figures[1], 0.75 * figures[_VOLUME_EMA], strict=True)
        least = float(self.own.exhaustion_min)
        for side, name, strength, wick in (
            (Direction.LONG, "low", _below("exhaustion_rsi_low", figures[_RSI_SHORT], 20.0, strict=True), _WICK_LOW),
            (
                Direction.SHORT,
                "high",
                _above("exhaustion_rsi_high", figures[_RSI_SHORT], 80.0, strict=True),
                _WICK_HIGH,
            ),
        ):
            wicks = _above(f"exhaustion_double_wick_{name}", figures[wick], 1.0)
            signs = float(strength.passed + quiet.passed + wicks.passed)
            enough = _above(f"exhaustion_{name}", signs, least)
            conditions += (strength, wicks, enough)
            if not enough.passed:
                fired[side].clear()
        conditions.append(quiet)

    def _extreme(self, figures: list[float], conditions: list[Condition], fired: dict[Direction, list[str]]) -> None:
        own = self.own
        rsi, volume, mean = figures[0], figures[1], figures[2]
        spike = _above("volume_spike", volume, own.volume_factor * mean, strict=True)
        oversold = _below("rsi_oversold", rsi, own.oversold)
        overbought = _above("rsi_overbought", rsi, own.overbought)
        conditions += (oversold, overbought, spike)
        if spike.passed and oversold.passed:
            fired[Direction.LONG].append("extreme")
        if spike.passed and overbought.passed:
            fired[Direction.SHORT].append("extreme")

    def _divergence(self, figures: list[float], conditions: list[Condition], fired: dict[Direction, list[str]]) -> None:
        own = self.own
        price, rsi, price_later, rsi_later = figures[_BULLISH : _BULLISH + 4]
        bullish = (
            _below("swing_low_price", price_later, price, strict=True),
            _above("swing_low_rsi", rsi_later, rsi, strict=True),
            _below("swing_low_near_oversold", rsi_later, own.oversold + own.swing_near),
        )
        price, rsi, price_later, rsi_later = figures[_BEARISH : _BEARISH + 4]
        bearish = (
            _above("swing_high_price", price_later, price, strict=True),
            _below("swing_high_rsi", rsi_later, rsi, strict=True),
            _above("swing_high_near_overbought", rsi_later, own.overbought - own.swing_near),
        )
        conditions += (*bullish, *bearish)
        for side, tests in ((Direction.LONG, bullish), (Direction.SHORT, bearish)):
            if all(test.passed for test in tests):
                fired[side].append("divergence")


def _score(conditions: list[Condition]) -> tuple[float, dict[str, float]]:
    """The share of tests that pass, of the side with more; what names no side counts for both."""
    best: tuple[float, dict[str, float]] = (-1.0, {})
    for other in (("overbought", "_high"), ("oversold", "_low")):
        own = [test for test in conditions if not any(mark in test.name for mark in other)]
        points = {test.name: 100 / len(own) * test.passed for test in own}
        score = round(sum(points.values()), 9)
        if score > best[0]:
            best = score, points
    return best


def _above(name: str, value: float, threshold: float, *, strict: bool = False) -> Condition:
    margin = value - threshold
    if margin > 0 or (margin == 0 and not strict):
        return Condition(name=name, value=value, threshold=threshold, margin=margin, passed=True)
    return _failed(name, value, threshold, margin)


def _below(name: str, value: float, threshold: float, *, strict: bool = False) -> Condition:
    margin = threshold - value
    if margin > 0 or (margin == 0 and not strict):
        return Condition(name=name, value=value, threshold=threshold, margin=margin, passed=True)
    return _failed(name, value, threshold, margin)


def _failed(name: str, value: float, threshold: float, margin: float) -> Condition:
    """NaN (no such value at this candle) is recorded as None; its threshold, if unknown, as 0."""
    if margin != margin:  # noqa: PLR0124 - NaN
        known = threshold if threshold == threshold else 0.0  # noqa: PLR0124 - NaN
        return Condition(name=name, value=None, threshold=known, margin=None, passed=False)
    return Condition(name=name, value=value, threshold=threshold, margin=margin, passed=False)
