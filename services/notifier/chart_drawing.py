"""Draws a chart with mplfinance. Only the modules chart_* beside this one touch matplotlib and Pillow, and only inside
functions: the notifier's own process never imports them.

A figure is made once per theme, scale and number of panes and kept: the next picture moves its artists instead of making new
ones, and matplotlib's axes keep no ticks and texts, whose layout costs more than all the rest. Called in a process of its own
(see chart_pool): drawing holds the interpreter, and a message must not wait for a picture.
"""

import os
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from services.notifier.chart_artists import TICK_SIZE, Ground
from services.notifier.chart_header import Header
from services.notifier.chart_labels import LabelColumn
from services.notifier.chart_panes import BiasBand, IndicatorPane, VolumePane
from services.notifier.chart_png import png_of
from services.notifier.chart_price_pane import PricePane
from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import THEMES, ChartTheme
from services.notifier.core.chart_layout import DEFAULT_SCALE, EDGE, HEIGHT, TIMES_MIDDLE, WIDTH, layout
from services.notifier.core.chart_values import ChartModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI: Final = 100
_TICK_GAP: Final = EDGE + 7.0  # beside the texts of the value axis
_STAGES: Final[dict[tuple[str, float, int], "Stage"]] = {}
_STAGES_MAX: Final = 12
_LOCK: Final = threading.Lock()  # a figure draws one picture at a time


def draw_chart(model: ChartModel) -> bytes:
    """The picture as PNG, 640 x 720 times its scale. Uses the Agg backend whatever the environment says."""
    key = (model.theme, model.scale, len(model.panes))
    with _LOCK:
        stage = _STAGES.pop(key, None) or _new_stage(*key)
        picture = stage.draw(model)
        _STAGES[key] = stage  # only now: what a failed picture left behind shows in no other
    return picture


def warm_up_drawing(theme: str = "dark", scale: float = DEFAULT_SCALE) -> None:
    """Pay for the imports and the figure of the usual chart now (about a second)."""
    with _LOCK:
        _STAGES[theme, scale, 1] = _new_stage(theme, scale, 1)


def _new_stage(theme: str, scale: float, pane_count: int) -> "Stage":
    if len(_STAGES) >= _STAGES_MAX:
        _STAGES.pop(next(iter(_STAGES)))  # the one that has not been used for the longest time
    return Stage(THEMES[theme], scale, pane_count)


class Stage:
    """A figure with all its artists, for charts of one theme, scale and number of indicator panes."""

    def __init__(self, theme: ChartTheme, scale: float, pane_count: int) -> None:
        os.environ["MPLBACKEND"] = "Agg"
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure, axes = _candles_by_mplfinance(theme, scale)
        self._theme = theme
        self._canvas: Any = FigureCanvasAgg(figure)
        self._texts = texts = TextLayer(scale)
        self._ground = Ground(figure, theme)
        self._price = PricePane(axes, theme, texts, self._ground)
        self._bias = BiasBand(_axes(figure), theme, texts, self._ground)
        self._volume = VolumePane(_axes(figure), theme, texts, self._ground)
        self._panes = [IndicatorPane(_axes(figure), theme, texts, self._ground) for _ in range(pane_count)]
        self._labels = LabelColumn(figure, theme, texts)
        self._header = Header(theme, texts, self._labels)

    def draw(self, model: ChartModel) -> bytes:
        """Move everything to where this model wants it, and draw."""
        ticks = [*model.price_ticks, *model.volume_ticks, *(tick for pane in model.panes for tick in pane.ticks)]
        places = layout(
            len(self._panes),
            bias=bool(model.bias_text),
            left=_TICK_GAP + max((self._texts.width(tick.text, TICK_SIZE) for tick in ticks), default=0.0),
            right=self._labels.width(model),
        )
        self._price.show(model, places.price, self._labels)
        self._bias.show(model, places.bias)
        self._volume.show(model, places.volume)
        for artist, pane, box in zip(self._panes, model.panes, places.panes, strict=True):
            artist.show(model, pane, box)
        self._show_times(model)
        self._header.show(model)
        self._ground.finish()
        self._labels.finish()
        self._canvas.draw()
        return png_of(self._texts.write(np.asarray(self._canvas.buffer_rgba())))

    def _show_times(self, model: ChartModel) -> None:
        look: dict[str, Any] = {"size": TICK_SIZE, "colour": self._theme.faint}
        for tick in model.time_ticks:
            self._texts.put(self._volume.x_of(tick.at), TIMES_MIDDLE, tick.text, side="center", **look)
        self._texts.put(self._volume.box.right + 12, TIMES_MIDDLE, model.zone, **look)


def _axes(figure: "Figure") -> Any:
    return figure.add_axes((0, 0, 1, 1))


def _candles_by_mplfinance(theme: ChartTheme, scale: float) -> tuple["Figure", Any]:
    """A figure in mplfinance's style with two candles it drew: their collections are filled anew for each picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import mplfinance as mpf
    import pandas as pd

    colours = mpf.make_marketcolors(up=theme.up, down=theme.down, edge="inherit", wick="inherit")
    style = mpf.make_mpf_style(marketcolors=colours, facecolor=theme.pane, figcolor=theme.ground)
    figure = mpf.figure(style=style, figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI * scale)
    plt.close(figure)  # pyplot forgets it; the stage keeps it
    axes = _axes(figure)
    columns = {name: [1.0, 1.0] for name in ("Open", "High", "Low", "Close")}
    mpf.plot(pd.DataFrame(columns, index=pd.to_datetime([0, 60_000], unit="ms")), type="candle", style=style, ax=axes)
    return figure, axes
