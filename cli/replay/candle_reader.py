"""Reads files of published candles (Binance, Bybit, Kraken; CSV or CSV.gz) and rolls them up as the aggregator does.

An interval that the file leaves out is flat at the previous close. Kraken leaves out intervals without trades, so that there
it is as good as the others; elsewhere the venue itself was halted or the recorder missed it, and it is `partial`.
"""

import csv
import gzip
import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import msgspec

from shared.domain.candles import Candle, CandleQuality
from shared.domain.errors import InvalidValueError, PermanentError
from shared.domain.events import CandlesClosed
from shared.domain.rollup import roll_up
from shared.domain.timeframe import Timeframe, roll_ups_closing_at

_SECOND_MS: Final = 1000
_ROWS_MIN: Final = 2


class CandleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file's candles of one symbol, without a hole, all of one timeframe."""

    symbol: str
    timeframe: Timeframe
    candles: tuple[Candle, ...]
    filled: int


def read_candles(path: Path, *, exchange: str, symbol: str) -> CandleFile:
    """Every candle of the file, holes filled; raises PermanentError naming file, line and rule."""
    header, rows = _rows(path)
    seconds = "time" in header
    columns = {name: place for place, name in enumerate(header)}
    time_name = "time" if seconds else "open_time"
    for name in (time_name, "open", "high", "low", "close", "volume"):
        if name not in columns:
            raise PermanentError(f"the header must name {name}, was {','.join(header)} ({path} line 1)")
    times = [_time_ms(row[columns[time_name]], path, line, seconds=seconds) for line, row in rows]
    timeframe = _timeframe(times, path)
    found: list[Candle] = []
    filled = 0
    for (line, row), open_time_ms in zip(rows, times, strict=True):
        candle = _candle(row, columns, open_time_ms, exchange, symbol, timeframe, f"{path} line {line}")
        while found and found[-1].close_time_ms < open_time_ms:
            found.append(_flat(found[-1], silent=seconds))
            filled += 1
        if found and found[-1].close_time_ms != open_time_ms:
            raise PermanentError(f"candles must follow one another, was {open_time_ms} ({path} line {line})")
        found.append(candle)
    return CandleFile(symbol=symbol, timeframe=timeframe, candles=tuple(found), filled=filled)


def closes(files: Sequence[CandleFile]) -> Iterator[list[CandlesClosed]]:
    """What closes at each time, oldest first: the candles of every symbol with the roll-ups that end with them."""
    streams = [_with_roll_ups(file) for file in files]
    pending = [next(stream, None) for stream in streams]
    while waiting := [event for event in pending if event is not None]:
        close_ms = min(event.close_time_ms for event in waiting)
        due = [place for place, event in enumerate(pending) if event is not None and event.close_time_ms == close_ms]
        yield sorted([event for place in due if (event := pending[place])], key=lambda event: event.symbol)
        for place in due:
            pending[place] = next(streams[place], None)


def _with_roll_ups(file: CandleFile) -> Iterator[CandlesClosed]:
    children: dict[Timeframe, list[Candle]] = {timeframe: [] for timeframe in Timeframe}
    for candle in file.candles:
        close_ms = candle.close_time_ms
        closed = [candle]
        children[file.timeframe].append(candle)
        for timeframe in roll_ups_closing_at(close_ms):
            source = timeframe.source
            if source is None or timeframe.duration_ms <= file.timeframe.duration_ms:
                continue
            parts = children[source]
            if len(parts) * source.duration_ms == timeframe.duration_ms:
                rolled = msgspec.structs.replace(roll_up(parts, timeframe), revision=1)
                closed.append(rolled)
                children[timeframe].append(rolled)
            parts.clear()  # what came before the first whole candle belongs to none
        yield CandlesClosed(
            exchange=candle.exchange, symbol=candle.symbol, close_time_ms=close_ms, candles=tuple(closed)
        )


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from error
    lines = list(csv.reader(text.splitlines()))
    rows = [(number, row) for number, row in enumerate(lines[1:], start=2) if row]
    if len(rows) < _ROWS_MIN:
        raise PermanentError(f"a file of candles needs a header and at least two rows ({path})")
    for number, row in rows:
        if len(row) != len(lines[0]):
            raise PermanentError(f"a row has as many fields as the header, was {len(row)} ({path} line {number})")
    return [name.strip() for name in lines[0]], rows


def _time_ms(text: str, path: Path, line: int, *, seconds: bool) -> int:
    try:
        return int(text) * (_SECOND_MS if seconds else 1)
    except ValueError as error:
        raise PermanentError(f"a time must be an integer, was {text!r} ({path} line {line})") from error


def _timeframe(times: Sequence[int], path: Path) -> Timeframe:
    step_ms = min(after - before for before, after in itertools.pairwise(times))
    for timeframe in Timeframe:
        if timeframe.duration_ms == step_ms:
            return timeframe
    known = ", ".join(timeframe.value for timeframe in Timeframe)
    raise PermanentError(f"candles must be of one of {known}, their smallest distance was {step_ms} ms ({path})")


def _candle(
    row: Sequence[str],
    columns: dict[str, int],
    open_time_ms: int,
    exchange: str,
    symbol: str,
    timeframe: Timeframe,
    place: str,
) -> Candle:
    def price(name: str) -> float:
        return float(row[columns[name]])

    count, quote = columns.get("trades"), columns.get("quote_volume")
    try:
        return Candle(
            exchange=exchange,
            symbol=symbol,
            timeframe=timeframe,
            open_time_ms=open_time_ms,
            open=price("open"),
            high=price("high"),
            low=price("low"),
            close=price("close"),
            volume=Decimal(row[columns["volume"]]),
            quote_volume=Decimal(row[quote]) if quote is not None else Decimal(0),  # not said
            trade_count=int(row[count]) if count is not None else None,
            quality=CandleQuality.REPAIRED_KLINE,
            revision=1,
        )
    except (InvalidValueError, InvalidOperation, ValueError) as error:
        raise PermanentError(f"{error} ({place})") from error


def _flat(before: Candle, *, silent: bool) -> Candle:
    price = before.close
    return msgspec.structs.replace(
        before,
        open_time_ms=before.close_time_ms,
        open=price,
        high=price,
        low=price,
        volume=Decimal(0),
        quote_volume=Decimal(0),
        trade_count=0,
        quality=CandleQuality.REPAIRED_KLINE if silent else CandleQuality.PARTIAL,
        missing_minutes=0 if silent else before.timeframe.minutes,
    )
