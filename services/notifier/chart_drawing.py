"""Draws a chart with mplfinance. The one module that touches matplotlib and pandas, and only inside the function.

Called in a process of its own (see chart_pool): drawing holds the interpreter for a fifth of a second, and a message
must not wait for a picture.
"""

import io
import os
import warnings
from typing import TYPE_CHECKING, Any, Final

from services.notifier.core.chart_model import ChartModel, Level
from services.notifier.core.texts import price_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX: Final = 640
HEIGHT_PX: Final = 720
_DPI: Final = 100
_QUIET: Final = {"warn_too_much_data": 10_000}
_MARGIN_BARS: Final = 13  # room right of the last bar, where the position is drawn
_BARS_LEFT: Final = -1.2

_BACKGROUND: Final = "#0f141c"
_PANE: Final = "#131a24"
_GRID: Final = "#222c3a"
_TEXT: Final = "#d7dee8"
_FAINT: Final = "#8492a6"
_UP: Final = "#26a69a"
_DOWN: Final = "#ef5350"
_ACCENT: Final = "#b48ead"
_COLOURS: Final = {"entry": "#4c9aff", "take_profit": "#2ecc71", "stop_loss": "#ff5c5c", "exit": "#ffc857"}


def draw_chart(model: ChartModel) -> bytes:
    """The picture as PNG, 640 x 720. Uses the Agg backend whatever the environment says; the figure is closed again."""
    os.environ["MPLBACKEND"] = "Agg"
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import mplfinance as mpf

    style = _style(mpf)
    figure = mpf.figure(style=style, figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI)
    try:
        panes = _panes(figure, model)
        price, volume, strength = panes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a window without any volume: the axis is set below
            mpf.plot(_frame(model), type="candle", style=style, ax=price, volume=volume, xrotation=0, **_QUIET)
        _draw_header(figure, model)
        _draw_position(price, model)
        _draw_strength(strength, model)
        _finish_axes(panes, model)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=_DPI, facecolor=_BACKGROUND)
        return target.getvalue()
    finally:
        plt.close(figure)


def import_drawing() -> None:
    """Pay for the imports now (about half a second)."""
    os.environ["MPLBACKEND"] = "Agg"
    import mplfinance  # noqa: F401 - imported for its effect


def _style(mpf: Any) -> Any:
    colours = mpf.make_marketcolors(
        up=_UP, down=_DOWN, edge="inherit", wick="inherit", volume={"up": "#1d6f69", "down": "#94393a"}
    )
    return mpf.make_mpf_style(
        marketcolors=colours,
        facecolor=_PANE,
        figcolor=_BACKGROUND,
        edgecolor=_GRID,
        gridcolor=_GRID,
        gridstyle="-",
        y_on_right=False,
        rc={
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.labelcolor": _FAINT,
            "xtick.color": _FAINT,
            "ytick.color": _FAINT,
            "text.color": _TEXT,
            "axes.linewidth": 0.8,
            "grid.linewidth": 0.6,
        },
    )


def _panes(figure: "Figure", model: ChartModel) -> tuple["Axes", "Axes", "Axes"]:
    """Price, volume and RSI below one another, sharing the time axis; coins with many decimals get wider margins."""
    tick_length = len(price_text(model.price_high, _tick_decimals(model)))
    label_length = max(len(price_text(level.price, model.price_decimals)) for level in model.levels)
    left = 0.115 + 0.0105 * max(0, tick_length - 8)
    width = 0.815 - 0.012 * max(0, label_length - 9) - left
    price = figure.add_axes((left, 0.395, width, 0.495))
    volume = figure.add_axes((left, 0.26, width, 0.115), sharex=price)
    strength = figure.add_axes((left, 0.09, width, 0.15), sharex=price)
    return price, volume, strength


def _frame(model: ChartModel) -> Any:
    import pandas as pd

    columns = {"Open": model.open, "High": model.high, "Low": model.low, "Close": model.close, "Volume": model.volume}
    return pd.DataFrame(columns, index=pd.to_datetime(list(model.open_time_ms), unit="ms"))


def _draw_header(figure: "Figure", model: ChartModel) -> None:
    colour = _UP if model.long else _DOWN
    side = "▲ LONG" if model.long else "▼ SHORT"
    figure.text(0.03, 0.953, model.title, fontsize=16, fontweight="bold", color=_TEXT, va="center")
    figure.text(0.03, 0.914, model.subtitle, fontsize=9, color=_FAINT, va="center")
    tag = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "none"}
    figure.text(0.97, 0.953, side, fontsize=11, fontweight="bold", color=_BACKGROUND, ha="right", va="center", bbox=tag)
    if model.result:
        result_colour = _COLOURS["take_profit"] if model.won else _COLOURS["stop_loss"]
        figure.text(
            0.975, 0.911, model.result, fontsize=11, fontweight="bold", color=result_colour, ha="right", va="center"
        )
    figure.text(0.5, 0.022, model.footer, fontsize=8, color=_FAINT, ha="center", va="center")


