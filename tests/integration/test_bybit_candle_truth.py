"""The fold of the recorded trades against the venue's own kline of the same minute."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import WindowLimits
from shared.domain.fold import fold_minutes
from shared.domain.instruments import Instrument
from shared.domain.splitting import split_by_minute
from shared.exchanges.bybit.wire import parse_frame, parse_instruments
from shared.exchanges.feed import FeedClock, FeedTrades

MINUTE_MS = 1786310820000  # 2026-08-09 21:27:00 UTC
FRAMES = "frames/bybit_v5_linear_2026-08-09.jsonl.gz"
INSTRUMENTS = "rest/bybit_v5_instruments_linear.json.gz"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")


@pytest.fixture(scope="module")
def frames(market_data: Path) -> list[bytes]:
    with gzip.open(market_data / FRAMES, "rb") as lines:
        records = [json.loads(line) for line in lines]
    return [record["data"].encode() for record in records if record["t"] == "recv"]


@pytest.fixture(scope="module")
def instruments(market_data: Path) -> dict[str, Instrument]:
    page = parse_instruments(gzip.decompress((market_data / INSTRUMENTS).read_bytes()))
    return {info.symbol: info.instrument() for info in page.list if info.symbol in SYMBOLS}


@pytest.fixture(scope="module")
def last_klines(frames):
    """symbol -> (its last kline of 21:27, the close of 21:26)."""
    last, previous_close = {}, {}
    for data in frames:
        frame = json.loads(data)
        if frame.get("topic", "").startswith("kline.1."):
            symbol = frame["topic"].removeprefix("kline.1.")
            for kline in frame["data"]:
                if kline["start"] == MINUTE_MS:
                    last[symbol] = kline
                elif kline["start"] == MINUTE_MS - 60_000:
                    previous_close[symbol] = float(kline["close"])
    return {symbol: (kline, previous_close[symbol]) for symbol, kline in last.items()}


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("trades_max", [1, 7, 500])
def test_the_fold_of_the_recorded_trades_is_the_venues_kline(frames, instruments, last_klines, symbol, trades_max):
    kline, previous_close = last_klines[symbol]
    limits = SessionLimits(window=WindowLimits(trades_max=trades_max), time=TimeLimits())
    clock = VenueClock(limits.time)
    session, batches = None, []
    for number, data in enumerate(frames):
        parsed = parse_frame(data)
        if not isinstance(parsed, FeedTrades | FeedClock):
            continue
        assert clock.advance(parsed.venue_time_ms) is None
        if session is None:
            session = StreamSession(
                exchange="bybit-linear",
                session="recorded",
                started_at_ms=1786310818223,
                instruments=instruments,
                clock=clock,
                limits=limits,
                now_ms=0,
            )
        for trade in parsed.trades if isinstance(parsed, FeedTrades) else []:
            if trade.traded_at_ms <= kline["timestamp"]:
                session.add(trade)
        if session.is_due(number):
            batches.append(session.take(number))
    batches.append(session.take(len(frames)))

    pieces = [
        piece
        for batch in batches
        for piece in split_by_minute(batch)
        if piece.symbol == symbol and piece.minute_ms == MINUTE_MS
    ]
    [folded] = fold_minutes([pieces])

    assert session.identity.covers_from_ms < MINUTE_MS
    assert folded.close == float(kline["close"])
    assert folded.volume == Decimal(kline["volume"])
    assert abs(folded.quote_volume - Decimal(kline["turnover"])) < Decimal("0.001")
    assert float(kline["open"]) == previous_close
    assert max(folded.high, previous_close) == float(kline["high"])
    assert min(folded.low, previous_close) == float(kline["low"])
