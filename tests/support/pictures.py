"""How different two pictures look to a person, whatever the fonts' hinting and the antialiasing did to single pixels."""

import io
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.float64]
_TILE = 8  # pixels of the reduced picture
_WIDTH = 160  # pictures are compared at this width: a hair's breadth more or less is gone there
# sRGB (linear) to XYZ, and the white of daylight D65: CIE 15, as in every colour library.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])


class Distance(msgspec.Struct, frozen=True):
    """In CIE Lab, where 1 is the least a trained eye sees and 2.3 what everybody sees: on average, and in the worst tile."""

    mean: float
    worst_tile: float


def distance(one: Image.Image, other: Image.Image) -> Distance:
    """Reduce, blur, compare colours as the eye does. Raises ValueError for pictures of different proportions."""
    if abs(one.width * other.height - one.height * other.width) > 2 * max(one.size + other.size):
        raise ValueError(f"pictures must have the same proportions, were {one.size} and {other.size}")
    apart = np.sqrt(((lab(_reduced(one)) - lab(_reduced(other))) ** 2).sum(axis=2))
    height, width = (length - length % _TILE for length in apart.shape)
    tiles = apart[:height, :width].reshape(height // _TILE, _TILE, width // _TILE, _TILE).mean(axis=(1, 3))
    return Distance(mean=float(apart.mean()), worst_tile=float(tiles.max()))


def lab(image: Image.Image) -> Pixels:
    """CIE Lab of every pixel, shape (height, width, 3)."""
    values = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


def picture(png: bytes) -> Image.Image:
    """The decoded picture."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def small(image: Image.Image) -> Image.Image:
    """What is kept as approved: half the size."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


def save_comparison(approved: Image.Image, drawn: Image.Image, file: Path) -> None:
    """Approved, drawn, and where they differ (white on black), side by side."""
    size = drawn.size
    approved = approved.convert("RGB").resize(size)
    apart = np.sqrt(((lab(_reduced(approved)) - lab(_reduced(drawn))) ** 2).sum(axis=2))
    reduced = Image.fromarray(np.minimum(apart * 12, 255).astype(np.uint8)).convert("RGB")
    difference = reduced.resize(size, Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (size[0] * 3, size[1]))
    for place, part in enumerate((approved, drawn, difference)):
        sheet.paste(part, (place * size[0], 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


def _reduced(image: Image.Image) -> Image.Image:
    size = (_WIDTH, round(image.height * _WIDTH / image.width))
    return image.convert("RGB").resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.7))
