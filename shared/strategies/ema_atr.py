"""`ema_atr`: a trend by EMA(12) over EMA(26) that rises fast enough, in a market whose ATR is not too large.

Long where EMA(fast) > EMA(slow) and EMA(fast) rose by at least `slope_pct_min` on the last candle; short (or exit) mirrored;
ATR(14, Wilder) at most `atr_pct_max` of the close. Levels: `target_atr` and `stop_atr` ATRs from the close.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.checks import require
from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, ema
from shared.indicators.kernels.volatility import ATR_WILDER, atr
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class EmaAtrParameters(SideParameters, frozen=True, kw_only=True):
    """Lengths are the reference system's; levels those of its ATR exits."""

    STRATEGY: ClassVar[str] = "ema_atr"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "fast": (2, 50),
        "slow": (3, 60),
        "atr_period": (2, 60),
        "slope_pct_min": (0, 10),
        "atr_pct_max": (0.01, 100),
        "target_atr": (0.1, 20),
        "stop_atr": (0.1, 20),
    }
    fast: int = 12
    slow: int = 26
    atr_period: int = 14
    slope_pct_min: float = 0.02
    atr_pct_max: float = 5.0
    target_atr: float = 2.0
    stop_atr: float = 1.5

    def check(self, place: str) -> None:
        """Fast is faster."""
        require(self.fast < self.slow, "fast must be < slow", self.fast, place)


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64, int64, float64[:, ::1])")
def ema_atr_figures(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", fast: int, slow: int, period: int, out: "FloatArray"
) -> None:
    """Per row: fast and slow EMA, slope of the fast one in percent, ATR in percent of the close, ATR."""
    length = close.shape[1]
    quick = np.empty(length)
    steady = np.empty(length)
    reach = np.empty(length)
    last = length - 1
    for row in range(close.shape[0]):
        ema(close[row], fast, SEED_AVERAGE, quick)
        ema(close[row], slow, SEED_AVERAGE, steady)
        atr(high[row], low[row], close[row], period, ATR_WILDER, reach)
        out[row, 0] = quick[last]
        out[row, 1] = steady[last]
        out[row, 2] = 100.0 * (quick[last] / quick[last - 1] - 1.0)
        out[row, 3] = 100.0 * reach[last] / close[row, last]
        out[row, 4] = reach[last]


class EmaAtr(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "ema_atr"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = EmaAtrParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("ema_fast_above_slow", LONG, strict=True),
        above("slope_pct_up", LONG),
        below("ema_fast_below_slow", SHORT, strict=True),
        below("slope_pct_down", SHORT),
        below("atr_pct"),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns, own = windows[self.needs[0].timeframe], self.own
        out = np.empty((len(columns.close), 5))
        ema_atr_figures(columns.high, columns.low, columns.close, own.fast, own.slow, own.atr_period, out)
        thresholds = np.empty((len(out), 5))
        thresholds[:, [0, 2]] = out[:, [1]]
        thresholds[:, 1], thresholds[:, 3], thresholds[:, 4] = own.slope_pct_min, -own.slope_pct_min, own.atr_pct_max
        close, reach = columns.close[:, -1:], out[:, 4:]
        return Figures(
            out[:, [0, 2, 0, 2, 3]],
            thresholds,
            take_profit=close + reach * [own.target_atr, -own.target_atr],
            stop_loss=close + reach * [-own.stop_atr, own.stop_atr],
        )
