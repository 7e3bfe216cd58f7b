"""Pieces a picture is made of, made once and moved for every picture: a pane with its grid and curves, bars, lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import ChartTheme
from services.notifier.core.chart_layout import HEIGHT, WIDTH, Box
from services.notifier.core.chart_values import Column, Line, Tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
Segment = tuple[tuple[float, float], tuple[float, float]]
TICK_SIZE: Final = 14.0
TITLE_SIZE: Final = 13.0
_DASHES: Final = (0, (4, 2.5))
_BODY: Final = 0.36  # half the width of a candle, in bars


class CurvePool:
    """Curves over the bars of one pane."""

    def __init__(self, axes: "Axes", theme: ChartTheme) -> None:
        self._axes, self._theme = axes, theme
        self._curves: list[Any] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Show these and no others."""
        while len(self._curves) < len(lines):
            self._curves += self._axes.plot([], [], linewidth=1.4, solid_joinstyle="round", zorder=4)
        for curve, line in zip(self._curves, lines, strict=False):
            curve.set_data(np.arange(len(line.values)), floats(line.values))
            curve.set_color(self._theme.of(line.colour))
            curve.set_linestyle(_DASHES if line.dashed else "-")
            curve.set_visible(True)
        for curve in self._curves[len(lines) :]:
            curve.set_visible(False)


class Ground:
    """What lies below and around all panes: their ground, grid and frames, in layout units over the whole picture."""

    def __init__(self, figure: "Figure", theme: ChartTheme) -> None:
        self._theme = theme
        below, above = whole_axes(figure, zorder=-1), whole_axes(figure, zorder=4)
        self._fields = polygons_of(below)
        self._grid = segments_of(below, theme.grid, 0.7)
        self._frames = segments_of(above, theme.grid, 0.9, capstyle="projecting")
        self._start()

    def _start(self) -> None:
        self._boxes: list[tuple[Box, str]] = []
        self._lines: list[Segment] = []
        self._edges: list[Segment] = []

    def pane(self, box: Box, after: float) -> None:
        """A pane; what lies right of `after` gets another ground."""
        self._boxes += [(box, self._theme.pane), (Box(after, box.top, box.right, box.bottom), self._theme.after)]
        corners = corners_of(box)
        self._edges += [(corners[side - 1], corners[side]) for side in range(4)]

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A line of the grid."""
        self._lines.append((start, end))

    def finish(self) -> None:
        """Hand everything over; the next picture begins with nothing."""
        self._fields.set_verts(np.array([corners_of(box) for box, _ in self._boxes]))
        self._fields.set_facecolor([colour for _, colour in self._boxes])
        self._grid.set_segments(self._lines)
        self._frames.set_segments(self._edges)
        self._start()


class PaneBox:
    """One pane: matplotlib's axes without their slow ticks and texts, on the common ground."""

    def __init__(self, axes: "Axes", theme: ChartTheme, texts: TextLayer, ground: Ground) -> None:
        self.axes, self.theme, self.texts, self._ground = axes, theme, texts, ground
        axes.set_axis_off()
        axes.set_autoscale_on(False)
        self.curves = CurvePool(axes, theme)
        self.box = Box(0, 0, 1, 1)
        self._x = self._y = (0.0, 1.0)

    def place(self, box: Box, *, x: tuple[float, float], y: tuple[float, float], after_bar: float) -> None:
        """Where the pane stands and what its axes span; what follows after_bar gets another ground."""
        self.box, self._x, self._y = box, x, y
        self.axes.set_position((box.left / WIDTH, 1 - box.bottom / HEIGHT, box.width / WIDTH, box.height / HEIGHT))
        self.axes.set_xlim(*x)
        self.axes.set_ylim(*y)
        self._ground.pane(box, self.x_of(after_bar))

    def grid(self, values: Sequence[Tick], times: Sequence[Tick]) -> None:
        """Lines at the ticks, and the texts of the values."""
        box = self.box
        for tick in times:
            x = self.x_of(tick.at)
            self._ground.line((x, box.top), (x, box.bottom))
        for tick in values:
            y = self.y_of(tick.at)
            self._ground.line((box.left, y), (box.right, y))
            place = min(max(y, box.top + 5), box.bottom - 5)
            self.texts.put(box.left - 7, place, tick.text, size=TICK_SIZE, colour=self.theme.faint, side="right")

    def title(self, text: str, names: Sequence[Line] = ()) -> None:
        """In the upper left corner, followed by the names of curves in their colours."""
        x, y = self.box.left + 7, self.box.top + 12
        parts = [(text, self.theme.faint), *((line.name, self.theme.of(line.colour)) for line in names)]
        for part, colour in parts:
            if part:
                self.texts.put(x, y, part, size=TITLE_SIZE, colour=colour, halo=self.theme.pane)
                x += self.texts.width(part, TITLE_SIZE) + 12

    def x_of(self, bar: float) -> float:
        """Layout units of a bar."""
        low, high = self._x
        return self.box.left + (bar - low) / (high - low) * self.box.width

    def y_of(self, value: float) -> float:
        """Layout units of a value."""
        low, high = self._y
        return self.box.bottom - (value - low) / (high - low) * self.box.height


def whole_axes(figure: "Figure", *, zorder: float) -> "Axes":
    """Axes over the whole picture, in layout units, y downwards."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.set_zorder(zorder)
    return axes


def corners_of(box: Box) -> list[tuple[float, float]]:
    """The four corners, round about."""
    return [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]


def segments_of(axes: "Axes", colour: str, width: float, **look: Any) -> Any:
    """An empty LineCollection in the axes (Any: its stubs refuse the arrays it takes)."""
    from matplotlib.collections import LineCollection

    lines = LineCollection([], colors=colour, linewidths=width, **look)
    axes.add_collection(lines, autolim=False)
    return lines


def polygons_of(axes: "Axes", **look: Any) -> Any:
    """An empty PolyCollection in the axes."""
    from matplotlib.collections import PolyCollection

    polygons = PolyCollection([], linewidths=0, **look)
    axes.add_collection(polygons, autolim=False)
    return polygons


def bars_between(bottom: FloatArray, top: FloatArray) -> FloatArray:
    """Rectangles of shape (n, 4, 2), one per bar."""
    middle = np.arange(len(top), dtype=np.float64)
    left, right = middle - _BODY, middle + _BODY
    corners = ((left, bottom), (left, top), (right, top), (right, bottom))
    return np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)


def rounded_box(left: float, top: float, right: float, bottom: float, radius: float) -> FloatArray:
    """The outline of a rectangle with round corners in layout units, y down; shape (32, 2)."""
    quarter = np.linspace(0, np.pi / 2, 8)
    corners = ((right, bottom, 0), (left, bottom, 1), (left, top, 2), (right, top, 3))
    points = []
    for x, y, turn in corners:
        angle = quarter + turn * np.pi / 2
        middle = (x - radius if x == right else x + radius, y - radius if y == bottom else y + radius)
        points.append(np.stack([middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle)], axis=1))
    return np.concatenate(points)


def rgba(when: str, otherwise: str, mask: Any) -> FloatArray:
    """One colour per bar, shape (n, 4)."""
    from matplotlib.colors import to_rgba

    return np.where(np.asarray(mask)[:, None], to_rgba(when), to_rgba(otherwise))


def floats(values: Column) -> FloatArray:
    """As float64, None as NaN."""
    return np.array(values, dtype=np.float64)
