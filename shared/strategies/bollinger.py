"""`bollinger`: the close touches a Bollinger band that is not squeezed; the middle is the target.

Bands 20/2 (population deviation). Long where close <= lower, short (or exit) where close >= upper; nothing while the width,
(upper - lower) / middle, is below `squeeze_pct`. Take-profit: the middle, unless a percentage is given.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.volatility import bollinger
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class BollingerParameters(SideParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's."""

    STRATEGY: ClassVar[str] = "bollinger"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "window": (2, 120),
        "deviations": (0.1, 10),
        "squeeze_pct": (0, 50),
    }
    window: int = 20
    deviations: float = 2.0
    squeeze_pct: float = 1.0


@kernel("void(float64[:, ::1], int64, float64, float64[:, ::1])")
def bollinger_figures(close: "FloatArray", window: int, deviations: float, out: "FloatArray") -> None:
    """Per row: close, lower and upper band, width in percent of the middle, middle."""
    length = close.shape[1]
    upper = np.empty(window)
    middle = np.empty(window)
    lower = np.empty(window)
    last = window - 1
    for row in range(close.shape[0]):
        bollinger(close[row, length - window :], window, deviations, upper, middle, lower)
        out[row, 0] = close[row, length - 1]
        out[row, 1] = lower[last]
        out[row, 2] = upper[last]
        out[row, 3] = 100.0 * (upper[last] - lower[last]) / middle[last]
        out[row, 4] = middle[last]


class Bollinger(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "bollinger"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = BollingerParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        below("close_at_lower_band", LONG),
        above("close_at_upper_band", SHORT),
        above("band_width_pct"),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        close, own = windows[self.needs[0].timeframe].close, self.own
        out = np.empty((len(close), 5))
        bollinger_figures(close, own.window, own.deviations, out)
        thresholds = out[:, [1, 2, 3]]
        thresholds[:, 2] = own.squeeze_pct
        return Figures(out[:, [0, 0, 3]], thresholds, take_profit=out[:, [4, 4]])