def _draw_position(axes: "Axes", model: ChartModel) -> None:
    last = len(model.close) - 1
    end = last + _MARGIN_BARS
    start = (last + 0.5 - _BARS_LEFT) / (end - _BARS_LEFT)  # where the margin begins, as a share of the axis
    axes.axvspan(last + 0.5, end, color=_BACKGROUND, alpha=0.55, zorder=0)
    for level in model.levels:
        colour = _COLOURS[level.kind]
        if level.kind in {"take_profit", "stop_loss"}:
            between = sorted((model.entry_price, level.price))
            axes.axhspan(between[0], between[1], xmin=start, color=colour, alpha=0.13, linewidth=0, zorder=1)
        # An exit lies on a level most of the time: its line is drawn only beside the bars, so that it hides none.
        begins = start if level.kind == "exit" else 0.0
        axes.axhline(level.price, xmin=begins, color=colour, linestyle=(0, (5, 3)), linewidth=1.3, zorder=2)
        _draw_label(axes, level, colour, model.price_decimals)
    marker = "^" if model.long else "v"
    _draw_mark(axes, last + 1.6, model.entry_price, marker, _COLOURS["entry"])
    if model.exit_price is not None:
        path = ([last + 1.6, end - 2.2], [model.entry_price, model.exit_price])
        axes.plot(*path, color=_COLOURS["exit"], linewidth=1.2, linestyle=":", zorder=5)
        _draw_mark(axes, end - 2.2, model.exit_price, "X", _COLOURS["exit"])


def _draw_mark(axes: "Axes", bar: float, price: float, marker: str, colour: str) -> None:
    axes.scatter([bar], [price], marker=marker, color=colour, s=75, edgecolors=_BACKGROUND, linewidths=1.0, zorder=6)


def _draw_label(axes: "Axes", level: Level, colour: str, decimals: int) -> None:
    box = {"boxstyle": "round,pad=0.28", "facecolor": colour, "edgecolor": "none"}
    axes.annotate(
        f"{level.label}\n{price_text(level.price, decimals)}",
        xy=(1.0, level.price),
        xycoords=("axes fraction", "data"),
        xytext=(1.035, level.label_price),
        textcoords=("axes fraction", "data"),
        fontsize=9,
        fontweight="bold",
        color="#0b0f15",
        va="center",
        linespacing=1.05,
        bbox=box,
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0},
        annotation_clip=False,
    )


def _draw_strength(axes: "Axes", model: ChartModel) -> None:
    values = [float("nan") if value is None else value for value in model.rsi]
    bars = range(len(values))
    axes.axhspan(25, 75, color=_ACCENT, alpha=0.07, zorder=0)
    for bound in (25, 75):
        axes.axhline(bound, color=_FAINT, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    axes.plot(bars, values, color=_ACCENT, linewidth=1.4, zorder=3)
    if model.rsi and model.rsi[-1] is not None:
        last = len(values) - 1
        axes.scatter([last], [values[-1]], s=22, color=_ACCENT, zorder=4)
        axes.annotate(
            f"{values[-1]:.1f}", (last + 1.6, values[-1]), fontsize=9, fontweight="bold", color=_ACCENT, va="center"
        )
    axes.set_ylim(0, 100)
    axes.set_yticks([25, 50, 75])


def _finish_axes(panes: tuple["Axes", "Axes", "Axes"], model: ChartModel) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator

    price, volume, strength = panes
    price.set_ylim(model.price_low, model.price_high)
    price.set_xlim(_BARS_LEFT, len(model.close) - 1 + _MARGIN_BARS)
    price.yaxis.set_major_locator(MaxNLocator(7))
    price.yaxis.set_major_formatter(FuncFormatter(lambda value, _: price_text(value, _tick_decimals(model))))
    volume.set_ylim(0, (max(model.volume) or 1.0) * 1.12)
    volume.yaxis.set_major_locator(MaxNLocator(3, prune="lower"))
    volume.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    strength.xaxis.set_major_locator(FixedLocator([bar for bar, _ in model.ticks]))
    strength.xaxis.set_major_formatter(FixedFormatter([text for _, text in model.ticks]))
    for axes, name in ((price, ""), (volume, "Volume"), (strength, "RSI 14")):
        axes.set_ylabel("")
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelsize=8, pad=4, labelbottom=axes is strength)
        axes.yaxis.set_label_position("left")
        axes.yaxis.tick_left()
        axes.text(0.012, 0.95, name, transform=axes.transAxes, fontsize=8, color=_FAINT, va="top", zorder=7)
    strength.text(1.035, -0.14, "UTC", transform=strength.transAxes, fontsize=8, color=_FAINT, va="center")


def _tick_decimals(model: ChartModel) -> int:
    """No more decimals than the axis needs."""
    step = (model.price_high - model.price_low) / 10
    needed = 0
    while needed < model.price_decimals and step < 10.0**-needed:
        needed += 1
    return needed


def _short(value: float) -> str:
    """1250000 -> 1.2M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
