"""`supertrend`: the Supertrend line changes sides.

Long on the candle where the trend turns from down to up, short (or exit) where it turns down. Stop: the line. No target: the
next turn, the age or the stop ends the signal.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.trend import supertrend
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class SupertrendParameters(SideParameters, frozen=True, kw_only=True):
    """The usual 10/3."""

    STRATEGY: ClassVar[str] = "supertrend"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"period": (2, 60), "multiplier": (0.1, 20)}
    period: int = 10
    multiplier: float = 3.0


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, float64, float64[:, ::1])")
def supertrend_figures(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", period: int, multiplier: float, out: "FloatArray"
) -> None:
    """Per row: trend at the last candle and at the one before (1 up, -1 down), the line."""
    length = close.shape[1]
    line = np.empty(length)
    direction = np.empty(length)
    for row in range(close.shape[0]):
        supertrend(high[row], low[row], close[row], period, multiplier, line, direction)
        out[row, 0] = direction[length - 1]
        out[row, 1] = direction[length - 2]
        out[row, 2] = line[length - 1]


class Supertrend(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "supertrend"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = SupertrendParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("trend_up", LONG, strict=True),
        below("trend_before_down", LONG, strict=True),
        below("trend_down", SHORT, strict=True),
        above("trend_before_up", SHORT, strict=True),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns, own = windows[self.needs[0].timeframe], self.own
        out = np.empty((len(columns.close), 3))
        supertrend_figures(columns.high, columns.low, columns.close, own.period, own.multiplier, out)
        return Figures(out[:, [0, 1, 0, 1]], [0.0, 0.0, 0.0, 0.0], stop_loss=out[:, [2, 2]])
