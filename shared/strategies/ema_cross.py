"""`ema_cross`: the fast EMA crosses the slow one by more than a threshold, while the market is not too wild.

gap = (EMA(fast) - EMA(slow)) / EMA(slow) in percent, EMAs seeded with their average. Long on the candle where the gap rises
above +threshold, short (or exit) where it falls below -threshold; volatility (population deviation of the last 20 returns, in
percent) at most `volatility_pct_max`. The reference system's spread limit needs quotes, which candles do not have.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.checks import require
from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, ema
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_RETURNS = 20


class EmaCrossParameters(SideParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's."""

    STRATEGY: ClassVar[str] = "ema_cross"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "fast": (2, 50),
        "slow": (3, 60),
        "threshold_pct": (0, 10),
        "volatility_pct_max": (0.01, 100),
    }
    fast: int = 9
    slow: int = 21
    threshold_pct: float = 0.1
    volatility_pct_max: float = 10.0

    def check(self, place: str) -> None:
        """Fast is faster."""
        require(self.fast < self.slow, "fast must be < slow", self.fast, place)


@kernel("void(float64[:, ::1], int64, int64, float64[:, ::1])")
def ema_cross_figures(close: "FloatArray", fast: int, slow: int, out: "FloatArray") -> None:
    """Per row: gap in percent at the last candle and at the one before, deviation of the last returns in percent."""
    length = close.shape[1]
    quick = np.empty(length)
    steady = np.empty(length)
    for row in range(close.shape[0]):
        ema(close[row], fast, SEED_AVERAGE, quick)
        ema(close[row], slow, SEED_AVERAGE, steady)
        out[row, 0] = 100.0 * (quick[length - 1] - steady[length - 1]) / steady[length - 1]
        out[row, 1] = 100.0 * (quick[length - 2] - steady[length - 2]) / steady[length - 2]
        total = 0.0
        squares = 0.0
        for i in range(length - _RETURNS, length):
            change = close[row, i] / close[row, i - 1] - 1.0
            total += change
            squares += change * change
        mean = total / _RETURNS
        out[row, 2] = 100.0 * np.sqrt(max(squares / _RETURNS - mean * mean, 0.0))


class EmaCross(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "ema_cross"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = EmaCrossParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("ema_gap_pct_above", LONG, strict=True),
        below("ema_gap_pct_before_not_above", LONG),
        below("ema_gap_pct_below", SHORT, strict=True),
        above("ema_gap_pct_before_not_below", SHORT),
        below("volatility_pct"),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        close, own = windows[self.needs[0].timeframe].close, self.own
        out = np.empty((len(close), 3))
        ema_cross_figures(close, own.fast, own.slow, out)
        edge = own.threshold_pct
        return Figures(out[:, [0, 1, 0, 1, 2]], [edge, edge, -edge, -edge, own.volatility_pct_max])
