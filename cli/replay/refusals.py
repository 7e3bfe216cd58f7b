"""The aggregator's dead letters as lines of refused.jsonl: one per trade, with the reason of its letter."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cli.replay.reader import RefusedRow
from shared.bus.port import DeadLetter


def refused_trades(file: str, letters: Sequence[DeadLetter]) -> list[RefusedRow]:
    """Every trade of the letters, in their order. `text` is the trade as JSON; the line is not known any more."""
    return [
        RefusedRow(file=file, line=None, reason=letter.reason, text=msgspec.json.encode(trade).decode())
        for letter in letters
        for trade in _trades_of(letter)
    ]


def _trades_of(letter: DeadLetter) -> Iterator[dict[str, Any]]:
    """A letter holds one trade, or the columns of several; anything else passes as it is."""
    said = msgspec.json.decode(letter.data)
    symbol = {"symbol": letter.attributes["symbol"]} if "symbol" in letter.attributes else {}
    if not isinstance(said, dict):
        yield {**symbol, "data": said}
        return
    columns = {name: column for name, column in said.items() if isinstance(column, list)}
    if not columns:
        yield {**symbol, **said}
        return
    for values in zip(*columns.values(), strict=True):
        yield {**symbol, **dict(zip(columns, values, strict=True))}
