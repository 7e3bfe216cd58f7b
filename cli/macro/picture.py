"""The picture of `cst macro`: closes with the strong biases behind them, the score, and the regimes by day."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from services.macro_engine.core.candles import CLOSE, TIME, Candles
from services.macro_engine.core.regime import RegimeReading
from services.macro_engine.core.versions import Pair
from shared.domain.bias import Direction, MacroBias, bias_in_force
from shared.domain.regime import Regime

SIDES: Final = {Direction.LONG: "#2e9e6b", Direction.SHORT: "#d1495b"}
REGIMES: Final = {
    Regime.RISK_ON: "#2e9e6b",
    Regime.RISK_SMALL: "#9bcf9f",
    Regime.NEUTRAL: "#c8c8c8",
    Regime.RISK_OFF: "#d1495b",
    Regime.UNKNOWN: "#f2f2f2",
}
_FOLDED: Final = 200  # no version further back can matter: it has long expired


def draw_macro(
    file: Path,
    pair: Pair,
    fifteen: Candles,
    biases: Sequence[MacroBias],
    regimes: Sequence[tuple[int, RegimeReading]],
) -> None:
    """Write the picture as PNG, 1200 by 900 pixels."""
    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    price, score, regime = figure.subplots(3, 1, height_ratios=(3, 1.2, 1.2))
    price.plot(_dates(fifteen.table[:, TIME]), fifteen.table[:, CLOSE], color="#333333", linewidth=0.7)
    price.set_title(f"{pair}: binding bias (green LONG, red SHORT), score and regime", loc="left", fontsize=11)
    for side, starts, ends in _binding(biases):
        price.axvspan(*_dates([starts, ends]), color=SIDES[side], alpha=0.35, linewidth=0)
    signed = [bias.confidence * (-1 if bias.direction is Direction.SHORT else 1) for bias in biases]
    if biases:
        score.plot(_dates([bias.version for bias in biases]), signed, color="#33658a", linewidth=0.6)
    for level in (80, 70, -70, -80):
        score.axhline(level, color="#999999", linewidth=0.6, linestyle="dashed")
    score.set_ylabel("score (SHORT below 0)")
    _regimes(regime, regimes)
    for axes in (price, score, regime):
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib has no types for it
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor for it
        axes.grid(visible=True, color="#eeeeee", linewidth=0.5)
        axes.set_axisbelow(True)
    score.sharex(price)
    figure.savefig(file)


def _regimes(axes: Any, regimes: Sequence[tuple[int, RegimeReading]]) -> None:
    axes.set_ylabel("regime score")
    if not regimes:
        return
    dates = _dates([at_ms for at_ms, _ in regimes])
    values = np.array([reading.score for _, reading in regimes])
    for regime, color in REGIMES.items():
        chosen = [reading.regime is regime for _, reading in regimes]
        if any(chosen):
            axes.bar(dates[chosen], values[chosen], width=1.0, color=color, label=regime.value)
    axes.legend(ncols=len(REGIMES), fontsize=8, loc="lower left", frameon=False)


def _binding(biases: Sequence[MacroBias]) -> list[tuple[Direction, int, int]]:
    """Stretches of time in which one side binds, as the logic engine folds the versions."""
    found: list[tuple[Direction, int, int]] = []
    for number, bias in enumerate(biases):
        at_ms = bias.effective_from_ms
        side = bias_in_force(biases[max(0, number - _FOLDED) : number + 1], at_ms).side
        following = biases[number + 1].effective_from_ms if number + 1 < len(biases) else bias.expires_at_ms
        ends = min(following, bias.expires_at_ms)
        if side is None:
            continue
        if found and found[-1][0] is side and found[-1][2] == at_ms:
            found[-1] = (side, found[-1][1], ends)
        else:
            found.append((side, at_ms, ends))
    return found


def _dates(times_ms: Any) -> Any:
    days = np.asarray(times_ms, dtype=np.float64).astype("datetime64[ms]")
    return date2num(days)  # type: ignore[no-untyped-call]  # nor for it
