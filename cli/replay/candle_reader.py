"""Files of published candles for a replay: read as `cst chart` reads them, holes filled, rolled up as the aggregator does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from shared.domain.candle_runs import Hole, with_roll_ups, without_holes
from shared.domain.candles import Candle
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import open_candle_file


class CandleFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file's candles of one symbol, without a hole, all of one timeframe; revision 1.

    holes: intervals that the file leaves out. Kraken leaves out those without trades, which are flat and as good as the
    others; elsewhere the venue was halted or the recorder missed them: they are `partial`.
    """

    symbol: str
    timeframe: Timeframe
    candles: tuple[Candle, ...]
    holes: tuple[Hole, ...]
    absent_is_flat: bool

    @property
    def filled(self) -> int:
        """How many candles the file left out."""
        return sum(hole.count for hole in self.holes)


def read_candles(path: Path, *, exchange: str, symbol: str) -> CandleFile:
    """Every candle of the file, holes filled; raises PermanentError naming file, line and rule."""
    source = open_candle_file(path)
    flat = source.absent_is_flat
    candles, holes = without_holes(source.candles(exchange, symbol), absent_is_flat=flat)
    for candle in candles:
        msgspec.structs.force_setattr(candle, "revision", 1)  # nobody else holds them yet
    return CandleFile(
        symbol=symbol, timeframe=source.timeframe, candles=tuple(candles), holes=tuple(holes), absent_is_flat=flat
    )


def closes(files: Sequence[CandleFile]) -> Iterator[list[CandlesClosed]]:
    """What closes at each time, oldest first: the candles of every symbol with the roll-ups that end with them."""
    streams = [_events(file) for file in files]
    pending = [next(stream, None) for stream in streams]
    while waiting := [event for event in pending if event is not None]:
        close_ms = min(event.close_time_ms for event in waiting)
        due = [place for place, event in enumerate(pending) if event is not None and event.close_time_ms == close_ms]
        yield sorted([event for place in due if (event := pending[place])], key=lambda event: event.symbol)
        for place in due:
            pending[place] = next(streams[place], None)


def _events(file: CandleFile) -> Iterator[CandlesClosed]:
    for closed in with_roll_ups(file.candles, revision=1):
        first = closed[0]
        yield CandlesClosed(
            exchange=first.exchange, symbol=first.symbol, close_time_ms=first.close_time_ms, candles=closed
        )
