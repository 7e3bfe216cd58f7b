"""What stands above and below the panes: names, side, result; signal id and times."""

from typing import Final

from services.notifier.chart_labels import LabelColumn
from services.notifier.chart_text import TextLayer
from services.notifier.chart_themes import ChartTheme
from services.notifier.core.chart_layout import EDGE, WIDTH
from services.notifier.core.chart_values import ChartModel

_LEFT: Final = float(EDGE)
_RIGHT: Final = float(WIDTH - EDGE)
_TITLE_Y, _SUBTITLE_Y, _FOOTER_Y = 33.0, 65.0, 702.0
_TITLE_SIZE: Final = 26.0
_SUBTITLE_SIZE: Final = 15.0
_RESULT_SIZE: Final = 17.0
_BADGE_SIZE: Final = 18.0
_BADGE_PADDING: Final = 10.0
_TIMEFRAME_ROOM: Final = 70.0
_FOOTER_SIZE: Final = 13.0


class Header:
    """Header and footer."""

    def __init__(self, theme: ChartTheme, texts: TextLayer, labels: LabelColumn) -> None:
        self._theme, self._texts, self._labels = theme, texts, labels

    def show(self, model: ChartModel) -> None:
        """Names at the left, the outcome at the right; names too wide for the room between are written smaller."""
        theme, put, width = self._theme, self._texts.put, self._texts.width
        room = _RIGHT - _LEFT - width(model.badge, _BADGE_SIZE, bold=True) - 2 * _BADGE_PADDING - _TIMEFRAME_ROOM
        size = self._fitting(model.title, _TITLE_SIZE, room, bold=True)
        put(_LEFT, _TITLE_Y, model.title, size=size, colour=theme.text, bold=True)
        beside = _LEFT + width(model.title, size, bold=True) + 12
        put(beside, _TITLE_Y + 3, model.timeframe, size=17, colour=theme.faint, bold=True)
        room = _RIGHT - _LEFT - width(model.result, _RESULT_SIZE, bold=True) - 20
        size = self._fitting(model.subtitle, _SUBTITLE_SIZE, room)
        put(_LEFT, _SUBTITLE_Y, model.subtitle, size=size, colour=theme.faint)
        colour = theme.faint if model.won is None else theme.take_profit if model.won else theme.stop_loss
        put(_RIGHT, _SUBTITLE_Y, model.result, size=_RESULT_SIZE, colour=colour, bold=True, side="right")
        self._badge(model)
        put(_LEFT, _FOOTER_Y, model.footer, size=_FOOTER_SIZE, colour=theme.faint)
        room = _RIGHT - _LEFT - width(model.footer, _FOOTER_SIZE) - 20
        size = self._fitting(model.footer_right, _FOOTER_SIZE, room)
        put(_RIGHT, _FOOTER_Y, model.footer_right, size=size, colour=theme.faint, side="right")

    def _fitting(self, text: str, size: float, room: float, *, bold: bool = False) -> float:
        width = self._texts.width(text, size, bold=bold)
        return size if width <= room else size * room / width

    def _badge(self, model: ChartModel) -> None:
        if not model.badge:
            return
        width = self._texts.width(model.badge, _BADGE_SIZE, bold=True)
        colour = {1: self._theme.up, -1: self._theme.down}.get(model.side, self._theme.last)
        self._labels.frame(_RIGHT - width - 2 * _BADGE_PADDING, _TITLE_Y - 17, _RIGHT, _TITLE_Y + 16, colour)
        place = _RIGHT - _BADGE_PADDING
        self._texts.put(
            place, _TITLE_Y, model.badge, size=_BADGE_SIZE, colour=self._theme.on_label, bold=True, side="right"
        )
