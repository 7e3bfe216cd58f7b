"""`rsi_momentum`: RSI at an extreme while the last candles already move the other way.

Long where RSI(14) < 30 and close - close[10] > 0, short (or exit) where RSI > 70 and close - close[10] < 0.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.momentum import wilder_rsi
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


class RsiMomentumParameters(SideParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's."""

    STRATEGY: ClassVar[str] = "rsi_momentum"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "period": (2, 60),
        "oversold": (1, 49),
        "overbought": (51, 99),
        "momentum_candles": (1, 100),
    }
    period: int = 14
    oversold: float = 30.0
    overbought: float = 70.0
    momentum_candles: int = 10


@kernel("void(float64[:, ::1], int64, int64, float64[:, ::1])")
def rsi_momentum_figures(close: "FloatArray", period: int, candles: int, out: "FloatArray") -> None:
    """Per row: RSI and momentum (quote currency) at the last candle."""
    length = close.shape[1]
    rsi = np.empty(length)
    for row in range(close.shape[0]):
        wilder_rsi(close[row], period, rsi)
        out[row, 0] = rsi[length - 1]
        out[row, 1] = close[row, length - 1] - close[row, length - 1 - candles]


class RsiMomentum(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "rsi_momentum"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = RsiMomentumParameters
    TESTS: ClassVar[tuple[Test, ...]] = (
        below("rsi_oversold", LONG, strict=True),
        above("momentum_up", LONG, strict=True),
        above("rsi_overbought", SHORT, strict=True),
        below("momentum_down", SHORT, strict=True),
    )

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        close, own = windows[self.needs[0].timeframe].close, self.own
        out = np.empty((len(close), 2))
        rsi_momentum_figures(close, own.period, own.momentum_candles, out)
        return Figures(out[:, [0, 1, 0, 1]], [own.oversold, 0.0, own.overbought, 0.0])
