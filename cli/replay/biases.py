"""Biases for a replay: a file of versions as `cst macro` writes it, handed over when their time has come."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from shared.domain.bias import MacroBias
from shared.domain.errors import PermanentError
from shared.domain.events import MacroBiasUpdated

_DECODER: Final = msgspec.json.Decoder(MacroBias)


class BiasFeed:
    """Versions in the order in which they were published; nothing of it is given out twice."""

    def __init__(self, biases: Sequence[MacroBias] = ()) -> None:
        self._biases = sorted(biases, key=lambda bias: (bias.published_at_ms, bias.version, bias.base, bias.quote))
        self._next = 0

    def due(self, now_ms: int) -> list[MacroBiasUpdated]:
        """What has been published by now. A version is in force only for candles that close seconds later or more."""
        first = self._next
        while self._next < len(self._biases) and self._biases[self._next].published_at_ms <= now_ms:
            self._next += 1
        return [MacroBiasUpdated(bias=bias) for bias in self._biases[first : self._next]]


def load_biases(file: Path | None) -> list[MacroBias]:
    """One version per line; none without a file. Raises PermanentError naming file, line and what is wrong."""
    if file is None:
        return []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise PermanentError(f"--bias cannot be read: {error.strerror} ({file})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(_DECODER.decode(line))
        except (msgspec.MsgspecError, PermanentError, UnicodeDecodeError) as error:
            raise PermanentError(f"no version of a bias: {error} ({file} line {number})") from error
    return found
