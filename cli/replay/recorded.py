"""An exported tape with its batches: the very batches that were appended live, in the order of their watermarks."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from cli.replay.batches import LATENESS_MS, Cut
from cli.replay.reader import RefusedRow
from shared.domain.checks import require
from shared.domain.decimals import units_of_text
from shared.domain.errors import InvalidValueError, PermanentError
from shared.domain.timeframe import minute_ms
from shared.domain.trades import TradeBatch, TradeSource

_NEEDED: Final = ("symbol", "trade_id", "price", "quantity", "trade_time", "buyer_market_maker", "venue_sequence")


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the batches' file."""

    exchange: str
    session: str
    session_started_at_ms: int
    sequence: int
    source: TradeSource
    symbols: tuple[str, ...]
    price_scales: tuple[int, ...]
    quantity_scales: tuple[int, ...]
    covers_from_ms: int
    watermark_ms: int


class RecordedTape:
    """Stands where TapeReader and BatchMaker stand; `cuts` gives the batches as they were."""

    lateness_ms = LATENESS_MS

    def __init__(self, tape: Path, batches: Path) -> None:
        self.path = tape
        self.refused: list[RefusedRow] = []
        self.bytes_read = self.trade_count = self.last_minute_ms = self.watermark_ms = 0
        decoder = msgspec.json.Decoder(_Line)
        self._lines: list[_Line] = []
        for number, text in enumerate(batches.read_bytes().splitlines(), start=1):
            try:
                self._lines.append(decoder.decode(text))
            except msgspec.MsgspecError as error:
                raise PermanentError(f"not a batch of an exported tape: {error} ({batches} line {number})") from error
        self.symbols = sorted({symbol for line in self._lines for symbol in line.symbols})
        # A batch vouches for what its session has seen since its first one: for a session that the export cut in the
        # middle, that is the first one here, which says from when on.
        self._first: dict[str, int] = {}
        for line in self._lines:
            self._first[line.session] = min(line.sequence, self._first.get(line.session, line.sequence))

    def cuts(self) -> Iterator[Cut]:
        """Every batch with the watermark it carried, heartbeats too."""
        rows = self._rows()
        self.bytes_read = self.path.stat().st_size
        for line in self._lines:
            mine = rows.pop((line.session, str(line.sequence)), [])
            self.trade_count += len(mine)
            self.watermark_ms = max(self.watermark_ms, line.watermark_ms)
            yield Cut(_batch(line, mine, line.sequence - self._first[line.session]), [self.watermark_ms])
        if rows:
            session, sequence = next(iter(rows))
            raise InvalidValueError(
                f"trades of {len(rows)} batches are not among the batches, first {session} {sequence} ({self.path})"
            )

    def _rows(self) -> dict[tuple[str, str], list[dict[str, str]]]:
        found: defaultdict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
        with gzip.open(self.path, "rt") if self.path.suffix == ".gz" else self.path.open() as file:
            reader = csv.DictReader(file)
            missing = [
                name for name in (*_NEEDED, "tie_rank", "session", "sequence") if name not in (reader.fieldnames or ())
            ]
            require(not missing, "an exported tape names its sessions and sequences; missing", missing, str(self.path))
            for row in reader:
                found[row["session"], row["sequence"]].append(row)
                self.last_minute_ms = max(self.last_minute_ms, minute_ms(int(row["trade_time"])))
        return dict(found)


def _batch(line: _Line, rows: list[dict[str, str]], sequence: int) -> TradeBatch:
    index = [line.symbols.index(row["symbol"]) for row in rows]
    units = [units_of_text(row["quantity"], line.quantity_scales[at]) for row, at in zip(rows, index, strict=True)]
    header: dict[str, Any] = {name: getattr(line, name) for name in _Line.__struct_fields__} | {"sequence": sequence}
    ids = [int(row["trade_id"]) if row["trade_id"].isdecimal() else row["trade_id"] for row in rows]
    return TradeBatch(
        **header,
        symbol_index=np.array(index, dtype=np.int64),
        trade_id=ids,  # type: ignore[arg-type]  # made a column by the batch itself
        price=np.array([float(row["price"]) for row in rows], dtype=np.float64),
        quantity_units=np.array(units, dtype=np.int64),
        traded_at_ms=np.array([int(row["trade_time"]) for row in rows], dtype=np.int64),
        taker_is_buyer=np.array([row["buyer_market_maker"] == "false" for row in rows], dtype=np.bool_),
        venue_sequence=np.array([int(row["venue_sequence"]) for row in rows], dtype=np.int64),
        tie_rank=np.array([int(row["tie_rank"]) for row in rows], dtype=np.int64),
    )
