"""Gzip data in large steps. Each call into zlib gives the interpreter away and has to wait to get it back: the standard
reader, with its steps of 8 kB, would wait two thousand times over a tape of a million trades.
"""

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

_PACKED_BYTES: Final = 1 << 19
_CAREFUL_BYTES: Final = 1 << 10
_GZIP: Final = 31  # zlib's name for: with gzip's header and checksum


def inflated(file: BinaryIO, bytes_max: int) -> Iterator[bytes]:
    """What the file's members hold, one after the other, in pieces of at most `bytes_max`; zeros behind a member are padding.

    Raises EOFError where the file is cut and zlib.error where it is damaged, after everything that can be read before it.
    """
    member: Any = None
    packed = b""
    while True:
        packed = packed or file.read(_PACKED_BYTES)
        at_end = not packed
        if member is None:
            if at_end:
                return
            packed = packed.lstrip(b"\0")
            member = zlib.decompressobj(_GZIP) if packed else None
            continue
        before = member.copy()
        try:
            data = member.decompress(packed, bytes_max)
        except zlib.error:
            yield from _until_damage(before, packed, bytes_max)
            raise
        if data:
            yield data
        elif at_end:
            raise EOFError("the file ends inside its compressed data")
        packed = member.unconsumed_tail
        if member.eof:
            packed, member = member.unused_data, None


def _until_damage(member: Any, packed: bytes, bytes_max: int) -> Iterator[bytes]:
    """What can be read of data that zlib refuses as a whole. Raises zlib.error at the damage."""
    for start in range(0, len(packed), _CAREFUL_BYTES):
        rest = packed[start : start + _CAREFUL_BYTES]
        while rest:
            data = member.decompress(rest, bytes_max)
            rest = member.unconsumed_tail
            if data:
                yield data
