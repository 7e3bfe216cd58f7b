"""`continuation`: price has moved away from its average, and goes on. The first model of the pair with `reversal`.

SMA(20) of closes, the last included; change = close / first close of those 20 - 1. Long where close > 1.01 SMA and change
> +2 %, short mirrored (0.99, -2 %). Score = min(100, 70 + 100 |change|): at the threshold of 75 it takes a move of 5 %.
Levels: stop 2 ATR, target 3 ATR away, ATR by `atr_kind` (`sma13`: the reference's mean of the last 13 true ranges).
Entries pass the adaptive memory: model enabled -> memory -> score -> daily cap. Size: `risk_pct` of `equity` at the stop.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np

from shared.domain.bias import Direction
from shared.domain.models import SCORE_MIN, SIGNALS_PER_DAY_MAX
from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import sma
from shared.indicators.kernels.volatility import ATR_SMA, ATR_WILDER, atr
from shared.strategies.base import WindowColumns
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

SMA13_CANDLES = 14
WINDOW = 20
MODEL_RANGES = {
    "score_min": (50, 95),
    "signals_per_day_max": (1, 20),
    "equity": (1, 1e12),
    "risk_pct": (0.1, 5),
    "quantity_decimals": (0, 12),
    "atr_period": (2, 60),
    "stop_atr": (0.1, 20),
}


class ModelParameters(SideParameters, frozen=True, kw_only=True):
    """What both models share; the defaults are the reference system's, but for the ATR (Wilder 14)."""

    score_min: float = SCORE_MIN
    signals_per_day_max: int = SIGNALS_PER_DAY_MAX
    equity: float = 1000.0
    risk_pct: float = 1.0
    quantity_decimals: int = 3
    atr_kind: Literal["wilder", "sma13"] = "wilder"
    atr_period: int = 14


class ContinuationParameters(ModelParameters, frozen=True, kw_only=True):
    """See the head of the file."""

    STRATEGY: ClassVar[str] = "continuation"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **MODEL_RANGES,
        "distance_pct": (0, 50),
        "change_pct": (0, 50),
        "target_atr": (0.1, 20),
    }
    distance_pct: float = 1.0
    change_pct: float = 2.0
    stop_atr: float = 2.0
    target_atr: float = 3.0


@kernel("void(float64[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64, float64[:, ::1])")
def continuation_figures(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", atr_period: int, atr_kind: int, out: "FloatArray"
) -> None:
    """Per row: close, SMA(20), change over those 20 closes in percent, ATR."""
    length = close.shape[1]
    mean = np.empty(WINDOW)
    reach = np.empty(length)
    for row in range(close.shape[0]):
        tail = close[row, length - WINDOW :]
        sma(tail, WINDOW, mean)
        atr(high[row], low[row], close[row], atr_period, atr_kind, reach)
        out[row, 0] = close[row, length - 1]
        out[row, 1] = mean[WINDOW - 1]
        out[row, 2] = 100.0 * (tail[WINDOW - 1] / tail[0] - 1.0)
        out[row, 3] = reach[length - 1]


class Continuation(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "continuation"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = ContinuationParameters
    LENGTH: ClassVar[int] = 60
    TESTS: ClassVar[tuple[Test, ...]] = (
        above("close_above_sma", LONG, strict=True),
        above("change_pct_up", LONG, strict=True),
        below("close_below_sma", SHORT, strict=True),
        below("change_pct_down", SHORT, strict=True),
    )

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        self.memory_model = self.NAME

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """See the kernel."""
        columns, own = windows[self.needs[0].timeframe], self.own
        out = np.empty((len(columns.close), 4))
        continuation_figures(columns.high, columns.low, columns.close, *atr_of(own), out)
        thresholds = np.empty((len(out), 4))
        thresholds[:, 0], thresholds[:, 1] = out[:, 1] * (1 + own.distance_pct / 100), own.change_pct
        thresholds[:, 2], thresholds[:, 3] = out[:, 1] * (1 - own.distance_pct / 100), -own.change_pct
        close, reach = out[:, :1], out[:, 3:]
        return Figures(
            out[:, [0, 2, 0, 2]],
            thresholds,
            take_profit=close + reach * [own.target_atr, -own.target_atr],
            stop_loss=close + reach * [-own.stop_atr, own.stop_atr],
        )

    def scored(self, found: Figures, row: int, side: Direction | None) -> tuple[float, dict[str, float]]:
        """70 + one point per percent of change, at most 100; 0 without an entry."""
        if side is None:
            return 0.0, {}
        move = min(30.0, round(abs(float(found.values[row, 1])), 9))
        return 70.0 + move, {"base": 70.0, "move": move}


def atr_of(own: ModelParameters) -> tuple[int, int]:
    """Period and kind of the ATR."""
    return (SMA13_CANDLES, ATR_SMA) if own.atr_kind == "sma13" else (own.atr_period, ATR_WILDER)
