"""`reversal`: price has left its Bollinger band and turned on the same candle. Tried after `continuation`.

Bands 20/2 (population deviation). Long where close < lower and close > open; score = min(100, 65 + 200 (lower - close) /
close); stop 1.5 ATR away, target SMA(20). Short mirrored. At the threshold of 75 it takes a close 5 % beyond the band.
Gates and size as in `continuation`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np

from shared.domain.bias import Direction
from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.volatility import atr, bollinger
from shared.strategies.base import WindowColumns
from shared.strategies.continuation import MODEL_RANGES, WINDOW, ModelParameters, atr_of
from shared.strategies.verdicts import LONG, SHORT, Figures, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class ReversalParameters(ModelParameters, frozen=True, kw_only=True):
    """See the head of the file."""

    STRATEGY: ClassVar[str] = "reversal"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {**MODEL_RANGES, "deviations": (0.1, 10)}
    deviations: float = 2.0
    stop_atr: float = 1.5


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, int64, int64, float64[:, ::1])"
)
def reversal_figures(
    open_price: "FloatArray",
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    deviations: float,
    atr_period: int,
    atr_kind: int,
    out: "FloatArray",
) -> None:
    """Per row: close, open, lower and upper band, middle, ATR."""
    length = close.shape[1]
    upper = np.empty(WINDOW)
    middle = np.empty(WINDOW)
    lower = np.empty(WINDOW)
    reach = np.empty(length)
    last = WINDOW - 1
    for row in range(close.shape[0]):
        bollinger(close[row, length - WINDOW :], WINDOW, deviations, upper, middle, lower)
        atr(high[row], low[row], close[row], atr_period, atr_kind, reach)
        out[row, 0] = close[row, length - 1]
        out[row, 1] = open_price[row, length - 1]
        out[row, 2] = lower[last]
        out[row, 3] = upper[last]
        out[row, 4] = middle[last]
        out[row, 5] = reach[length - 1]


class Reversal(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "reversal"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = ReversalParameters
    LENGTH: ClassVar[int] = 60
    TESTS: ClassVar[tuple[Test, ...]] = (
        below("close_below_lower_band", LONG, strict=True),
        above("close_above_open", LONG, strict=True),
        above("close_above_upper_band", SHORT, strict=True),
        below("close_below_open", SHORT, strict=True),
    )

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        self.memory_model = self.NAME

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns, own = windows[self.needs[0].timeframe], self.own
        out = np.empty((len(columns.close), 6))
        reversal_figures(columns.open, columns.high, columns.low, columns.close, own.deviations, *atr_of(own), out)
        close, reach = out[:, :1], out[:, 5:]
        return Figures(
            out[:, [0, 0, 0, 0]],
            out[:, [2, 1, 3, 1]],
            take_profit=out[:, [4, 4]],
            stop_loss=close + reach * [-own.stop_atr, own.stop_atr],
        )

    def scored(self, found: Figures, row: int, side: Direction | None) -> tuple[float, dict[str, float]]:
        """65 + two points per percent beyond the band, at most 100; 0 without an entry."""
        if side is None:
            return 0.0, {}
        close = float(found.values[row, 0])
        beyond = abs(float(found.thresholds[row, 0 if side is LONG else 2]) - close) / close
        points = min(35.0, round(200 * beyond, 9))
        return 65.0 + points, {"base": 65.0, "beyond_band": points}
