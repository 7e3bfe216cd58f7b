"""The panes around the price: the band of the macro bias, volume, indicators."""

from typing import Any, Final

import numpy as np

from services.notifier.chart_artists import (
    TITLE_SIZE,
    FloatArray,
    Ground,
    PaneBox,
    bars_between,
    floats,
    polygons_of,
    rgba,
    segments_of,
)
from services.notifier.chart_labels import LABEL_GAP, LABEL_SIZE
from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import ChartTheme
from services.notifier.core.chart_layout import Box
from services.notifier.core.chart_values import ChartModel, Pane

_BIASED: Final = ("long", "short", "neutral")
_ROW_TOP: Final = 34
_ROW_HEIGHT: Final = 20
_ROW_SIZE: Final = 14.0


class VolumePane(PaneBox):
    """Volume as bars, in the colour of their candles."""

    def __init__(self, axes: Any, theme: ChartTheme, texts: TextLayer, ground: Ground) -> None:
        super().__init__(axes, theme, texts, ground)
        self._bars = polygons_of(axes, zorder=3)

    def show(self, model: ChartModel, box: Box) -> None:
        """The volume of every bar shown."""
        volume = np.array(model.volume)
        high = (float(volume.max()) or 1.0) * 1.2
        self.place(box, x=(model.bar_left, model.bar_right), y=(0.0, high), after_bar=model.decision_bar + 0.5)
        self.grid(model.volume_ticks, model.time_ticks)
        self._bars.set_verts(bars_between(np.zeros(len(volume)), volume))
        rising = np.array(model.close) >= np.array(model.open)
        self._bars.set_facecolor(rgba(self.theme.volume_up, self.theme.volume_down, rising))
        self.title(model.volume_title)


class IndicatorPane(PaneBox):
    """Curves, bars from zero, thresholds; or rows of conditions."""

    def __init__(self, axes: Any, theme: ChartTheme, texts: TextLayer, ground: Ground) -> None:
        super().__init__(axes, theme, texts, ground)
        self._bars = polygons_of(axes, zorder=2)
        self._band = axes.axhspan(0, 1, color=theme.first, alpha=0.09, linewidth=0, zorder=0.3)
        self._thresholds = segments_of(axes, theme.faint, 1.0, zorder=1, linestyles=(0, (2, 3)))
        self._dot = axes.plot([], [], marker="o", markersize=5, linestyle="none", zorder=5)[0]

    def show(self, model: ChartModel, pane: Pane, box: Box) -> None:
        """The pane over the bars of the model."""
        x = (model.bar_left, model.bar_right)
        after_bar = x[1] if pane.rows else model.decision_bar + 0.5
        self.place(box, x=x, y=(pane.low, pane.high), after_bar=after_bar)
        self.grid(pane.ticks, () if pane.rows else model.time_ticks)
        self.curves.show(pane.lines)
        self._show_bars(floats(pane.bars))
        low, high = pane.band or (0.0, 0.0)
        self._band.set_visible(pane.band is not None)
        self._band.set_y(low)
        self._band.set_height(high - low)
        self._thresholds.set_segments([((x[0], at), (x[1], at)) for at in pane.thresholds])
        self.title(pane.title, pane.lines)
        self._show_told(model, pane)
        self._show_rows(pane)

    def _show_bars(self, values: FloatArray) -> None:
        self._bars.set_visible(bool(len(values)))
        if len(values):
            known = ~np.isnan(values)
            self._bars.set_verts(bars_between(np.zeros(len(values)), values)[known])
            self._bars.set_facecolor(rgba(self.theme.up, self.theme.down, values[known] >= 0))

    def _show_told(self, model: ChartModel, pane: Pane) -> None:
        if pane.told is None or not pane.lines:
            self._dot.set_data([], [])
            return
        colour = self.theme.of(pane.lines[0].colour)
        self._dot.set_data([model.decision_bar], [pane.told.at])
        self._dot.set_color(colour)
        y = min(max(self.y_of(pane.told.at), self.box.top + 9), self.box.bottom - 9)
        self.texts.put(self.box.right + LABEL_GAP, y, pane.told.text, size=LABEL_SIZE, colour=colour, bold=True)

    def _show_rows(self, pane: Pane) -> None:
        for number, row in enumerate(pane.rows):
            y = self.box.top + _ROW_TOP + number * _ROW_HEIGHT
            colour = self.theme.take_profit if row.passed else self.theme.faint
            text = ("✓  " if row.passed else "✗  ") + row.text
            self.texts.put(self.box.left + 9, y, text, size=_ROW_SIZE, colour=colour)


class BiasBand(PaneBox):
    """The macro bias above the price: a strip over the bars with its words."""

    def __init__(self, axes: Any, theme: ChartTheme, texts: TextLayer, ground: Ground) -> None:
        super().__init__(axes, theme, texts, ground)
        self._spans = polygons_of(axes, zorder=1)

    def show(self, model: ChartModel, box: Box | None) -> None:
        """The recorded bias of each bar; hidden where the chart has none."""
        self.axes.set_visible(box is not None)
        if box is None:
            return
        self.place(box, x=(model.bar_left, model.bar_right), y=(0.0, 1.0), after_bar=model.decision_bar + 0.5)
        kinds = {"long": self.theme.up, "short": self.theme.down}
        corners = ((-0.5, 0.0), (-0.5, 1.0), (0.5, 1.0), (0.5, 0.0))
        spans = [span for span in model.bias_spans if span.kind in _BIASED]
        self._spans.set_verts([[(s.first + x if x < 0 else s.last + x, y) for x, y in corners] for s in spans])
        self._spans.set_facecolor(
            [_faded(kinds.get(s.kind, self.theme.faint), 0.6 if s.binding else 0.3) for s in spans] or "none"
        )
        middle = (box.top + box.bottom) / 2
        colour = self.theme.text if spans else self.theme.faint
        self.texts.put(box.left + 7, middle, model.bias_text, size=TITLE_SIZE, colour=colour)


def _faded(colour: str, alpha: float) -> Any:
    from matplotlib.colors import to_rgba

    return to_rgba(colour, alpha)
