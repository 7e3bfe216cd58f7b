"""The command behind `cst export`: what the store holds as CSV, Parquet or JSON lines."""

import asyncio
import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.research.sources import Span
from shared.domain.decisions import DecisionKind
from shared.domain.errors import PermanentError
from shared.domain.fold import ordered_trades
from shared.domain.timeframe import Timeframe
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.store.signals import SignalStore
from shared.store.tape import TapeStore

KINDS: Final = ("signals", "decisions", "trades", "candles")
FORMATS: Final = ("csv", "parquet", "jsonl")
Record = dict[str, Any]


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """trades: the tape's. markets: (exchange, symbol). strategies: (name, timeframe), for decisions."""

    kind: str
    file_format: str
    out: Path
    span: Span
    timeframe: Timeframe
    markets: tuple[tuple[str, str], ...]
    strategies: tuple[tuple[str, Timeframe], ...]


def run_export(request: ExportRequest) -> int:
    """Write the file; returns how many records. Every fault is a PermanentError of one line."""
    if request.kind not in KINDS or request.file_format not in FORMATS:
        rule = f"one of {', '.join(KINDS)} as one of {', '.join(FORMATS)} can be exported"
        raise PermanentError(f"{rule}, was {request.kind} as {request.file_format}")
    records = asyncio.run(_records(request))
    _WRITERS[request.file_format](request.out, records)
    print(f"{len(records):,} {request.kind} written to {request.out}")
    return len(records)


async def _records(request: ExportRequest) -> list[Record]:
    settings = ServiceSettings.load()
    async with open_store_and_cache(settings, load_topology(), settings.clock()) as (store, _):
        reader = {"signals": _signals, "decisions": _decisions, "trades": _trades, "candles": _candles}[request.kind]
        return await reader(store, request)


async def _signals(store: Store, request: ExportRequest) -> list[Record]:
    span, wanted = request.span, set(request.markets)
    signals = [record.signal for record in await SignalStore(store).all()]
    return [
        _plain(signal)
        for signal in signals
        if span.from_ms <= signal.opened_at_ms < span.to_ms and (signal.exchange, signal.symbol) in wanted
    ]


async def _decisions(store: Store, request: ExportRequest) -> list[Record]:
    span, reads = request.span, DecisionStore(store)
    found = []
    for name, timeframe in request.strategies:
        for market in request.markets:
            found += await reads.between(name, *market, timeframe, span.from_ms, span.to_ms)
    return [_plain(decision) for decision in found if decision.kind is DecisionKind.FIRST]


async def _candles(store: Store, request: ExportRequest) -> list[Record]:
    span, reads = request.span, CandleStore(store)
    return [
        _plain(candle)
        for market in request.markets
        for candle in await reads.between(*market, request.timeframe, span.from_ms, span.to_ms)
    ]


async def _trades(store: Store, request: ExportRequest) -> list[Record]:
    """In market order. quantity_units: in the minute's finest step, quantity_scale decimals."""
    span, tape = request.span, TapeStore(store)
    found: list[Record] = []
    for exchange, symbol in request.markets:
        minutes = await tape.load(exchange, symbol, span.from_ms, span.to_ms)
        for minute in minutes.values():
            pieces = minute.counted()
            if not pieces:
                continue
            columns = ordered_trades(pieces)
            scale = max(piece.quantity_scale for piece in pieces)
            names = ("trade_id", "traded_at_ms", "price", "quantity_units", "taker_is_buyer")
            for values in zip(*(columns[name].tolist() for name in names), strict=True):
                row = dict(zip(names, values, strict=True))
                row["taker_is_buyer"] = bool(row["taker_is_buyer"])  # the tape keeps it as a number
                found.append({"exchange": exchange, "symbol": symbol, **row, "quantity_scale": scale})
    return found


def _plain(record: msgspec.Struct) -> Record:
    """Fields as JSON has them: decimals and enums as text."""
    found: Record = msgspec.to_builtins(record, enc_hook=str)
    return found


def _flat(record: Mapping[str, Any]) -> Record:
    """Nested values as JSON text, so that a table can hold them."""
    return {
        name: msgspec.json.encode(value).decode() if isinstance(value, list | dict | tuple) else value
        for name, value in record.items()
    }


def _columns(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _csv(file: Path, records: Sequence[Record]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, _columns(records), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_flat(record) for record in records)


def _jsonl(file: Path, records: Sequence[Record]) -> None:
    file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def _parquet(file: Path, records: Sequence[Record]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise PermanentError("pyarrow is not installed: pip install --group research") from error
    flat = [_flat(record) for record in records]
    pq.write_table(pa.table({name: [record.get(name) for record in flat] for name in _columns(flat)}), file)


_WRITERS: Final[dict[str, Callable[[Path, Sequence[Record]], None]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "jsonl": _jsonl,
}
