"""The texts of a picture, written by Pillow onto the pixels that matplotlib drew.

matplotlib lays out and renders a text of ten characters in about a millisecond, and a chart has thirty; Pillow does it in
forty microseconds. The font is the one that matplotlib brings along, so that every machine writes the same. Texts are taken
literally (`$` begins no formula, `<` no markup); a character that the font lacks becomes its empty box.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_FILES: Final = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
_CAPITAL: Final = 0.73  # height of capitals and digits in ems
_ANCHORS: Final = {"left": "ls", "center": "ms", "right": "rs"}

Side = Literal["left", "center", "right"]


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """A text of one line. x, y: in layout units, y down to the middle of its capitals; size: em in units.

    halo: colour of a rim that keeps the text legible over curves.
    """

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    side: Side = "left"
    halo: str | None = None


class TextLayer:
    """Collects the texts of a picture and writes them in one go. scale: pixels per unit."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._writings: list[Writing] = []

    def put(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        colour: str,
        bold: bool = False,
        side: Side = "left",
        halo: str | None = None,
    ) -> None:
        """A text at the place; `side` says which of its ends x is."""
        if text:
            writing = Writing(x=x, y=y, text=text, size=size, colour=colour, bold=bold, side=side, halo=halo)
            self._writings.append(writing)

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """How wide the text will be, in units."""
        return float(_font(round(size * self._scale), bold=bold).getlength(text)) / self._scale

    def write(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The pixels (RGBA, shape (height, width, 4)) with the texts on them, as RGB; the layer is empty again."""
        from PIL import Image, ImageDraw

        height, width = pixels.shape[:2]
        image = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1).convert("RGB")
        draw = ImageDraw.Draw(image)
        for item in self._writings:
            size = item.size * self._scale
            place = (round(item.x * self._scale), round(item.y * self._scale + size * _CAPITAL / 2))
            font = _font(round(size), bold=item.bold)
            draw.text(
                place,
                item.text,
                fill=item.colour,
                font=font,
                anchor=_ANCHORS[item.side],
                stroke_width=2 if item.halo else 0,
                stroke_fill=item.halo,
            )
        self._writings.clear()
        return np.asarray(image)


@lru_cache(maxsize=64)
def _font(size_px: int, *, bold: bool) -> "FreeTypeFont":
    import matplotlib as mpl
    from PIL import ImageFont

    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / _FILES[bold]
    # Whole pixels, since hinting distorts others. The basic layout needs no Raqm library: the same places everywhere.
    return ImageFont.truetype(str(file), size_px, layout_engine=ImageFont.Layout.BASIC)
