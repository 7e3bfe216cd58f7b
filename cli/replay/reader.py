"""A recorded tape, chunk by chunk, as columns. Gzip or plain CSV; the header names the columns."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np

from cli.replay import kernel
from cli.replay.inflate import inflated
from cli.replay.screen import TimeLimits, screen_scales, screen_times
from shared.domain.errors import PermanentError
from shared.domain.trades import BoolColumn, FloatColumn, IdColumn, IntColumn

CHUNK_BYTES: Final = 1 << 21
_GZIP_MAGIC: Final = b"\x1f\x8b"
_DAMAGE: Final = (EOFError, zlib.error)
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


class OtherIdsFoundError(Exception):
    """A trade id is of a wider kind: read the whole tape again with ids of that kind, so that all are compared alike."""

    def __init__(self, kind: int) -> None:
        super().__init__(f"trade ids are of kind {kind}")
        self.kind = kind


class TapeChunk(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Consecutive rows of the tape in columns; units are mantissas with their own decimals per row.

    symbol_count: how many symbols the tape has shown up to its end.
    venue_sequence, tie_rank: order trades of one time, see TapeReader.
    """

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
    venue_sequence: IntColumn
    tie_rank: IntColumn


_NO_INTEGERS: Final = np.empty(0, dtype=np.int64)
EMPTY_CHUNK: Final = TapeChunk(
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
    venue_sequence=_NO_INTEGERS,
    tie_rank=_NO_INTEGERS,
)
_POWERS_OF_TEN: Final = np.array([10.0**decimals for decimals in range(19)])
_TIE_BASE: Final = 10**9  # the tape's rows keep tie ranks in 32 bits


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that breaks a rule; it is left out, everything else goes on. line: None for a trade refused after reading."""

    file: str
    line: int | None
    reason: str
    text: str


class TapeReader:
    """Reads one tape. `symbols` grows as new ones appear; `refused` collects bad rows; `bytes_read` feeds a progress bar.

    ids_kind says how trade ids are compared, and with them trades of one time (by venue_sequence, then tie_rank):
      NUMBER       all are below 2^63: as int64, leading zeros do not count; the number is the order.
      LONG_NUMBER  all are digits, at most 27 without leading zeros: texts without these, ordered by number.
      TEXT         as they are; the line in the file is the order.
    """

    def __init__(self, path: Path, *, ids_kind: int = kernel.NUMBER, limits: TimeLimits | None = None) -> None:
        self.path = path
        self.symbols: list[str] = []
        self.refused: list[RefusedRow] = []
        self.bytes_read = 0
        self._ids_kind = ids_kind
        self._limits = limits or TimeLimits()
        self._hashes = np.zeros(kernel.SYMBOLS_MAX, dtype=np.uint64)
        self._unprintable = np.zeros(0, dtype=np.uint64)
        self._newest_ms = np.zeros(1, dtype=np.int64)
        self._scales = np.zeros((kernel.SYMBOLS_MAX, 2), dtype=np.int64)
        self._largest = np.zeros((kernel.SYMBOLS_MAX, 2), dtype=np.int64)
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
                pieces = inflated(raw, max(1, CHUNK_BYTES // 4)) if packed else iter(lambda: raw.read(CHUNK_BYTES), b"")
                yield from self._read(pieces, raw)
        except _DAMAGE as error:
            raise TapeError(
                f"the gzip data is cut or damaged after line {self._line - 1} ({self.path}): {error}"
            ) from error
        except OSError as error:
            raise TapeError(f"the tape cannot be read: {error.strerror or error} ({self.path})") from error

    def _read(self, pieces: Iterator[bytes], raw: BinaryIO) -> Iterator[TapeChunk]:
        header, rest = self._header(pieces)
        roles = self._roles(header)
        final = False
        while not final:
            data, damage = _some(pieces, CHUNK_BYTES - len(rest))
            self.bytes_read = raw.tell()
            final = not data or damage is not None
            buffer = rest + data
            if final and damage is None and buffer and not buffer.endswith(b"\n"):
                buffer += b"\n"  # a last line without a newline is a row like any other
            chunk, consumed = self._scan(buffer, roles, final=final)
            rest = buffer[consumed:]
            if chunk is not None:
                yield chunk
            if damage is not None:
                raise damage

    def _header(self, pieces: Iterator[bytes]) -> tuple[bytes, bytes]:
        """The first line, and what was read behind it."""
        self._line = 1
        line = b""
        while b"\n" not in line and (data := next(pieces, b"")):
            line += data
        self._line = 2
        header, _, rest = line.partition(b"\n")
        return header, rest

    def _roles(self, header: bytes) -> IntColumn:
        names = [name.strip() for name in header.decode("utf-8-sig", "replace").strip().split(",")]
        missing = [name for name in REQUIRED_COLUMNS if name not in names]
        if missing:
            raise TapeError(
                f"the header must name {', '.join(REQUIRED_COLUMNS)}; missing: {', '.join(missing)} ({self.path} line 1)"
            )
        return np.array([_ROLES.get(name, kernel.IGNORED) for name in names], dtype=np.int64)

    def _scan(self, buffer: bytes, roles: IntColumn, *, final: bool) -> tuple[TapeChunk | None, int]:
        """The chunk of the buffer's decided rows, and how many bytes they take."""
        out, status, spans, rows, consumed = self._scan_rows(buffer, roles)
        by_ms = np.zeros(len(status), dtype=np.int64)
        limits = self._limits
        decided = screen_times(out, status, rows, self._newest_ms, limits.apart_ms, limits.jump_ms, final, by_ms)
        for _ in range(rows - decided):  # they wait for the rows after them and are read again with these
            consumed = buffer.rfind(b"\n", 0, consumed - 1) + 1
        screen_scales(out, status, decided, self._scales, self._largest)
        good = status[:decided] == kernel.GOOD
        first_line, self._line = self._line, self._line + decided
        lines = first_line + np.arange(decided)
        out, spans = out[:decided], spans[:decided]
        if not good.all():
            self._refuse(buffer, status[:decided], by_ms, first_line)
            lines, out, spans = lines[good], out[good], spans[good]
        return (self._chunk(buffer, out, spans, lines) if len(lines) else None), consumed

    def _scan_rows(self, buffer: bytes, roles: IntColumn) -> tuple[IntColumn, IntColumn, IntColumn, int, int]:
        """Columns, status and id spans of the buffer's whole lines, how many these are and their bytes."""
        view = np.frombuffer(buffer, dtype=np.uint8)
        rows_max = buffer.count(b"\n")
        out = np.zeros((rows_max, 9), dtype=np.int64)
        status = np.empty(rows_max, dtype=np.int64)
        spans = np.zeros((rows_max, 2), dtype=np.int64)
        names = np.zeros((kernel.SYMBOLS_MAX, 2), dtype=np.int64)
        known = len(self.symbols)
        while True:
            rows, consumed, count, ids_kind = kernel.scan_rows(
                view, len(buffer), roles, self._hashes, self._unprintable, names, known, out, status, spans
            )
            found = [_printable(buffer[start:end]) for start, end in names[known:count].tolist()]
            bad = [known + place for place, name in enumerate(found) if name is None]
            if not bad:
                break
            self._unprintable = np.concatenate([self._unprintable, self._hashes[bad]])
        self.symbols += [name for name in found if name is not None]
        if ids_kind > self._ids_kind:
            raise OtherIdsFoundError(ids_kind)
        return out, status, spans, rows, consumed

    def _chunk(self, buffer: bytes, out: IntColumn, spans: IntColumn, lines: IntColumn) -> TapeChunk:
        columns = np.ascontiguousarray(out.T)
        trade_id, venue_sequence, tie_rank = self._identities(buffer, columns[2], spans, lines)
        return TapeChunk(
            symbol_count=len(self.symbols),
            event_time_ms=columns[0],
            symbol_index=columns[1],
            trade_id=trade_id,
            # Mantissa and power of ten are exact in float64 below 2^53, so that the quotient is the nearest float64.
            price=columns[3] / _POWERS_OF_TEN[columns[4]],
            price_decimals=columns[4],
            quantity_mantissa=columns[5],
            quantity_decimals=columns[6],
            trade_time_ms=columns[7],
            taker_is_buyer=columns[8] == 0,
            venue_sequence=venue_sequence,
            tie_rank=tie_rank,
        )

    def _identities(
        self, buffer: bytes, numbers: IntColumn, spans: IntColumn, lines: IntColumn
    ) -> tuple[IdColumn, IntColumn, IntColumn]:
        no_ranks = np.zeros(len(numbers), dtype=np.int64)
        if self._ids_kind == kernel.NUMBER:
            return numbers, numbers, no_ranks
        texts = [buffer[start:end].decode("utf-8", "replace") for start, end in spans.tolist()]
        trade_id = np.empty(len(texts), dtype=object)
        if self._ids_kind == kernel.TEXT:
            trade_id[:] = texts
            return trade_id, lines, no_ranks
        values = [int(text) for text in texts]
        trade_id[:] = [str(value) for value in values]
        order = np.array([divmod(value, _TIE_BASE) for value in values], dtype=np.int64)
        return trade_id, order[:, 0], order[:, 1]

    def _refuse(self, buffer: bytes, status: IntColumn, by_ms: IntColumn, first_line: int) -> None:
        lines = buffer.split(b"\n")
        for row in np.flatnonzero(status != kernel.GOOD).tolist():
            code = int(status[row])
            reason = kernel.REASONS.get(code) or self._limits.reason(code, int(by_ms[row]))
            text = lines[row].decode("utf-8", "replace").strip()
            self.refused.append(RefusedRow(file=self.path.name, line=first_line + row, reason=reason, text=text[:200]))


def _some(pieces: Iterator[bytes], bytes_wanted: int) -> tuple[bytes, Exception | None]:
    """About so much of the file, at least one piece, and what ended it early: data that is cut still yields all before it."""
    found: list[bytes] = []
    length = 0
    try:
        while not found or length < bytes_wanted:
            piece = next(pieces, b"")
            if not piece:
                break
            found.append(piece)
            length += len(piece)
    except _DAMAGE as error:
        return b"".join(found), error
    return b"".join(found), None


def _printable(name: bytes) -> str | None:
    """The symbol's text; None where it is no printable UTF-8."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def warm_up() -> list[str]:
    """Compile the scanner into the kernel cache; returns its name."""
    header = ",".join([*REQUIRED_COLUMNS, "buyer_market_maker"])
    roles = np.array([_ROLES[name] for name in header.split(",")], dtype=np.int64)
    TapeReader(Path("warm-up"))._scan(b"1,A,1,1.0,1.0,1,true\n", roles, final=True)  # noqa: SLF001 - our own class
    return ["scan_rows", "screen_times", "screen_scales"]
