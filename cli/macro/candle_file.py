"""A file of candles as one table of numbers, and the pair it is about."""

import re
from pathlib import Path
from typing import Final

import numpy as np

from services.macro_engine.core.candles import COLUMNS, Candles
from services.macro_engine.core.versions import Pair
from shared.domain.errors import PermanentError
from shared.domain.pairs import base_and_quote
from shared.exchanges.candle_files import open_candle_file
from shared.exchanges.kraken.instruments import common_asset, common_symbol

_WORD: Final = re.compile(r"[A-Z0-9]{5,20}")


def read_candles(file: Path, pair: Pair) -> Candles:
    """The file's candles, oldest first. Raises PermanentError naming the file, the line and the rule that it breaks."""
    found = open_candle_file(file)
    rows = [
        (candle.open_time_ms, candle.open, candle.high, candle.low, candle.close, float(candle.volume))
        for candle in found.candles("file", pair.base + pair.quote)
    ]
    return Candles(found.timeframe, np.array(rows, dtype=np.float64).reshape(-1, COLUMNS))


def pair_of(file: Path, named: str | None) -> Pair:
    """The pair given as BASE/QUOTE, else the one in the file's name (..._BTCUSDT_1m_...). Raises PermanentError without any."""
    for word in [named] if named else _WORD.findall(file.name):
        base, quote = base_and_quote(common_symbol(word))
        if quote:
            return Pair(base, common_asset(quote))
    raise PermanentError(f"no pair is in the name of the file: give --pair BASE/QUOTE ({file})")
