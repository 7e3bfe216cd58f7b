"""A recorded tape, chunk by chunk, as columns. Gzip or plain CSV; the header names the columns."""

import gzip
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np

from cli.replay import kernel
from shared.domain.errors import PermanentError
from shared.domain.trades import BoolColumn, FloatColumn, IdColumn, IntColumn

CHUNK_BYTES: Final = 1 << 21
LINE_BYTES_MIN: Final = 8
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ROLES: Final = {
    "event_time": kernel.EVENT_TIME,
    "symbol": kernel.SYMBOL,
    "trade_id": kernel.TRADE_ID,
    "price": kernel.PRICE,
    "quantity": kernel.QUANTITY,
    "trade_time": kernel.TRADE_TIME,
    "buyer_market_maker": kernel.MAKER,
}
REQUIRED_COLUMNS: Final = ("event_time", "symbol", "trade_id", "price", "quantity", "trade_time")


class TapeError(PermanentError):
    """The tape cannot be read; the text names file and line."""


class TextIdsFoundError(Exception):
    """A trade id is no integer: read the whole tape again with ids as text, so that all are compared alike."""


class TapeChunk(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Consecutive rows of the tape in columns; units are mantissas with their own decimals per row.

    symbol_count: how many symbols the tape has shown up to its end.
    """

    first_line: int
    symbol_count: int
    event_time_ms: IntColumn
    symbol_index: IntColumn
    trade_id: IdColumn
    price: FloatColumn
    price_decimals: IntColumn
    quantity_mantissa: IntColumn
    quantity_decimals: IntColumn
    trade_time_ms: IntColumn
    taker_is_buyer: BoolColumn


_NO_INTEGERS: Final = np.empty(0, dtype=np.int64)
EMPTY_CHUNK: Final = TapeChunk(
    first_line=0,
    symbol_count=0,
    event_time_ms=_NO_INTEGERS,
    symbol_index=_NO_INTEGERS,
    trade_id=_NO_INTEGERS,
    price=np.empty(0, dtype=np.float64),
    price_decimals=_NO_INTEGERS,
    quantity_mantissa=_NO_INTEGERS,
    quantity_decimals=_NO_INTEGERS,
    trade_time_ms=_NO_INTEGERS,
    taker_is_buyer=np.empty(0, dtype=np.bool_),
)


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that breaks a rule; it is left out, everything else goes on."""

    file: str
    line: int
    reason: str
    text: str


class TapeReader:
    """Reads one tape. `symbols` grows as new ones appear; `refused` collects bad rows; `bytes_read` feeds a progress bar."""

    def __init__(self, path: Path, *, ids_as_text: bool = False) -> None:
        self.path = path
        self.symbols: list[str] = []
        self.refused: list[RefusedRow] = []
        self.bytes_read = 0
        self._ids_as_text = ids_as_text
        self._hashes = np.zeros(kernel.SYMBOLS_MAX, dtype=np.uint64)
        self._line = 2

    def chunks(self) -> Iterator[TapeChunk]:
        """Every good row in file order. Raises TapeError (file, line) where the file is missing, cut or lacks a column.

        The next chunk is decoded on another core (gzip and scanner need no interpreter) while the caller uses this one.
        """
        decoded = self._decoded()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tape") as ahead:
            coming = ahead.submit(next, decoded, None)
            while (chunk := coming.result()) is not None:
                coming = ahead.submit(next, decoded, None)
                yield chunk

    def _decoded(self) -> Iterator[TapeChunk]:
        try:
            with self.path.open("rb") as raw:
                packed = raw.read(2) == _GZIP_MAGIC
                raw.seek(0)
                source = gzip.GzipFile(fileobj=raw) if packed else raw
                yield from self._read(source, raw)  # type: ignore[arg-type]  # GzipFile reads like any binary file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise TapeError(f"the gzip data is cut or damaged near line {self._line} ({self.path}): {error}") from error
        except OSError as error:
            raise TapeError(f"the tape cannot be read: {error.strerror or error} ({self.path})") from error

    def _read(self, source: BinaryIO, raw: BinaryIO) -> Iterator[TapeChunk]:
        roles = self._header(source.readline())
        rest = b""
        while True:
            data = source.read(CHUNK_BYTES)
            self.bytes_read = raw.tell()
            if not data and not rest:
                return
            # A last line without a newline is a row like any other.
            buffer = rest + (data or b"\n")
            chunk, consumed = self._scan(buffer, roles)
            rest = buffer[consumed:] if data else b""
            if chunk is not None:
                yield chunk
            if not data:
                return

    def _header(self, line: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        names = [name.strip() for name in line.decode("utf-8", "replace").strip().split(",")]
        missing = [name for name in REQUIRED_COLUMNS if name not in names]
        if missing:
            raise TapeError(
                f"the header must name {', '.join(REQUIRED_COLUMNS)}; missing: {', '.join(missing)} ({self.path} line 1)"
            )
        return np.array([_ROLES.get(name, kernel.IGNORED) for name in names], dtype=np.int64)

    def _scan(self, buffer: bytes, roles: IntColumn) -> tuple[TapeChunk | None, int]:
        view = np.frombuffer(buffer, dtype=np.uint8)
        rows_max = buffer.count(b"\n")
        out = np.zeros((rows_max, 9), dtype=np.int64)
        status = np.empty(rows_max, dtype=np.int64)
        spans = np.zeros((rows_max, 2), dtype=np.int64)
        names = np.zeros((kernel.SYMBOLS_MAX, 2), dtype=np.int64)
        known = len(self.symbols)
        rows, consumed, count, ids_integer = kernel.scan_rows(
            view, len(buffer), roles, self._hashes, names, known, out, status, spans
        )
        self.symbols += [buffer[start:end].decode("utf-8", "replace") for start, end in names[known:count].tolist()]
        first_line, self._line = self._line, self._line + rows
        good = status[:rows] == kernel.GOOD
        if not ids_integer and not self._ids_as_text and good.any():
            raise TextIdsFoundError
        if not good.all():
            self._refuse(buffer, status[:rows], first_line)
        if not good.any():
            return None, consumed
        return self._chunk(buffer, out[:rows][good], spans[:rows][good], first_line), consumed

    def _chunk(self, buffer: bytes, out: IntColumn, spans: IntColumn, first_line: int) -> TapeChunk:
        columns = np.ascontiguousarray(out.T)
        trade_id: IdColumn = columns[2]
        if self._ids_as_text:
            trade_id = np.empty(len(out), dtype=object)
            trade_id[:] = [buffer[start:end].decode("utf-8", "replace") for start, end in spans.tolist()]
        return TapeChunk(
            first_line=first_line,
            symbol_count=len(self.symbols),
            event_time_ms=columns[0],
            symbol_index=columns[1],
            trade_id=trade_id,
            # Mantissa and power of ten are exact in float64 below 2^53, so that the quotient is the nearest float64.
            price=columns[3] / 10.0 ** columns[4],
            price_decimals=columns[4],
            quantity_mantissa=columns[5],
            quantity_decimals=columns[6],
            trade_time_ms=columns[7],
            taker_is_buyer=columns[8] == 0,
        )

    def _refuse(self, buffer: bytes, status: IntColumn, first_line: int) -> None:
        lines = buffer.split(b"\n")
        for row in np.flatnonzero(status != kernel.GOOD).tolist():
            text = lines[row].decode("utf-8", "replace").strip()
            self.refused.append(
                RefusedRow(
                    file=self.path.name, line=first_line + row, reason=kernel.REASONS[int(status[row])], text=text[:200]
                )
            )


def warm_up() -> list[str]:
    """Compile the scanner into the kernel cache; returns its name."""
    header = ",".join([*REQUIRED_COLUMNS, "buyer_market_maker"])
    roles = np.array([_ROLES[name] for name in header.split(",")], dtype=np.int64)
    TapeReader(Path("warm-up"))._scan(b"1,A,1,1.0,1.0,1,true\n", roles)  # noqa: SLF001 - our own class
    return ["scan_rows"]
