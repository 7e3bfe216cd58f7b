"""Where everything stands in a picture, in units of a 640 x 720 canvas (a unit is a pixel at scale 1), y downwards."""

from typing import Final

import msgspec

WIDTH: Final = 640
HEIGHT: Final = 720
DEFAULT_SCALE: Final = 1.5  # 960 x 1080: sharp on a phone, and Telegram leaves pictures up to 1280 as they are
EDGE: Final = 14  # beside everything
PANES_MAX: Final = 2
LABEL_HEIGHT: Final = 40  # two lines of a level's label with their frame
_TOP: Final = 88
_BIAS_HEIGHT: Final = 18
_BOTTOM: Final = 662  # below it: times and the footer
_GAP: Final = 7
_VOLUME_HEIGHT: Final = (82, 74, 56)  # by number of indicator panes
_PANE_HEIGHT: Final = (0, 112, 90)
TIMES_MIDDLE: Final = 676
_PANE_WIDTH_MIN: Final = 240


class Box(msgspec.Struct, frozen=True):
    """A rectangle: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left


class Layout(msgspec.Struct, frozen=True):
    """The boxes of one picture, top to bottom; bias is None where no band is drawn."""

    bias: Box | None
    price: Box
    volume: Box
    panes: tuple[Box, ...]


def price_height(pane_count: int, *, bias: bool) -> float:
    """Height of the price pane, known before anything is drawn, so that labels can be spread."""
    return layout(pane_count, bias=bias, left=0, right=0).price.height


def layout(pane_count: int, *, bias: bool, left: float, right: float) -> Layout:
    """The boxes for so many indicator panes; left, right: room beside them, less where the panes would become too narrow."""
    right = max(WIDTH - right, left + _PANE_WIDTH_MIN)
    price_top = _TOP + (_BIAS_HEIGHT + 2 if bias else 0)
    bottom = float(_BOTTOM)
    panes: list[Box] = []
    for height in [_PANE_HEIGHT[pane_count]] * pane_count + [_VOLUME_HEIGHT[pane_count]]:
        panes.insert(0, Box(left, bottom - height, right, bottom))
        bottom -= height + _GAP
    return Layout(
        bias=Box(left, _TOP, right, _TOP + _BIAS_HEIGHT) if bias else None,
        price=Box(left, price_top, right, bottom),
        volume=panes[0],
        panes=tuple(panes[1:]),
    )
