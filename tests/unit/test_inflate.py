"""Gzip data in large steps: what the standard reader reads, and all that can be read before a damage."""

import gzip
import io
import random
import zlib

import pytest

from cli.replay.inflate import inflated

TEXT = b"".join(b"%d,%d\n" % (number, number * 7919 % 10007) for number in range(20_000))


def read(packed, bytes_max=1000):
    """All pieces, and what ended them early."""
    found = []
    try:
        for piece in inflated(io.BytesIO(packed), bytes_max):
            assert len(piece) <= bytes_max
            found.append(piece)
    except (EOFError, zlib.error) as error:
        return b"".join(found), error
    return b"".join(found), None


@pytest.mark.parametrize("bytes_max", [1, 999, 1 << 20])
def test_members_follow_one_another_and_padding_is_left_out(bytes_max):
    packed = gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:3000]) + bytes(700) + gzip.compress(b"") + bytes(3)

    assert read(packed, bytes_max) == (gzip.decompress(packed), None)


def test_a_cut_file_yields_all_before_the_cut():
    packed = gzip.compress(TEXT)
    for end in (5, 1000, len(packed) - 9, len(packed) - 1):
        data, error = read(packed[:end])

        assert data == zlib.decompressobj(31).decompress(packed[:end])
        assert isinstance(error, EOFError)


def test_a_damaged_file_yields_nearly_all_before_the_damage():
    packed = bytearray(gzip.compress(TEXT))
    at = random.Random(7).randrange(len(packed) // 2, len(packed) - 100)
    packed[at : at + 64] = bytes(byte ^ 0xFF for byte in packed[at : at + 64])

    data, error = read(bytes(packed))

    assert isinstance(error, zlib.error)
    before = zlib.decompressobj(31).decompress(bytes(packed[: at - 1024]))
    assert data[: len(before)] == before == TEXT[: len(before)]


def test_what_is_no_gzip_behind_a_member_is_named():
    data, error = read(gzip.compress(TEXT[:100]) + b"not gzip at all")

    assert data == TEXT[:100]
    assert isinstance(error, zlib.error)
