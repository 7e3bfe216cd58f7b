"""`rsi_divergence`, the "v5.2 Champion": RSI at an extreme on a volume spike, a regular divergence, or either.

extreme (default): long where RSI(14) <= 25 and volume > 1.5 x SMA20(volume, current candle included); short where
                   RSI >= 75 on the same spike. This is what the reference system does.
divergence:        long where the last candle confirms a swing low (swing_bars on each side, hence known swing_bars candles
                   after the low itself) that is lower in price and higher in RSI than the swing low before it, the later
                   one with RSI <= oversold + swing_near; short mirrored on swing highs.
both:              either rule; where the two contradict each other, nothing.
Entry is the candle's close; take-profit and stop are shares of it.
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

_BULLISH, _BEARISH = 3, 7  # columns of the kernel's result, see rsi_divergence_kernel (not imported: it imports Numba)
_FIGURES = 11


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
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            require(low <= value <= high, f"{name} must be {low:g}..{high:g}", value, place)


class RsiDivergence(BaseStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "rsi_divergence"

    PARAMETERS: ClassVar[type[msgspec.Struct]] = RsiDivergenceParameters

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
            columns.high,
            columns.low,
            columns.close,
            columns.volume,
            own.rsi_period,
            own.volume_window,
            own.swing_bars,
            own.swing_distance_max,
            rsi,
            mean,
            out,
        )
        return out

    def _verdict(self, figures: list[float], close: float) -> Outcome:
        conditions: list[Condition] = []
        fired: dict[Direction, list[str]] = {Direction.LONG: [], Direction.SHORT: []}
        if self.own.mode != "divergence":
            self._extreme(figures, conditions, fired)
        if self.own.mode != "extreme":
            self._divergence(figures, conditions, fired)
        longs, shorts = fired[Direction.LONG], fired[Direction.SHORT]
        if bool(longs) == bool(shorts):
            return Outcome(action=Action.NONE, trigger="", conditions=tuple(conditions))
        side = Direction.LONG if longs else Direction.SHORT
        own = self.own
        take_profit, stop_loss = percent_levels(close, side, own.take_profit_pct, own.stop_loss_pct)
        return Outcome(
            action=Action.ENTER_LONG if longs else Action.ENTER_SHORT,
            trigger="+".join(longs or shorts),
            conditions=tuple(conditions),
            take_profit=take_profit,
            stop_loss=stop_loss,
        )

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


def _above(name: str, value: float, threshold: float, *, strict: bool = False) -> Condition:
    return _condition(name, value, threshold, value - threshold, strict=strict)


def _below(name: str, value: float, threshold: float, *, strict: bool = False) -> Condition:
    return _condition(name, value, threshold, threshold - value, strict=strict)


def _condition(name: str, value: float, threshold: float, margin: float, *, strict: bool) -> Condition:
    """NaN (no such value at this candle) is recorded as None and does not pass; its threshold, if unknown, as 0."""
    if margin != margin:  # noqa: PLR0124 - NaN
        known = threshold if threshold == threshold else 0.0  # noqa: PLR0124 - NaN
        return Condition(name=name, value=None, threshold=known, margin=None, passed=False)
    passed = margin > 0 if strict else margin >= 0
    return Condition(name=name, value=value, threshold=threshold, margin=margin, passed=passed)
