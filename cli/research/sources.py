"""Candles for research, from a file or from the store, with what is missing in them said."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cli.replay.candle_reader import read_candles
from shared.domain.candle_runs import Hole, without_holes
from shared.domain.candles import Candle
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From (included) to (excluded), by open time, ms UTC."""

    from_ms: int = 0
    to_ms: int = EPOCH_MS_MAX


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Candles of one symbol, holes filled. name: for people. absent_is_flat: what a hole means at this venue."""

    name: str
    candles: list[Candle]
    holes: list[Hole]
    absent_is_flat: bool

    @property
    def gaps_text(self) -> str:
        """One line about what was absent."""
        count = sum(hole.count for hole in self.holes)
        if not count:
            return "none"
        longest = max(self.holes, key=lambda hole: hole.count)
        what = (
            "flat, without trades"
            if self.absent_is_flat
            else "missing: windows that hold them are not used for entries"
        )
        return f"{count:,} candles in {len(self.holes):,} gaps, the longest {longest.count:,} from {utc_text(longest.open_time_ms)} ({what})"


def span_of(from_text: str, to_text: str) -> Span:
    """From two dates or times; raises PermanentError for an empty range."""
    span = Span(
        from_ms=time_ms(from_text, "--from") if from_text else 0,
        to_ms=time_ms(to_text, "--to") if to_text else EPOCH_MS_MAX,
    )
    if span.to_ms <= span.from_ms:
        raise PermanentError(f"--to must lie after --from, was {to_text} ({from_text})")
    return span


def from_file(file: Path, exchange: str, symbol: str, span: Span) -> Source:
    """The file's candles within the span; raises PermanentError naming file, line and rule."""
    read = read_candles(file, exchange=exchange, symbol=symbol)
    candles = [candle for candle in read.candles if span.from_ms <= candle.open_time_ms < span.to_ms]
    if not candles:
        first, last = utc_text(read.candles[0].open_time_ms), utc_text(read.candles[-1].open_time_ms)
        raise PermanentError(f"--from and --to must lie inside the file, {first} to {last} ({file})")
    holes = [hole for hole in read.holes if span.from_ms <= hole.open_time_ms < span.to_ms]
    return Source(name=file.name, candles=candles, holes=holes, absent_is_flat=read.absent_is_flat)


async def from_store(exchange: str, symbol: str, span: Span) -> Source:
    """The store's 1m candles within the span."""
    settings = ServiceSettings.load()
    async with open_store_and_cache(settings, load_topology(), settings.clock()) as (store, _):
        found = await CandleStore(store).between(exchange, symbol, Timeframe.M1, span.from_ms, span.to_ms)
    if not found:
        raise PermanentError(f"the store holds no 1m candle of {exchange} {symbol} in this time ({settings.data_dir})")
    candles, holes = without_holes(found, absent_is_flat=False)
    return Source(name="store", candles=candles, holes=holes, absent_is_flat=False)


def time_ms(text: str, option: str) -> int:
    """ISO date and time, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PermanentError(f"{option} must be a time like 2023-03-10T12:00, was {text!r}") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def utc_text(at_ms: int) -> str:
    """2023-03-10 12:00."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
