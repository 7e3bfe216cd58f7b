"""Bybit frame bytes to candles in one process, beside cryptofeed's Bybit handler with its OHLCV aggregate on the same frames.

    MARKET_DATA=folder python -m benchmarks.frames_to_candles [--trades 200000] [--peers .venv-peers/bin/python]

The frames hold recorded trades, five a frame. Ours: parse_frame, the Ingestion handler (session, windows, batches), then the
aggregator's core (coverage, pieces by minute, fold at the watermark). Both sides must agree on every symbol's volume. How the
peers' environment is made: benchmarks/README.md. Each run is a process of its own; the two take turns.
"""

import argparse
import gc
import gzip
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from services.aggregator.core.candle_builder import CandleBuilder
from services.aggregator.core.coverage import Coverage, SeriesKey
from services.aggregator.core.limits import Limits
from services.ingestion.core.frontier import Frontier
from services.ingestion.core.session import SessionLimits
from services.ingestion.core.venue_clock import TimeLimits
from services.ingestion.core.window import WindowLimits
from services.ingestion.handlers import Ingestion, IngestionOptions
from shared.domain.coverage import SessionCoverage
from shared.domain.decimals import plain_text
from shared.domain.instruments import Instrument
from shared.domain.splitting import split_by_minute
from shared.domain.timeframe import minute_ms
from shared.domain.trades import TradeBatch
from shared.exchanges.bybit.instruments import InstrumentInfo
from shared.exchanges.bybit.wire import parse_frame
from shared.exchanges.feed import FeedClock, FeedConnected, FeedReady
from shared.runtime.clock import EventClock

TAPE: Final = "tape/binance_spot_trades_2019-05-31.csv.gz"
RESULTS: Final = Path(__file__).parent / "results" / "frames_to_candles.json"
PEER: Final = Path(__file__).parent / "peers" / "cryptofeed_bybit.py"
TRADES_PER_FRAME: Final = 5
GOAL: Final = 5.0


