"""The recorded frames and answers of Binance spot through the parsers, what they fold to, and what they refuse."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import WindowLimits
from shared.domain.errors import InvalidTradeError, TransientError
from shared.domain.fold import fold_minutes
from shared.domain.instruments import Instrument
from shared.domain.splitting import split_by_minute
from shared.exchanges.binance.wire import (
    Answer,
    parse_frame,
    parse_klines,
    parse_server_time_ms,
    parse_symbols,
    parse_trades,
    subscribe_request,
)
from shared.exchanges.feed import FeedClock, FeedRefused, FeedTrades

FRAMES = "frames/binance_spot_BTCUSDT_2023-04-05.raw.gz"
TRUTH = "candle_truth/binance_spot_BTCUSDT_1m_2023-04-05_first10min.csv"
RESPONSES = "rest/binance_rest_responses.jsonl.gz"
START_MS = 1680652800000
BTCUSDT = Instrument(
    exchange="binance-spot", symbol="BTCUSDT", base="BTC", quote="USDT", price_scale=2, quantity_scale=5
)


def a_frame(stream="btcusdt@trade", **fields):
    trade = {
        "e": "trade",
        "E": 1680652800000,
        "s": "BTCUSDT",
        "t": 3071245454,
        "p": "28165.47000000",
        "q": "0.00056000",
        "b": 20720542158,
        "a": 20720542592,
        "T": 1680652799999,
        "m": True,
        "M": True,
    }
    return json.dumps({"stream": stream, "data": trade | fields}).encode()


@pytest.fixture(scope="module")
def frames(market_data: Path) -> list[bytes]:
    lines = gzip.decompress((market_data / FRAMES).read_bytes()).splitlines()
    return [line.partition(b" ")[2] for line in lines]


def bodies(market_data: Path, path: str) -> list[tuple[str, bytes]]:
    lines = gzip.decompress((market_data / RESPONSES).read_bytes()).splitlines()
    records = [json.loads(line) for line in lines]
    return [(str(r["query"]), json.dumps(r["body"]).encode()) for r in records if r["path"] == path]


def test_every_recorded_frame_is_understood(frames):
    parsed = [parse_frame(data) for data in frames]
    trades = [trade for frame in parsed if isinstance(frame, FeedTrades) for trade in frame.trades]

    assert not [frame for frame in parsed if isinstance(frame, FeedRefused | Answer)]
    assert not [frame for frame in parsed if isinstance(frame, FeedTrades) and frame.refused]
    assert sum(isinstance(frame, FeedClock) for frame in parsed) == 3929  # depthUpdate says a time, bookTicker none
    assert len(trades) == 3144
    ids = [trade.trade_id for trade in trades]
    assert ids == list(range(ids[0], ids[0] + 3144))


@pytest.mark.parametrize("trades_max", [3, 500])
def test_the_fold_of_the_recorded_trades_is_the_venues_kline(frames, market_data, trades_max):
    limits = SessionLimits(window=WindowLimits(trades_max=trades_max), time=TimeLimits())
    clock = VenueClock(limits.time)
    session, batches = None, []
    for number, data in enumerate(frames):
        parsed = parse_frame(data)
        if not isinstance(parsed, FeedTrades | FeedClock):
            continue
        assert clock.advance(parsed.venue_time_ms) is None
        session = session or StreamSession(
            exchange="binance-spot",
            session="recorded",
            started_at_ms=START_MS,
            instruments={"BTCUSDT": BTCUSDT},
            clock=clock,
            limits=limits,
            now_ms=0,
        )
        for trade in parsed.trades if isinstance(parsed, FeedTrades) else []:
            session.add(trade)
        if session.is_due(number):
            batches.append(session.take(number))
    batches.append(session.take(len(frames)))
    pieces = [piece for batch in batches for piece in split_by_minute(batch)]

    lines = (market_data / TRUTH).read_text().splitlines()[1:7]  # the seventh minute is cut
    for line in lines:
        row = line.split(",")
        of_minute = [piece for piece in pieces if piece.minute_ms == int(row[0])]
        [folded] = fold_minutes([of_minute])
        if int(row[0]) == START_MS:  # the first group of a session is left to the refill
            assert folded.trade_count in {int(row[8]) - 1, int(row[8])}
            continue
        assert [folded.open, folded.high, folded.low, folded.close] == [float(text) for text in row[1:5]]
        assert (folded.volume, folded.quote_volume) == (Decimal(row[5]), Decimal(row[7]))
        assert folded.trade_count == int(row[8])


def test_answers_of_rest_are_understood(market_data):
    for query, body in bodies(market_data, "/api/v3/trades"):
        symbol = query.split("symbol=")[1]
        trades = parse_trades(body, symbol)
        assert [trade.trade_id for trade in trades] == sorted(trade.trade_id for trade in trades)
        assert {trade.symbol for trade in trades} == {symbol}
    rows = [row for query, body in bodies(market_data, "/api/v3/klines") for row in parse_klines(body, query)]
    assert len(rows) > 2000
    assert all(close_ms > open_ms and count > 0 for open_ms, close_ms, _, count in rows)
    [(_, body)] = bodies(market_data, "/api/v3/exchangeInfo")[:1]
    instrument = next(info for info in parse_symbols(body) if info.symbol == "ETHBTC").instrument()
    assert (instrument.base, instrument.quote, instrument.price_scale) == ("ETH", "BTC", 5)
    assert parse_server_time_ms(b'{"serverTime":1754603741167}') == 1754603741167


def test_a_subscription_and_its_answers():
    assert json.loads(subscribe_request(1, ["btcusdt@trade"])) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@trade"],
        "id": 1,
    }
    accepted = parse_frame(b'{"result":null,"id":1}')
    assert isinstance(accepted, Answer)
    assert (accepted.request_id, accepted.error) == (1, None)
    refused = parse_frame(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}')
    assert isinstance(refused, Answer)
    assert refused.error is not None


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"p": "-1"}, "price and quantity"),
        ({"p": "nan"}, "price and quantity"),
        ({"q": "0"}, "price and quantity"),
        ({"s": "ETHUSDT"}, "symbol must be the stream's"),
        ({"T": 0}, "T must be"),
        ({"t": -3}, "t must be"),
        ({"t": "x"}, "Expected `int`"),
    ],
)
def test_a_bad_trade_is_refused_with_its_rule_and_the_frame_goes_on(fields, rule):
    parsed = parse_frame(a_frame(**fields))
    assert isinstance(parsed, FeedTrades)
    assert not parsed.trades
    assert rule in parsed.refused[0].reason


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"a":1}', a_frame(E=0), a_frame()[:-9], b"\xff\xfe"])
def test_a_frame_that_cannot_be_read_may_have_held_trades(data):
    parsed = parse_frame(data)
    assert isinstance(parsed, FeedRefused)
    assert parsed.trades_possible


def test_rest_answers_of_another_shape_are_asked_for_again():
    with pytest.raises(TransientError, match="not an answer of this venue"):
        parse_trades(b"<html>", "BTCUSDT")
    row = {"id": 1, "price": "0", "qty": "1", "time": 1, "isBuyerMaker": True}
    with pytest.raises(InvalidTradeError, match="price and quantity"):
        parse_trades(json.dumps([row]).encode(), "BTCUSDT")
