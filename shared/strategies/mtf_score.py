"""`mtf_score`: one technical score, 0-100, over several timeframes; long where it passes the regime's threshold.

Per timeframe: 50; EMA(20) > EMA(50) +10 else -5; MACD 12/26/9 line > signal +10 else -5; RSI(14) 55..70 +10, above 70 +5,
below 45 -10; EMA(20) > middle of Bollinger 20/2 +5. Weights 15m .40, 1h .25, 4h .20, 1d .10, 1w .05 (their sum is checked).
A timeframe without enough history is left out, the others' weights are divided by their sum, and the Decision says so.
Thresholds by regime: risk_on 55, risk_small 60, neutral 65 (no entries), risk_off 70; short (or exit) where the score lies as
far below 50. `regime` is a parameter: the macro engine's regime and the AI part join later.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import msgspec
import numpy as np

from shared.domain.bias import Direction
from shared.domain.checks import require
from shared.domain.timeframe import Timeframe
from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, ema, sma
from shared.indicators.kernels.momentum import MACD_CLASSIC, macd, wilder_rsi
from shared.strategies.base import WindowColumns, WindowNeed
from shared.strategies.verdicts import LONG, SHORT, Figures, SideParameters, Test, TestedStrategy, above, below

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_TIMEFRAMES: Final = (Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1)
_WEIGHTS: Final = ("weight_15m", "weight_1h", "weight_4h", "weight_1d", "weight_1w")
_SUM_TOLERANCE: Final = 1e-6
_LENGTHS: Final = {Timeframe.D1: 90, Timeframe.W1: 60}
_NO_ENTRIES: Final = 101.0  # no score reaches it


class MtfScoreParameters(SideParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's."""

    STRATEGY: ClassVar[str] = "mtf_score"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        **dict.fromkeys(_WEIGHTS, (0, 1)),
        "risk_on_min": (50, 100),
        "risk_small_min": (50, 100),
        "risk_off_min": (50, 100),
    }
    weight_15m: float = 0.40
    weight_1h: float = 0.25
    weight_4h: float = 0.20
    weight_1d: float = 0.10
    weight_1w: float = 0.05
    regime: Literal["risk_on", "risk_small", "neutral", "risk_off"] = "risk_small"
    risk_on_min: float = 55.0
    risk_small_min: float = 60.0
    risk_off_min: float = 70.0

    def check(self, place: str) -> None:
        """The weights are shares of one."""
        total = sum(getattr(self, name) for name in _WEIGHTS)
        require(abs(total - 1) <= _SUM_TOLERANCE, "the weights must sum to 1", total, place)


@kernel("void(float64[:, ::1], float64[:, ::1])")
def mtf_figures(close: "FloatArray", out: "FloatArray") -> None:
    """Per row, for one timeframe: EMA(20) - EMA(50), MACD - signal, RSI(14), EMA(20) - SMA(20)."""
    length = close.shape[1]
    quick = np.empty(length)
    steady = np.empty(length)
    line = np.empty(length)
    smooth = np.empty(length)
    histogram = np.empty(length)
    rsi = np.empty(length)
    middle = np.empty(20)
    for row in range(close.shape[0]):
        ema(close[row], 20, SEED_AVERAGE, quick)
        ema(close[row], 50, SEED_AVERAGE, steady)
        macd(close[row], 12, 26, 9, MACD_CLASSIC, line, smooth, histogram)
        wilder_rsi(close[row], 14, rsi)
        sma(close[row, length - 20 :], 20, middle)
        out[row, 0] = quick[length - 1] - steady[length - 1]
        out[row, 1] = histogram[length - 1]
        out[row, 2] = rsi[length - 1]
        out[row, 3] = quick[length - 1] - middle[19]


def points(figures: "FloatArray") -> "FloatArray":
    """The score of each row; NaN where a figure is."""
    trend, momentum, rsi, middle = figures.T
    strength = np.select([rsi > 70, rsi >= 55, rsi < 45], [5.0, 10.0, -10.0], 0.0)  # noqa: PLR2004 - the rule's own numbers
    score = 50 + np.where(trend > 0, 10, -5) + np.where(momentum > 0, 10, -5) + strength + np.where(middle > 0, 5, 0)
    return np.where(np.isfinite(figures).all(axis=1), score, np.nan)


class MtfScore(TestedStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "mtf_score"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = MtfScoreParameters
    TESTS: ClassVar[tuple[Test, ...]] = (above("score", LONG), below("score_below", SHORT))

    def windows_needed(self, timeframe: Timeframe) -> tuple[WindowNeed, ...]:
        """Its own timeframe, and every other of the five, if it is there."""
        needs = [WindowNeed(timeframe, _LENGTHS.get(timeframe, 120))]
        place = "timeframe of strategy mtf_score"
        require(timeframe in _TIMEFRAMES, f"timeframe must be one of {', '.join(_TIMEFRAMES)}", timeframe.value, place)
        others = [item for item in _TIMEFRAMES if item is not timeframe]
        return (*needs, *(WindowNeed(item, _LENGTHS.get(item, 120), optional=True) for item in others))

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """Scores by timeframe and their weighted mean; see `points`."""
        count = len(windows[self.needs[0].timeframe].close)
        own = self.own
        scores = np.empty((count, len(_TIMEFRAMES)))
        for column, timeframe in enumerate(_TIMEFRAMES):
            out = np.empty((count, 4))
            mtf_figures(windows[timeframe].close, out)
            scores[:, column] = points(out)
        weights = np.where(np.isnan(scores), 0.0, [getattr(own, name) for name in _WEIGHTS])
        total = weights.sum(axis=1)
        shares = weights / np.where(total > 0, total, np.nan)[:, None]
        contributions = np.nan_to_num(scores) * shares
        score = np.round(contributions.sum(axis=1), 9)  # thresholds are meant exactly
        threshold = {"risk_on": own.risk_on_min, "risk_small": own.risk_small_min, "risk_off": own.risk_off_min}
        least = threshold.get(own.regime, _NO_ENTRIES)
        return Figures(np.column_stack([score, score]), [least, 100.0 - least], extra=contributions)

    def scored(self, found: Figures, row: int, side: Direction | None) -> tuple[float, dict[str, float]]:  # noqa: ARG002 - the score is the same for both sides
        """The weighted score; its components are what each timeframe adds."""
        score = float(found.values[row, 0])
        if score != score or found.extra is None:  # noqa: PLR0124 - NaN: no timeframe at all
            return 0.0, {}
        parts = zip(_TIMEFRAMES, found.extra[row].tolist(), strict=True)
        return score, {timeframe.value: part for timeframe, part in parts if part > 0}
