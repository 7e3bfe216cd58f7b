"""What one Bybit frame costs ingestion: parse, take into the session, cut batches. Needs MARKET_DATA.

MARKET_DATA=... python -m benchmarks.ingestion_frames
"""

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import WindowLimits
from shared.domain.wire import encode_event
from shared.exchanges.bybit.wire import parse_frame, parse_instruments
from shared.exchanges.feed import FeedTrades

ROUNDS = 50


def best_us(work: Callable[[], object], items: int) -> float:
    """Microseconds per item in the best of five runs."""
    runs = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        runs.append(time.perf_counter() - started)
    return min(runs) / items * 1e6


def main() -> None:
    """Print one line per figure."""
    folder = Path(os.environ["MARKET_DATA"])
    lines = gzip.decompress((folder / "frames/bybit_v5_linear_2026-08-09.jsonl.gz").read_bytes()).splitlines()
    frames = [record["data"].encode() for record in map(json.loads, lines) if record["t"] == "recv"]
    trades = [frame for frame in frames if frame.startswith(b'{"topic":"publicTrade')]
    tickers = [frame for frame in frames if frame.startswith(b'{"topic":"tickers')]
    parsed = [event for event in map(parse_frame, trades) if isinstance(event, FeedTrades)]
    count = sum(len(event.trades) for event in parsed)
    page = parse_instruments(gzip.decompress((folder / "rest/bybit_v5_instruments_linear.json.gz").read_bytes()))
    symbols = {trade.symbol for event in parsed for trade in event.trades}
    instruments = {info.symbol: info.instrument() for info in page.list if info.symbol in symbols}

    def sessions() -> None:
        for _ in range(ROUNDS):
            clock = VenueClock(TimeLimits())
            clock.advance(parsed[0].venue_time_ms)
            session = StreamSession(
                exchange="bybit-linear",
                session="benchmark",
                started_at_ms=1,
                instruments=instruments,
                clock=clock,
                limits=SessionLimits(window=WindowLimits(), time=TimeLimits()),
                now_ms=0,
            )
            for number, event in enumerate(parsed):
                clock.advance(event.venue_time_ms)
                for trade in event.trades:
                    session.add(trade)
                if session.is_due(number * 100):
                    encode_event(session.take(number * 100))

    parse_trades = best_us(
        lambda: [parse_frame(frame) for _ in range(ROUNDS) for frame in trades], ROUNDS * len(trades)
    )
    parse_tickers = best_us(lambda: [parse_frame(frame) for frame in tickers], len(tickers))
    print(f"parse a trade frame ({count / len(trades):.1f} trades): {parse_trades:.2f} us")
    print(f"parse a ticker frame: {parse_tickers:.2f} us")
    print(f"session, batches and JSON: {best_us(sessions, ROUNDS * count):.2f} us per trade")


if __name__ == "__main__":
    main()
