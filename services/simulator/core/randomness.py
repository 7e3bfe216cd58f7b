"""Random numbers by key: the same key gives the same numbers, whatever was asked before."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import overload

import numpy as np

_DIGEST_BYTES = 16


def digest(seed: int, *key: str | int) -> bytes:
    """Sixteen bytes that depend on the seed and on every part of the key."""
    text = "|".join([str(seed), *map(str, key)])
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for one key, for example ("BTCUSDT", "minute", 29_000_000)."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest(seed, *key), "big")))


def unit_interval(seed: int, *key: str | int) -> float:
    """One number in [0, 1) for a key, without the cost of a generator."""
    return int.from_bytes(digest(seed, *key)[:6], "big") / 2**48


class HashedIds(Sequence[str]):
    """Trade ids of one minute, computed when read: most minutes are folded into klines and never sent."""

    def __init__(self, seed: int, symbol: str, minute: int, count: int) -> None:
        self._prefix = f"{seed}|{symbol}|{minute}|"
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        raw = hashlib.blake2b(f"{self._prefix}{index}".encode(), digest_size=_DIGEST_BYTES).digest()
        return str(uuid.UUID(bytes=raw, version=5))
