"""PNG from a canvas of pixels. A chart is mostly flat ground: unfiltered rows at the fastest level come out as small as
Pillow's filtered ones and take a third of its time (16 against 40 ms for 1280 x 1440).
"""

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LEVEL: Final = 1
_RGB, _BITS = 2, 8


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """8-bit RGB without alpha. pixels: contiguous, shape (height, width, 3)."""
    height, width = pixels.shape[:2]
    rows = np.empty((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = 0  # filter type of each row: none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, _BITS, _RGB, 0, 0, 0)
    packed = zlib.compress(rows.data, level=_LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
