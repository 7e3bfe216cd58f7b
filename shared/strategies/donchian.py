"""`donchian`: the close breaks the channel of the candles before it.

Long where close > highest high of the `window` candles before this one, short (or exit) where close < lowest low. Stop: the
middle of that channel. No target: the opposite break, the age or the stop ends the signal.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class DonchianParameters(SideParameters, frozen=True, kw_only=True):
    """The classic channel of 20 candles."""

    STRATEGY: ClassVar[str] = "donchian"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"window": (2, 119)}
    window: int = 20


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, float64[:, ::1])")
def donchian_figures(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", window: int, out: "FloatArray"
) -> None:
    """Per row: close, top, bottom and middle of the channel of the candles before the last one."""
    last = close.shape[1] - 1
    for row in range(close.shape[0]):
        top = high[row, last - window]
        bottom = low[row, last - window]
        for i in range(last - window + 1, last):
            top = max(top, high[row, i])
            bottom = min(bottom, low[row, i])
        out[row, 0] = close[row, last]
        out[row, 1] = top
        out[row, 2] = bottom
        out[row, 3] = (top + bottom) / 2.0


class Donchian(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "donchian"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = DonchianParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("close_above_channel", LONG, strict=True),
        below("close_below_channel", SHORT, strict=True),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns = windows[self.needs[0].timeframe]
        out = np.empty((len(columns.close), 4))
        donchian_figures(columns.high, columns.low, columns.close, self.own.window, out)
        return Figures(out[:, [0, 0]], out[:, [1, 2]], stop_loss=out[:, [3, 3]])
