"""The small picture of a pair's bias: its closes with the stretches in which a side bound, the score, the regime below.

matplotlib is imported where it draws, in a worker process: the notifier's own process never imports it.
"""

import io
from typing import Any, Final

import msgspec
import numpy as np

from services.notifier.chart_themes import THEMES, ChartTheme
from shared.domain.bias import KEPT_FROM, STRONG_FROM, Direction
from shared.domain.regime import Regime

_SIZE_INCHES: Final = (6.4, 3.6)
_DPI: Final = 100


class MacroChartModel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in the picture; the columns are one value per version, oldest first.

    times_ms: effective times. closes: 15m closes, NaN where unknown. scores: 0..100, below 0 for SHORT. binding: the side that
    holds, "" for none. regimes: by name. title: one line above.
    """

    title: str
    times_ms: tuple[int, ...]
    ends_ms: int
    closes: tuple[float, ...]
    scores: tuple[float, ...]
    binding: tuple[str, ...]
    regimes: tuple[str, ...]
    theme: str = "dark"


def draw_macro(model: MacroChartModel) -> bytes:
    """The picture as PNG, 640 by 360 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    theme = THEMES[model.theme]
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    price, score, regime = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.6, 0.35))
    dates = _dates((*model.times_ms, model.ends_ms))
    price.set_title(model.title, loc="left", color=theme.text, fontsize=10)
    price.step(dates[:-1], model.closes, where="post", color=theme.last, linewidth=1.1)
    colours = {Direction.LONG.value: theme.up, Direction.SHORT.value: theme.down}
    for axes in (price, score):
        _bands(axes, dates, [colours.get(side) for side in model.binding], 0.3)
    score.step(dates[:-1], model.scores, where="post", color=theme.entry, linewidth=1.1)
    score.set_ylim(-105, 105)
    score.set_yticks([-STRONG_FROM, 0, STRONG_FROM])
    for level in (STRONG_FROM, KEPT_FROM, -KEPT_FROM, -STRONG_FROM):
        score.axhline(level, color=theme.faint, linewidth=0.5, linestyle="dashed")
    _bands(regime, dates, [_regime_colour(theme, name) for name in model.regimes], 0.9)
    regime.set_yticks([])
    for axes in (price, score, regime):
        axes.set_facecolor(theme.pane)
        axes.tick_params(colors=theme.faint, labelsize=8)
        axes.yaxis.tick_right()
        for spine in axes.spines.values():
            spine.set_color(theme.grid)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib has no types for it
    regime.xaxis.set_major_locator(locator)
    regime.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor for it
    regime.set_xlim(dates[0], dates[-1])
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _bands(axes: Any, dates: Any, colours: list[str | None], alpha: float) -> None:
    """One band per stretch of equal colour."""
    begin = 0
    for index in range(1, len(colours) + 1):
        if index == len(colours) or colours[index] != colours[begin]:
            if colours[begin] is not None:
                axes.axvspan(dates[begin], dates[index], color=colours[begin], alpha=alpha, linewidth=0)
            begin = index


def _regime_colour(theme: ChartTheme, name: str) -> str:
    colours = {
        Regime.RISK_ON.value: theme.up,
        Regime.RISK_SMALL.value: theme.fourth,
        Regime.NEUTRAL.value: theme.faint,
        Regime.RISK_OFF.value: theme.down,
    }
    return colours.get(name, theme.grid)


def _dates(times_ms: tuple[int, ...]) -> Any:
    from matplotlib.dates import date2num

    days = np.asarray(times_ms, dtype=np.float64).astype("datetime64[ms]")
    return date2num(days)  # type: ignore[no-untyped-call]  # nor for it
