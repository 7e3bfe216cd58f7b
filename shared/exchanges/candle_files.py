"""Candles in CSV files as exchanges publish them, gzip or plain: Binance, Kraken and Bybit, told apart by their header.

Binance  open_time,open,high,low,close,volume,close_time,quote_volume,trades,...   ms; an absent row is missing
Kraken   time,open,high,low,close,volume,trades                                    s; an absent row is a time without trades
Bybit    open_time,open,high,low,close,volume                                      ms; an absent row is missing
"""

import csv
import gzip
import io
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import msgspec

from shared.domain.candles import Candle, CandleQuality
from shared.domain.checks import require
from shared.domain.errors import InvalidValueError, PermanentError
from shared.domain.timeframe import Timeframe

_PRICES: Final = ("open", "high", "low", "close")
_SAMPLE: Final = 1_000  # rows that tell the timeframe
_SECONDS: Final = {"time": 1_000, "open_time": 1}  # column of the open time: its unit in milliseconds

_Row = tuple[int, int, list[str]]  # line in the file, open time in ms, fields


class CandleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose header is understood. timeframe: the most frequent distance of its rows."""

    file: Path
    columns: dict[str, int]
    timeframe: Timeframe

    @property
    def absent_is_flat(self) -> bool:
        """Whether an absent row means a time without trades (Kraken) rather than missing data."""
        return "time" in self.columns

    def candles(
        self, exchange: str, symbol: str, *, last: int | None = None, before_ms: int | None = None
    ) -> list[Candle]:
        """Candles that closed by before_ms, oldest first; the newest `last` of them.

        Raises InvalidValueError naming the line of a row that is unreadable, out of order or twice there.
        """
        rows = (
            row
            for row in _ordered(self.file, self.columns)
            if before_ms is None or row[1] + self.timeframe.duration_ms <= before_ms
        )
        # All of them go row by row into candles: a year's rows as text would be larger than its candles.
        kept = rows if last is None else deque(rows, maxlen=last)
        return [self._candle(row, exchange, symbol) for row in self._of_one_symbol(kept)]

    def _of_one_symbol(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        column, first = self.columns.get("symbol"), None
        for row in rows:
            if column is not None:
                line, _, fields = row
                name = fields[column] if column < len(fields) else ""
                first = name if first is None else first
                require(name == first, f"all rows must be of one symbol, {first}", name, f"{self.file}:{line}")
            yield row

    def _candle(self, row: _Row, exchange: str, symbol: str) -> Candle:
        line, open_time_ms, fields = row
        place = f"{self.file}:{line}"
        try:
            prices = {name: float(fields[self.columns[name]]) for name in _PRICES}
            volume = Decimal(fields[self.columns["volume"]])
            quote = self.columns.get("quote_volume")
            trades = self.columns.get("trades")
            quote_volume = volume * Decimal(str(prices["close"])) if quote is None else Decimal(fields[quote])
            trade_count = None if trades is None else int(fields[trades])
        except (ValueError, IndexError, InvalidOperation) as error:
            raise InvalidValueError(f"prices and volume must be numbers, was {fields!r} ({place})") from error
        finite = (
            all(math.isfinite(price) for price in prices.values()) and volume.is_finite() and quote_volume.is_finite()
        )
        require(finite, "prices and volume must be finite", fields, place)
        try:
            return Candle(
                exchange=exchange,
                symbol=symbol,
                timeframe=self.timeframe,
                open_time_ms=open_time_ms,
                open=prices["open"],
                high=prices["high"],
                low=prices["low"],
                close=prices["close"],
                volume=volume,
                quote_volume=quote_volume,
                trade_count=trade_count,
                quality=CandleQuality.REPAIRED_KLINE,
            )
        except InvalidValueError as error:
            raise InvalidValueError(f"{error} ({place})") from error


def open_candle_file(file: Path) -> CandleFile:
    """Read the header and the distance of the first rows. Raises PermanentError for what is no file of candles."""
    columns = _columns(file)
    times = [open_time_ms for _, open_time_ms, _ in islice(_ordered(file, columns), _SAMPLE)]
    return CandleFile(file=file, columns=columns, timeframe=_timeframe(times, file))


def _columns(file: Path) -> dict[str, int]:
    with _text(file) as lines:
        header = next(csv.reader(lines), [])
    columns = {name.strip(): place for place, name in enumerate(header)}
    wanted = (*_PRICES, "volume")
    times = [name for name in _SECONDS if name in columns]
    known = len(times) == 1 and all(name in columns for name in wanted)
    require(known, f"the header must have time or open_time and {', '.join(wanted)}", header, str(file))
    return columns


def _ordered(file: Path, columns: dict[str, int]) -> Iterator[_Row]:
    before_ms = -1
    for row in _rows(file, columns):
        line, open_time_ms, _ = row
        require(open_time_ms > before_ms, "rows must be oldest first, each once", open_time_ms, f"{file}:{line}")
        before_ms = open_time_ms
        yield row


def _rows(file: Path, columns: dict[str, int]) -> Iterator[_Row]:
    name = "time" if "time" in columns else "open_time"
    place, unit_ms = columns[name], _SECONDS[name]
    with _text(file) as lines:
        reader = csv.reader(lines)
        next(reader, None)
        for fields in reader:
            if not fields:
                continue
            try:
                yield reader.line_num, int(fields[place]) * unit_ms, fields
            except (ValueError, IndexError) as error:
                where = f"{file}:{reader.line_num}"
                raise InvalidValueError(f"{name} must be a whole number, was {fields!r} ({where})") from error


def _timeframe(times: Sequence[int], file: Path) -> Timeframe:
    steps = Counter(after - before for before, after in pairwise(times))
    require(bool(steps), "a file of candles needs at least two rows to tell its timeframe", len(times), str(file))
    step_ms = steps.most_common(1)[0][0]
    found = next((timeframe for timeframe in Timeframe if timeframe.duration_ms == step_ms), None)
    if found is None:
        known = ", ".join(timeframe.value for timeframe in Timeframe)
        raise InvalidValueError(f"rows must lie one of {known} apart, most lie {step_ms} ms apart ({file})")
    return found


def _text(file: Path) -> io.TextIOBase:
    try:
        with file.open("rb") as head:
            zipped = head.read(2) == b"\x1f\x8b"
        if zipped:
            return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8", newline="")
        return file.open(encoding="utf-8", newline="")
    except OSError as error:
        raise PermanentError(f"cannot read {file}: {error.strerror}") from error
