"""The command behind `cst fetch-candles`: candles of any venue that ccxt knows, page by page, into the store or a file.

A page is written before the next is asked for, so that a kill loses one page at most; the next run goes on where this one ended.
What the venue leaves out is listed at the end and filled by nobody.
"""

import asyncio
import csv
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.progress import Progress
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from cli.research.sources import Span, utc_text
from shared.domain.candle_runs import Hole, with_roll_ups
from shared.domain.candles import Candle, CandleQuality, CandleSource
from shared.domain.errors import PermanentError, TransientError
from shared.domain.timeframe import Timeframe
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore

COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")  # as Bybit's files have them
_ATTEMPTS: Final = 5
_SHOWN: Final = 20
Row = tuple[int, float, float, float, float, float]


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """venue: ccxt's id (binance, bybit, kraken). exchange: our name of it, for the store. symbol: ccxt's or the venue's own."""

    venue: str
    exchange: str
    symbol: str
    timeframe: Timeframe
    span: Span
    out: Path | None
    rest_url: str = ""
    page_size: int = 1_000


def run_fetch(request: FetchRequest) -> list[Hole]:
    """Fetch, write, report gaps; returns them. Raises PermanentError for what the venue refuses, TransientError for what may pass."""
    if request.out is not None and request.out.suffix not in {".csv", ".parquet"}:
        raise PermanentError(f"--out must end in .csv or .parquet, was {request.out}")
    client = _client(request)
    now_ms = int(client.milliseconds())
    end_ms = min(request.span.to_ms, request.timeframe.open_time_ms(now_ms))  # a candle that still forms is none
    known = asyncio.run(_stored(request)) if request.out is None else _in_file(request.out)
    begin_ms = max(request.span.from_ms, known[-1][0] + request.timeframe.duration_ms if known else 0)
    written = list(known)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(request.symbol, total=max(end_ms - begin_ms, 1))
        for rows in pages(client, request, begin_ms, end_ms):
            written += rows
            _write(request, rows, written)
            progress.update(task, completed=rows[-1][0] - begin_ms)
    holes = holes_of([row[0] for row in written], request.timeframe)
    _report(request, len(written) - len(known), len(written), holes)
    return holes


def pages(client: Any, request: FetchRequest, begin_ms: int, end_ms: int) -> Iterator[list[Row]]:
    """Closed candles from begin to end, oldest first, each once. An empty answer may be a hole: the next span is asked for."""
    step_ms = request.timeframe.duration_ms
    since_ms = begin_ms
    while since_ms < end_ms:
        asked = (client.symbol_asked, request.timeframe.value, since_ms, request.page_size)
        got = _tried(partial(client.fetch_ohlcv, *asked))
        fresh = {int(row[0]): row for row in got if since_ms <= int(row[0]) < end_ms}
        rows = [_row(fresh[at_ms]) for at_ms in sorted(fresh)]
        if rows:
            yield rows
            since_ms = rows[-1][0] + step_ms
        else:
            since_ms += request.page_size * step_ms


