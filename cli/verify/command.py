"""The command behind `cst verify`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from cli.replay.batches import BatchMaker
from cli.replay.command import reading_until_ids_fit
from cli.replay.reader import TapeReader
from cli.verify.figures import SymbolFigures, compare, count, note, table_of
from services.aggregator.core.limits import REPLAY_LIMITS
from services.aggregator.handlers import Aggregator
from shared.bus.memory import MemoryBus
from shared.domain.checks import check_name, require
from shared.domain.errors import PermanentError
from shared.domain.klines import Kline
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import open_candle_file
from shared.exchanges.registry import known_exchanges, venue_of
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.clock import EventClock, ScaledClock
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.audits import AuditStore
from shared.store.candles import CandleStore
from shared.store.memory import MemoryStore

_DAYS_AT_ONCE_MS = 24 * 3_600_000


def verify_tape(trades: Path, klines: Sequence[Path], exchange: str) -> list[SymbolFigures]:
    """Candles of a tape, as a replay makes them, beside files of the venue's klines (each of the symbol it is named after)."""
    check_name(exchange, "exchange", "--exchange")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    async def verify(reader: TapeReader) -> list[SymbolFigures]:
        topology, clock = load_topology(), EventClock()
        store = MemoryStore(topology, clock)
        aggregator = Aggregator(store=store, bus=MemoryBus(topology, clock, encode=False), limits=REPLAY_LIMITS)
        maker = BatchMaker(reader, exchange)
        for cut in maker.cuts():
            await aggregator.append([cut.batch])
            for watermark_ms in cut.watermarks_ms:
                clock.now_ms = watermark_ms + maker.lateness_ms
                await aggregator.close_minutes(before_ms=watermark_ms)
        require(maker.trade_count > 0, "the tape must hold good trades", maker.trade_count, str(trades))
        await aggregator.finish(maker.last_minute_ms)
        return await _figures(CandleStore(store), exchange, reader.symbols, klines, maker.last_minute_ms)

    return reading_until_ids_fit(trades, None, verify)


async def _figures(
    candles: CandleStore, exchange: str, symbols: Sequence[str], files: Sequence[Path], last_minute_ms: int
) -> list[SymbolFigures]:
    by_symbol = {symbol: [file for file in files if symbol in file.name.split("_")] for symbol in symbols}
    strangers = [file for file in files if not any(file in mine for mine in by_symbol.values())]
    if strangers:
        raise PermanentError(f"a klines file is named after its symbol (_BTCUSDT_), the tape has none of {strangers}")
    rule = exchange in known_exchanges() and venue_of(exchange).rules.kline_opens_at_previous_close
    rows = []
    for symbol in sorted(symbols):
        end_ms = last_minute_ms + Timeframe.M1.duration_ms
        figures = count(symbol, await candles.between(exchange, symbol, Timeframe.M1, 0, end_ms))
        for file in by_symbol[symbol]:
            opened = open_candle_file(file)
            theirs = {
                one.open_time_ms: Kline(
                    open_time_ms=one.open_time_ms,
                    open=one.open,
                    high=one.high,
                    low=one.low,
                    close=one.close,
                    volume=one.volume,
                    quote_volume=one.quote_volume,
                    trade_count=one.trade_count,
                )
                for one in opened.candles(exchange, symbol)
            }
            ours = await candles.between(exchange, symbol, opened.timeframe, 0, end_ms)
            compare(figures, ours, theirs, opens_at_previous_close=rule)
        rows.append(figures)
    return rows


def verify_store(from_text: str, to_text: str, config_file: Path) -> list[SymbolFigures]:
    """What is stored of every configured symbol between two times, with the marks that the auditor left."""
    from_ms, to_ms = time_ms_of(from_text, "--from"), time_ms_of(to_text, "--to")
    require(from_ms < to_ms, "--from must lie before --to", from_text, "verify")
    config = load_config(config_file)

    async def read() -> list[SymbolFigures]:
        settings = ServiceSettings()
        async with open_store_and_cache(settings, load_topology(), ScaledClock()) as (store, _):
            candles, audits = CandleStore(store), AuditStore(store)
            rows = []
            for exchange, venue in config.venues.items():
                for symbol in venue.symbols:
                    minutes = []
                    for start_ms in range(from_ms, to_ms, _DAYS_AT_ONCE_MS):
                        end_ms = min(to_ms, start_ms + _DAYS_AT_ONCE_MS)
                        minutes += await candles.between(exchange, symbol, Timeframe.M1, start_ms, end_ms)
                    figures = count(symbol, minutes)
                    marks = await audits.between(exchange, symbol, from_ms, to_ms)
                    for candle in minutes:
                        mark = marks.get(candle.open_time_ms)
                        if mark is None or mark.revision != candle.revision:
                            continue
                        if mark.is_verified:
                            figures.verified += 1
                        else:
                            note(figures, candle, mark.differences)
                    rows.append(figures)
        return rows

    return asyncio.run(read())


def report(rows: Sequence[SymbolFigures]) -> int:
    """Print the table; the exit status: 1 where a difference is unexplained."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table_of(rows))
    return 1 if any(row.unexplained for row in rows) else 0


def time_ms_of(text: str, option: str) -> int:
    """The time a user wrote, UTC where no zone is said; raises PermanentError naming the option."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise PermanentError(f"{option} must be a time like 2026-11-20T13:00 (UTC), was {text!r}") from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