def frames_of(tape: Path, trades_max: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Frames as Bybit sends them (oldest first), and the venue's rows about their symbols."""
    waiting: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    frames: list[bytes] = []
    for row in _rows(tape, trades_max):
        trades = waiting[row["s"]]
        trades.append(row)
        if len(trades) == TRADES_PER_FRAME:
            # One taker order filled five times: equal T and seq, as the venue gives them.
            trades = [{**trade, "T": row["T"], "seq": row["seq"]} for trade in trades]
            head = {"topic": f"publicTrade.{row['s']}", "type": "snapshot", "ts": row["T"] + 1}
            frames.append(json.dumps({**head, "data": trades}, separators=(",", ":")).encode())
            waiting[row["s"]] = []
    return frames, [_instrument_row(symbol) for symbol in waiting]


def _rows(tape: Path, trades_max: int) -> Iterator[dict[str, Any]]:
    with gzip.open(tape, "rt") as lines:
        columns = next(lines).strip().split(",")
        for number, line in enumerate(lines):
            if number >= trades_max:
                return
            trade = dict(zip(columns, line.strip().split(","), strict=True))
            digits = hashlib.md5(trade["trade_id"].encode(), usedforsecurity=False).hexdigest()
            yield {
                "T": int(trade["event_time"]),
                "s": trade["symbol"],
                "S": "Sell" if trade["buyer_market_maker"] == "true" else "Buy",
                "v": plain_text(Decimal(trade["quantity"])),
                "p": plain_text(Decimal(trade["price"])),
                "L": "MinusTick",
                "i": f"{digits[:8]}-{digits[8:12]}-5{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}",
                "BT": False,
                "RPI": False,
                "seq": number,
            }


def _instrument_row(symbol: str) -> dict[str, Any]:
    base, quote = symbol[:-4], symbol[-4:]
    row = {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
    }
    return {**row, "priceFilter": {"tickSize": "0.00000001"}, "lotSizeFilter": {"qtyStep": "0.00000001"}}


class _Batches:
    """Stands where publisher and refiller stand: keeps the batches, asks nobody."""

    def __init__(self) -> None:
        self.waiting: list[TradeBatch] = []

    def offer(self, batch: TradeBatch) -> bool:
        self.waiting.append(batch)
        return True

    def start(self, *_: object) -> None:
        """No hole is filled."""

    def refuse(self, refusal: object) -> None:
        raise AssertionError(refusal)

    def say(self, event: object) -> None:
        raise AssertionError(event)


class Ours:
    """One process from frames to candles."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self._out = _Batches()
        self._clock = EventClock()
        self._coverage = Coverage()
        self._builder = CandleBuilder(self._coverage, Limits())
        self.volume: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.candles = 0
        options = IngestionOptions(
            exchange="bybit-linear",
            instance_id="benchmark",
            limits=SessionLimits(window=WindowLimits(), time=TimeLimits()),
            first_refill_ms=0,
            freshness_budget_ms=10**12,
            clock_skew_max_ms=10**12,
        )
        self._ingestion = Ingestion(
            options,
            instruments=instruments,
            publisher=self._out,  # type: ignore[arg-type]  # the part of it that the handler uses
            refiller=self._out,  # type: ignore[arg-type]  # the part of it that the handler uses
            frontier=Frontier(),
            clock=self._clock,
            steady_ms=lambda: time.monotonic() * 1000,  # windows end by age or size, as they would under this load
            log=structlog.get_logger(),
        )
        self._ingestion.handle(FeedConnected(connection=1))
        self._ingestion.handle(FeedReady(symbols=tuple(instruments), refused={}))
        for symbol in instruments:
            self._builder.of(SeriesKey("bybit-linear", symbol)).ready = True

    def run(self, frames: Sequence[bytes]) -> None:
        """Every frame; what stays open at the end is closed."""
        handle, waiting = self._ingestion.handle, self._out.waiting
        for frame in frames:
            event = parse_frame(frame)
            handle(event)  # type: ignore[arg-type]  # all frames are trades
            if waiting:
                self._take(waiting)
        self._ingestion.end_session()
        self._take(waiting)
        while self._close(minute_ms(event.venue_time_ms)):  # type: ignore[union-attr]  # all frames are trades
            pass

    def begin(self, venue_time_ms: int) -> None:
        """The session begins at the clock's first time, well before the first trade."""
        self._ingestion.handle(FeedClock(venue_time_ms=venue_time_ms))

    def _take(self, waiting: list[TradeBatch]) -> None:
        for batch in waiting:
            self._clock.now_ms = batch.watermark_ms
            known = self._coverage.session(batch.exchange, batch.session) or SessionCoverage.beginning(batch)
            self._coverage.put(known.joined(batch))
            for piece in split_by_minute(batch):
                self._builder.of(SeriesKey(piece.exchange, piece.symbol)).add(piece)
        waiting.clear()
        while self._close(None):
            pass

    def _close(self, through_ms: int | None) -> bool:
        closes = self._builder.plan_closes(through_ms=through_ms)
        for built in self._builder.build(closes):
            self.volume[built.series.key.symbol] += built.candle.volume
            self.candles += 1
        return self._builder.more


def ours(frames: Path, instruments: Path) -> dict[str, Any]:
    """One timed run in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    known = {
        info.symbol: info.instrument()
        for info in msgspec.json.decode(instruments.read_bytes(), type=list[InstrumentInfo])
    }
    data = frames.read_bytes().splitlines()
    bench = Ours(known)
    bench.begin(json.loads(data[0])["ts"] - 10_000)
    gc.collect()
    began = time.perf_counter()
    bench.run(data)
    seconds = time.perf_counter() - began
    volume = {symbol: str(total) for symbol, total in bench.volume.items()}
    return {"seconds": seconds, "candles": bench.candles, "volume": volume}


def peer(python: Path, frames: Path, instruments: Path) -> dict[str, Any]:
    """One timed run of cryptofeed in its own environment."""
    return _result([str(python), str(PEER), str(frames), str(instruments)])


def _result(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def agree(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Both counted every trade: the volumes are equal to the last decimal."""
    mine = {symbol: Decimal(volume) for symbol, volume in one["volume"].items()}
    theirs = {
        symbol.removesuffix("-PERP").replace("-", ""): Decimal(volume) for symbol, volume in other["volume"].items()
    }
    if mine != theirs:
        sys.exit(f"the volumes differ: {mine} and {theirs}")


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)  # frames, instruments: one run of ours
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(ours(*arguments.one)))
        return
    folder = os.environ.get("MARKET_DATA") or sys.exit("MARKET_DATA must name the folder with recorded market data")
    if not arguments.peers.is_file():
        sys.exit(f"{arguments.peers} is not there: benchmarks/README.md says how the peers' environment is made")
    frames, instruments = frames_of(Path(folder) / TAPE, arguments.trades)
    trades = len(frames) * TRADES_PER_FRAME
    rates: dict[str, list[float]] = {"ours": [], "cryptofeed": []}
    with tempfile.TemporaryDirectory() as place:
        files = (Path(place) / "frames.jsonl", Path(place) / "instruments.json")
        files[0].write_bytes(b"\n".join(frames))
        files[1].write_text(json.dumps(instruments), encoding="utf-8")
        for _ in range(arguments.runs):
            mine = _result([sys.executable, "-m", "benchmarks.frames_to_candles", "--one", *map(str, files)])
            theirs = peer(arguments.peers, *files)
            agree(mine, theirs)
            rates["ours"].append(trades / mine["seconds"])
            rates["cryptofeed"].append(trades / theirs["seconds"])
            print(f"ours {rates['ours'][-1]:10,.0f}  cryptofeed {rates['cryptofeed'][-1]:10,.0f} trades/s", flush=True)
    ratios = [one / other for one, other in zip(rates["ours"], rates["cryptofeed"], strict=True)]
    report = {
        "trades": trades,
        "symbols": len(instruments),
        "candles": mine["candles"],
        "trades_per_second": {name: _spread(values) for name, values in rates.items()},
        "ratio": {**_spread(ratios, 2), "goal": GOAL},
        "load_average_after": round(os.getloadavg()[0], 2),
    }
    print(json.dumps(report, indent=2))
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _spread(values: list[float], digits: int | None = None) -> dict[str, float]:
    named = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in named.items()}


if __name__ == "__main__":
    main()
