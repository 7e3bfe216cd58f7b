"""The command behind `cst tape export`: trades as a tape file, and beside it what each batch said of itself."""

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.domain.checks import require
from shared.domain.decimals import decimal_of_units, plain_text
from shared.domain.minute_trades import MinuteTrades
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.clock import ScaledClock
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.batches import BatchRecord, BatchStore
from shared.store.port import Store
from shared.store.tape import TapeStore

COLUMNS: Final = (
    "event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker,venue_sequence,tie_rank,session,sequence"
)
_HOUR_MS: Final = 60 * MINUTE_MS


class Exported(msgspec.Struct):
    """How much was written."""

    trades: int = 0
    batches: int = 0


def batches_file(tape: Path) -> Path:
    """Where a tape's batches are said: beside it."""
    return tape.with_name(tape.name + ".batches.jsonl")


def run_export(exchange: str, from_ms: int, to_ms: int, out: Path, config_file: Path) -> Exported:
    """Write what is stored of the exchange's configured symbols; raises where there is nothing."""
    config = load_config(config_file)
    require(exchange in config.venues, f"--exchange must be one of {', '.join(config.venues)}", exchange, "tape export")
    require(from_ms < to_ms, "--from must lie before --to", from_ms, "tape export")

    async def read() -> Exported:
        settings = ServiceSettings()
        async with open_store_and_cache(settings, load_topology(), ScaledClock()) as (store, _):
            return await export(store, exchange, config.venues[exchange].symbols, minute_ms(from_ms), to_ms, out)

    return asyncio.run(read())


async def export(
    store: Store, exchange: str, symbols: tuple[str, ...], from_ms: int, to_ms: int, out: Path
) -> Exported:
    """The trades by minute and symbol, hour by hour; of each batch one line, in the order of watermarks."""
    done, tape = Exported(), TapeStore(store)
    carriers: set[tuple[str, int]] = set()  # session and sequence of every batch with a trade of that time
    with _opened(out) as file:
        file.write((COLUMNS + "\n").encode())
        for start_ms in range(from_ms, to_ms, _HOUR_MS):
            end_ms = min(to_ms, start_ms + _HOUR_MS)
            hour = {symbol: await tape.load(exchange, symbol, start_ms, end_ms) for symbol in symbols}
            for minute in range(start_ms, end_ms, MINUTE_MS):
                pieces = [
                    piece for symbol in symbols if minute in hour[symbol] for piece in hour[symbol][minute].pieces
                ]
                carriers.update(carrier for piece in pieces for carrier in _carriers(piece))
                lines = [line for piece in pieces for line in _lines(piece)]
                lines.sort()
                done.trades += len(lines)
                file.write("".join(line for *_, line in lines).encode())
    # A trade may lie a little ahead of its batch's watermark: the batches just before that time are looked at, too.
    records = await BatchStore(store).between(exchange, from_ms - _HOUR_MS, to_ms + _HOUR_MS)
    with batches_file(out).open("wb") as file:
        for record in records:
            if record.watermark_ms > from_ms or (record.session, record.sequence) in carriers:
                file.write(msgspec.json.encode(_line_of(record, from_ms)) + b"\n")
                done.batches += 1
    require(done.trades > 0, "no trade of that time is on the tape (it is kept for 72 hours)", from_ms, "tape export")
    return done


def _line_of(record: BatchRecord, from_ms: int) -> dict[str, Any]:
    """Everything a replay needs to make the batch again; it vouches for nothing before the first trade that is exported."""
    line = {name: getattr(record, name) for name in BatchRecord.__struct_fields__}
    line["covers_from_ms"] = max(record.covers_from_ms, min(from_ms, record.watermark_ms))
    return line


def _sequences(piece: MinuteTrades) -> list[int]:
    return [piece.sequence] * len(piece) if piece.sequences is None else piece.sequences.tolist()


def _carriers(piece: MinuteTrades) -> set[tuple[str, int]]:
    return {(piece.session, sequence) for sequence in _sequences(piece)}


def _lines(piece: MinuteTrades) -> Iterator[tuple[int, str, str, str, str]]:
    """(time, symbol, session, id, line) of every trade, the copies of repeated ones too: a replay counts them once."""
    columns = zip(
        piece.trade_id.tolist(),
        piece.price.tolist(),
        piece.quantity_units.tolist(),
        piece.traded_at_ms.tolist(),
        piece.taker_is_buyer.tolist(),
        piece.venue_sequence.tolist(),
        piece.tie_rank.tolist(),
        _sequences(piece),
        strict=True,
    )
    for trade_id, price, units, at_ms, is_buyer, venue_sequence, tie_rank, sequence in columns:
        quantity = plain_text(decimal_of_units(units, piece.quantity_scale))
        maker = "false" if is_buyer else "true"
        text = (
            f"{at_ms},{piece.symbol},{trade_id},{plain_text(price)},{quantity},{at_ms},{maker},"
            f"{venue_sequence},{tie_rank},{piece.session},{sequence}\n"
        )
        yield at_ms, piece.symbol, piece.session, str(trade_id).zfill(30), text


def _opened(out: Path) -> Any:
    return gzip.open(out, "wb") if out.suffix == ".gz" else out.open("wb")