def holes_of(times_ms: Sequence[int], timeframe: Timeframe) -> list[Hole]:
    """Absent candles between the first and the last."""
    step_ms = timeframe.duration_ms
    return [
        Hole(open_time_ms=before + step_ms, count=(after - before) // step_ms - 1)
        for before, after in pairwise(times_ms)
        if after - before > step_ms
    ]


def _client(request: FetchRequest) -> Any:
    try:
        import ccxt
    except ImportError as error:
        raise PermanentError("ccxt is not installed: pip install --group research") from error
    if request.venue not in ccxt.exchanges:
        raise PermanentError(
            f"--venue must be one of ccxt's exchanges (binance, bybit, kraken, ...), was {request.venue!r}"
        )
    options = {"fetchMarkets": {"types": ["spot"]}} if request.rest_url else {}
    client = getattr(ccxt, request.venue)({"enableRateLimit": True, "options": options})
    if request.rest_url:
        client.urls["api"] = _moved(client.urls["api"], request.rest_url.rstrip("/"))
    _tried(client.load_markets)
    if request.timeframe.value not in (client.timeframes or {}):
        raise PermanentError(f"{request.venue} has no candles of {request.timeframe}")
    if request.symbol in client.markets:
        client.symbol_asked = request.symbol
    else:
        by_id = client.markets_by_id.get(request.symbol)
        if not by_id:
            raise PermanentError(f"{request.venue} has no market {request.symbol}")
        client.symbol_asked = (by_id[0] if isinstance(by_id, list) else by_id)["symbol"]
    return client


def _moved(urls: Any, base: str) -> Any:
    """The same paths on another host."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return base + urlsplit(urls).path if isinstance(urls, str) else urls


def _tried(work: Callable[[], Any]) -> Any:
    import ccxt

    again = Retrying(
        retry=retry_if_exception_type(ccxt.OperationFailed),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.3, max=10),
        sleep=time.sleep,
        reraise=True,
    )
    try:
        return again(work)
    except ccxt.OperationFailed as error:
        raise TransientError(f"the venue does not answer after {_ATTEMPTS} attempts: {error}") from error
    except ccxt.BaseError as error:
        raise PermanentError(f"the venue refuses: {error}") from error


def _row(values: Sequence[Any]) -> Row:
    at_ms, *prices = values
    opened, high, low, closed, volume = (float(value) for value in prices)
    return int(at_ms), opened, high, low, closed, volume


def _write(request: FetchRequest, rows: Sequence[Row], written: Sequence[Row]) -> None:
    if request.out is None:
        asyncio.run(_store(request, rows, written))
    elif request.out.suffix == ".csv":
        new = not request.out.exists()
        with request.out.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *rows] if new else rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = request.out.with_suffix(".part")
        pq.write_table(pa.table({name: [row[at] for row in written] for at, name in enumerate(COLUMNS)}), whole)
        whole.replace(request.out)  # whole, or as it was


def _in_file(file: Path) -> list[Row]:
    """What an earlier run wrote; a line that was cut off by a kill is taken away."""
    if not file.exists():
        return []
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [_row([line[name] for name in COLUMNS]) for line in pq.read_table(file).to_pylist()]
    content = file.read_bytes()
    kept = content[: content.rfind(b"\n") + 1]
    if len(kept) < len(content):
        file.write_bytes(kept)
    lines = list(csv.reader(io.StringIO(kept.decode())))
    if lines and tuple(lines[0]) != COLUMNS:
        raise PermanentError(f"--out is a file of something else: its header is {','.join(lines[0])} ({file})")
    return [_row(line) for line in lines[1:]]


async def _stored(request: FetchRequest) -> list[Row]:
    """The candles at the beginning of the span that are in the store, as far as they follow one another."""
    settings = ServiceSettings.load()
    async with open_store_and_cache(settings, load_topology(), settings.clock()) as (store, _):
        found = await CandleStore(store).between(
            request.exchange, request.symbol, request.timeframe, request.span.from_ms, request.span.to_ms
        )
    known: list[Row] = []
    for candle in found:
        if candle.open_time_ms != (known[-1][0] + request.timeframe.duration_ms if known else request.span.from_ms):
            break
        prices = (candle.open, candle.high, candle.low, candle.close)
        known.append((candle.open_time_ms, *prices, float(candle.volume)))
    return known


async def _store(request: FetchRequest, rows: Sequence[Row], written: Sequence[Row]) -> None:
    """As first revisions where there is none, with the roll-ups that the run so far makes whole."""
    settings = ServiceSettings.load()
    week = max(len(rows), 7 * 24 * 60)  # far enough back for the longest roll-up
    candles = [_candle(request, row) for row in written[-len(rows) - week :]]
    fresh_from_ms = rows[0][0]
    made = [
        candle
        for run in _runs(candles)
        for closed in with_roll_ups(run)
        for candle in closed
        if candle.close_time_ms > fresh_from_ms
    ]
    async with open_store_and_cache(settings, load_topology(), settings.clock()) as (store, _):
        await CandleStore(store).fill(made, fence=None)


def _runs(candles: Sequence[Candle]) -> Iterator[Sequence[Candle]]:
    """Candles that follow one another: what is absent stays so, and no roll-up reaches over it."""
    begin = 0
    for place in range(1, len(candles) + 1):
        if place == len(candles) or candles[place].open_time_ms != candles[place - 1].close_time_ms:
            yield candles[begin:place]
            begin = place


def _candle(request: FetchRequest, row: Row) -> Candle:
    at_ms, opened, high, low, closed, volume = row
    amount = Decimal(repr(volume))
    return Candle(
        exchange=request.exchange,
        symbol=request.symbol,
        timeframe=request.timeframe,
        open_time_ms=at_ms,
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=amount,
        quote_volume=amount * Decimal(repr(closed)),
        trade_count=None,
        quality=CandleQuality.REPAIRED_KLINE,
        source=CandleSource.KLINE,
    )


def _report(request: FetchRequest, fetched: int, there: int, holes: Sequence[Hole]) -> None:
    where = "the store" if request.out is None else str(request.out)
    print(f"{fetched:,} candles of {request.symbol} {request.timeframe} fetched, {there:,} in {where}")
    for hole in holes[:_SHOWN]:
        print(f"absent: {hole.count:,} from {utc_text(hole.open_time_ms)}")
    if len(holes) > _SHOWN:
        print(f"… and {len(holes) - _SHOWN:,} more gaps; {sum(hole.count for hole in holes):,} candles in all")
