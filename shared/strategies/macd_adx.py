"""`macd_adx`: MACD momentum in a trend, sized by volatility; long or flat.

MACD 8/24/9 and ADX(14), both with TA-Lib's seeding. Buy where the histogram is > 0 and was <= 0, sell (close to flat, with
`on_opposite: close`) where it is < 0 and was >= 0; both need ADX >= 20 and a volatility scale > 0.
Size: sd_day = sample deviation of the last 20 simple returns x sqrt(candles per day); scale = target / sd_day (`inverse_vol`),
or target^2 / RV_day with RV the mean of squared returns (`inverse_var`, after Moreira and Muir, J. Finance 72(4) 2017), clipped;
fraction = clip(risk_fraction x scale, fraction_min, position_fraction_max); notional = equity x fraction x leverage.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np

from shared.domain.checks import require
from shared.domain.decisions import Sizing
from shared.domain.timeframe import DAY_MS, Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.momentum import MACD_TALIB, macd
from shared.indicators.kernels.trend import ADX_TALIB, adx
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below, rounded

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class MacdAdxParameters(SideParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's. target_daily_volatility: a share, 0.02 is 2 %."""

    STRATEGY: ClassVar[str] = "macd_adx"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "fast": (2, 60),
        "slow": (3, 120),
        "signal": (2, 60),
        "adx_period": (2, 60),
        "adx_min": (0, 100),
        "volatility_candles": (2, 300),
        "target_daily_volatility": (0.0001, 1),
        "scale_min": (0, 100),
        "scale_max": (0, 100),
        "risk_fraction": (0, 1),
        "fraction_min": (0, 1),
        "position_fraction_max": (0, 1),
        "leverage": (0.01, 100),
        "equity": (1, 1e12),
    }
    direction: Literal["both", "long_flat"] = "long_flat"
    fast: int = 8
    slow: int = 24
    signal: int = 9
    adx_period: int = 14
    adx_min: float = 20.0
    volatility_mode: Literal["inverse_vol", "inverse_var"] = "inverse_vol"
    volatility_candles: int = 20
    target_daily_volatility: float = 0.02
    scale_min: float = 0.0
    scale_max: float = 1.0
    risk_fraction: float = 0.10
    fraction_min: float = 0.0
    position_fraction_max: float = 1.0
    leverage: float = 1.0
    equity: float = 100_000.0

    def check(self, place: str) -> None:
        """Fast is faster, limits are ordered."""
        require(self.fast < self.slow, "fast must be < slow", self.fast, place)
        require(self.scale_min <= self.scale_max, "scale_min must be <= scale_max", self.scale_min, place)


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64, int64, int64, int64, float64[:, ::1])")
def macd_adx_figures(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    adx_period: int,
    returns: int,
    out: "FloatArray",
) -> None:
    """Per row: histogram at the last candle and before, ADX, sample deviation and mean square of the last returns."""
    length = close.shape[1]
    line = np.empty(length)
    smooth = np.empty(length)
    histogram = np.empty(length)
    plus = np.empty(length)
    minus = np.empty(length)
    strength = np.empty(length)
    for row in range(close.shape[0]):
        macd(close[row], fast, slow, signal, MACD_TALIB, line, smooth, histogram)
        adx(high[row], low[row], close[row], adx_period, ADX_TALIB, plus, minus, strength)
        total = 0.0
        for i in range(length - returns, length):
            total += close[row, i] / close[row, i - 1] - 1.0
        mean = total / returns
        apart = 0.0
        squares = 0.0
        for i in range(length - returns, length):
            change = close[row, i] / close[row, i - 1] - 1.0
            apart += (change - mean) * (change - mean)
            squares += change * change
        out[row, 0] = histogram[length - 1]
        out[row, 1] = histogram[length - 2]
        out[row, 2] = strength[length - 1]
        out[row, 3] = np.sqrt(apart / (returns - 1))
        out[row, 4] = squares / returns


class MacdAdx(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "macd_adx"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = MacdAdxParameters
    LENGTH: ClassVar[int] = 360
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("histogram_above_zero", LONG, strict=True),
        below("histogram_before_not_above_zero", LONG),
        below("histogram_below_zero", SHORT, strict=True),
        above("histogram_before_not_below_zero", SHORT),
        above("adx"),
        above("volatility_scale", strict=True),
    )

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        self.candles_per_day = max(1, round(DAY_MS / timeframe.duration_ms))

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns, own = windows[self.needs[0].timeframe], self.own
        out = np.empty((len(columns.close), 5))
        lengths = (own.fast, own.slow, own.signal, own.adx_period, own.volatility_candles)
        macd_adx_figures(columns.high, columns.low, columns.close, *lengths, out)
        return self.judged_figures(out)

    def judged_figures(self, out: "FloatArray") -> Figures:
        """The tests' values and thresholds, of what the kernel gives."""
        by_day = out[:, 3] * math.sqrt(self.candles_per_day)
        values = np.column_stack([out[:, [0, 1, 0, 1, 2]], self.scales(by_day, out[:, 4])])
        return Figures(values, [0.0, 0.0, 0.0, 0.0, self.own.adx_min, 0.0], extra=by_day)

    def scales(self, deviation_day: "FloatArray", mean_square: "FloatArray") -> "FloatArray":
        """What the volatility target allows, a share; 0 where the volatility is unknown or none. Each argument: (n,)."""
        own = self.own
        with np.errstate(divide="ignore", invalid="ignore"):  # no movement at all: no scale, as below
            raw = own.target_daily_volatility / deviation_day
            if own.volatility_mode == "inverse_var":
                raw = own.target_daily_volatility**2 / (mean_square * self.candles_per_day)
        moving = (deviation_day > 0) & np.isfinite(deviation_day)
        found: FloatArray = np.where(moving, np.minimum(np.maximum(raw, own.scale_min), own.scale_max), 0.0)
        return found

    def fractions(self, scales: "FloatArray") -> "FloatArray":
        """Of equity, at these scales."""
        own = self.own
        found: FloatArray = np.maximum(
            own.fraction_min, np.minimum(own.position_fraction_max, own.risk_fraction * scales)
        )
        return found

    def sizing(self, close: float, deviation_day: float, scale: float) -> Sizing:
        """Fraction, notional and quantity at this scale."""
        own = self.own
        fraction = float(self.fractions(np.array(scale)))
        notional = own.equity * fraction * own.leverage
        return Sizing(
            equity=own.equity,
            fraction=rounded(fraction),
            notional=rounded(notional),
            quantity=rounded(notional / close),
            volatility_day_pct=rounded(deviation_day * 100),
            volatility_scale=rounded(scale),
        )

    def sized(self, found: Figures, row: int, close: float) -> Sizing | None:
        """By the volatility target, at the scale of the row."""
        return (
            None if found.extra is None else self.sizing(close, float(found.extra[row]), float(found.values[row, -1]))
        )
