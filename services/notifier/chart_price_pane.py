"""The price pane: candles as mplfinance made them, curves and clouds of the strategy, levels with labels, zones, marks."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from services.notifier.chart_artists import (
    FloatArray,
    Ground,
    PaneBox,
    bars_between,
    floats,
    polygons_of,
    rgba,
    segments_of,
)
from services.notifier.chart_labels import LabelColumn
from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import ChartTheme
from services.notifier.core.chart_layout import Box
from services.notifier.core.chart_values import ChartModel, Cloud, Mark

_LEVEL_DASHES: Final = (0, (5, 3))
_ZONES: Final = ("take_profit", "stop_loss")
_MARK_SIZES: Final = {"entry": 10.5, "exit": 10.0}


class PricePane(PaneBox):
    """Everything above the volume but the band of the bias. axes: with the candles of mplfinance in it, and nothing else."""

    def __init__(self, axes: Any, theme: ChartTheme, texts: TextLayer, ground: Ground) -> None:
        super().__init__(axes, theme, texts, ground)
        from matplotlib.patches import Rectangle

        self._wicks, self._bodies = axes.collections  # mplfinance's
        self._wicks.set(zorder=3, linewidth=1.1)
        self._bodies.set(zorder=3.1, linewidth=0.7)
        self._clouds = polygons_of(axes, zorder=1.5, antialiased=False, alpha=0.3)
        self._holes = segments_of(axes, theme.faint, 0.9, zorder=2.5, linestyles="dotted")
        self._zones = [Rectangle((0, 0), 1, 1, linewidth=0, alpha=0.16, zorder=1) for _ in _ZONES]
        for zone, kind in zip(self._zones, _ZONES, strict=True):
            zone.set_facecolor(theme.of(kind))
            axes.add_artist(zone)
        self._before = segments_of(axes, theme.grid, 1.0, zorder=2, linestyles=_LEVEL_DASHES, alpha=0.45)
        self._levels = segments_of(axes, theme.grid, 1.5, zorder=3.5, linestyles=_LEVEL_DASHES)
        self._path = axes.plot([], [], color=theme.text, linewidth=1.2, linestyle=":", zorder=5)[0]
        look = {"linestyle": "none", "markeredgewidth": 1.3, "markeredgecolor": theme.ground, "zorder": 8}
        self._marks = {
            kind: axes.plot([], [], markersize=size, markerfacecolor=theme.of(kind), **look)[0]
            for kind, size in _MARK_SIZES.items()
        }

    def show(self, model: ChartModel, box: Box, labels: LabelColumn) -> None:
        """Move everything to where the model wants it."""
        x, y = (model.bar_left, model.bar_right), (model.price_low, model.price_high)
        self.place(box, x=x, y=y, after_bar=model.decision_bar + 0.5)
        self.grid(model.price_ticks, model.time_ticks)
        self._show_candles(model)
        self._show_clouds(model.clouds)
        self.curves.show(model.lines)
        self.title("", model.lines)
        self._holes.set_segments([((bar - 0.5, y[0]), (bar - 0.5, y[1])) for bar in model.holes])
        self._show_levels(model)
        self._show_position(model)
        labels.show(model, self)

    def _show_candles(self, model: ChartModel) -> None:
        opened, high, low, close = (np.array(x) for x in (model.open, model.high, model.low, model.close))
        bar = np.arange(len(close), dtype=np.float64)
        top, bottom = np.maximum(opened, close), np.minimum(opened, close)
        colours = rgba(self.theme.up, self.theme.down, close >= opened)
        self._wicks.set_segments(np.stack([np.stack([bar, low], 1), np.stack([bar, high], 1)], 1))
        self._wicks.set_color(colours)
        self._bodies.set_verts(bars_between(bottom, top))
        self._bodies.set_facecolor(colours)
        self._bodies.set_edgecolor(colours)

    def _show_clouds(self, clouds: Sequence[Cloud]) -> None:
        self._clouds.set_visible(bool(clouds))
        if not clouds:
            return
        pieces, colours = [], []
        for cloud in clouds:
            upper, lower = floats(cloud.upper), floats(cloud.lower)
            quads = _quads(upper, lower)
            known = ~np.isnan(quads).any(axis=(1, 2))
            pieces.append(quads[known])
            above = (upper >= lower)[1:][known]
            colours.append(rgba(self.theme.of(cloud.colour), self.theme.of(cloud.colour_below), above))
        self._clouds.set_verts(np.concatenate(pieces))
        self._clouds.set_facecolor(np.concatenate(colours))

    def _show_levels(self, model: ChartModel) -> None:
        """Faint up to the Decision, strong from it on: there was no position before."""
        inside = [level for level in model.levels if not level.outside]
        left, right = model.bar_left, model.bar_right
        begins = [left if level.kind == "last" else model.decision_bar + 0.5 for level in inside]
        pairs = list(zip(begins, (level.price for level in inside), strict=True))
        colours = [self.theme.of(level.kind) for level in inside] or "none"
        self._before.set_segments([((left, price), (begin, price)) for begin, price in pairs])
        self._before.set_color(colours)
        self._levels.set_segments([((begin, price), (right, price)) for begin, price in pairs])
        self._levels.set_color(colours)

    def _show_position(self, model: ChartModel) -> None:
        marks = {mark.kind: mark for mark in model.marks}
        entry, end = marks.get("entry"), marks.get("exit")
        self._show_zones(model, entry, end)
        pointing = "^" if model.side > 0 else "v"
        for kind, marker in (("entry", pointing), ("exit", "X")):
            mark = marks.get(kind)
            self._marks[kind].set_data(*([mark.bar], [mark.price]) if mark else ([], []))
            self._marks[kind].set_marker(marker)
        both = [entry, end] if entry and end else []
        self._path.set_data([mark.bar for mark in both], [mark.price for mark in both])

    def _show_zones(self, model: ChartModel, entry: Mark | None, end: Mark | None) -> None:
        """What was to be won and lost, from entry to exit."""
        for zone, kind in zip(self._zones, _ZONES, strict=True):
            price = model.level_price(kind)
            zone.set_visible(entry is not None and price is not None)
            if entry is not None and price is not None:
                right = model.bar_right if end is None else end.bar
                zone.set_bounds(entry.bar, entry.price, right - entry.bar, price - entry.price)


def _quads(upper: FloatArray, lower: FloatArray) -> FloatArray:
    """The area between two curves as one quadrilateral per step, shape (n - 1, 4, 2)."""
    bar = np.arange(len(upper), dtype=np.float64)
    top, bottom = np.stack([bar, upper], 1), np.stack([bar, lower], 1)
    return np.stack([bottom[:-1], top[:-1], top[1:], bottom[1:]], axis=1)
