"""The labels beside the panes: one column, equally wide, each with its price and a line to where it belongs."""

from typing import TYPE_CHECKING, Any, Final

from services.notifier.chart_artists import PaneBox, polygons_of, rounded_box, segments_of, whole_axes
from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import ChartTheme
from services.notifier.core.chart_layout import EDGE, LABEL_HEIGHT
from services.notifier.core.chart_values import ChartModel, Level
from services.notifier.core.texts import price_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL_GAP: Final = 12.0  # from the pane to the labels
LABEL_SIZE: Final = 14.0
_LINE_SHIFT: Final = 9.0  # of its two lines from its middle
_PADDING: Final = 7.0
_RADIUS: Final = 4.0


class LabelColumn:
    """Frames and leaders of all labels; the badge in the header has a frame like them."""

    def __init__(self, figure: "Figure", theme: ChartTheme, texts: TextLayer) -> None:
        axes = whole_axes(figure, zorder=5)
        self._theme, self._texts = theme, texts
        self._leaders = segments_of(axes, theme.grid, 1.1)
        self._frames = polygons_of(axes)
        self._boxes: list[Any] = []
        self._colours: list[str] = []

    def width(self, model: ChartModel) -> float:
        """What the column needs, gap and edge included."""
        return LABEL_GAP + self._label_width(model) + EDGE

    def show(self, model: ChartModel, pane: PaneBox) -> None:
        """Labels beside the pane."""
        left = pane.box.right + LABEL_GAP
        width = self._label_width(model)
        leaders, colours = [], []
        for level in model.levels:
            y = pane.y_of(level.label_price)
            colour = self._theme.of(level.kind)
            self.frame(left, y - LABEL_HEIGHT / 2 + 1, left + width, y + LABEL_HEIGHT / 2 - 1, colour)
            for text, shift in zip(_label_lines(level, model.price_decimals), (-_LINE_SHIFT, _LINE_SHIFT), strict=True):
                self._texts.put(
                    left + _PADDING, y + shift, text, size=LABEL_SIZE, colour=self._theme.on_label, bold=True
                )
            if not level.outside:
                leaders.append(((pane.box.right, pane.y_of(level.price)), (left + 1, y)))
                colours.append(colour)
        self._leaders.set_segments(leaders)
        self._leaders.set_color(colours or "none")

    def frame(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """A rounded box of one colour."""
        self._boxes.append(rounded_box(left, top, right, bottom, _RADIUS))
        self._colours.append(colour)

    def finish(self) -> None:
        """Hand the frames over; the next picture begins with none."""
        self._frames.set_verts(self._boxes)
        self._frames.set_facecolor(self._colours or "none")
        self._boxes, self._colours = [], []

    def _label_width(self, model: ChartModel) -> float:
        lines = [line for level in model.levels for line in _label_lines(level, model.price_decimals)]
        widest = max((self._texts.width(line, LABEL_SIZE, bold=True) for line in lines), default=0.0)
        return widest + 2 * _PADDING


def _label_lines(level: Level, decimals: int) -> tuple[str, str]:
    """Name above, price below."""
    return level.label, price_text(level.price, decimals)
