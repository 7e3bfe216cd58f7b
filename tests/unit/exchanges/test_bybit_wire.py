"""The recorded frames and answers of Bybit v5 through the parsers, and what they refuse."""

import gzip
import json
from pathlib import Path

import pytest

from shared.domain.errors import InvalidTradeError, PermanentError, TransientError
from shared.exchanges.bybit.wire import (
    Answer,
    parse_frame,
    parse_instruments,
    parse_klines,
    parse_recent_trades,
    parse_server_time_ms,
    ping_request,
    subscribe_request,
)
from shared.exchanges.feed import FeedClock, FeedRefused, FeedTrades

FRAMES = "frames/bybit_v5_linear_2026-08-09.jsonl.gz"
INSTRUMENTS = "rest/bybit_v5_instruments_linear.json.gz"


def a_trade(**fields):
    trade = {
        "T": 1786310819680,
        "s": "BTCUSDT",
        "S": "Sell",
        "v": "0.004",
        "p": "65114.20",
        "L": "MinusTick",
        "i": "a9188a0a-82bc-50de-be60-03eedbe3cdd7",
        "BT": False,
        "RPI": False,
        "seq": 753843954913,
    }
    return trade | fields


def a_frame(*trades, topic="publicTrade.BTCUSDT", ts=1786310819681):
    return json.dumps({"topic": topic, "type": "snapshot", "ts": ts, "data": list(trades)}).encode()


def test_every_recorded_frame_is_understood(market_data: Path):
    seen = {"trades": 0, "clock": 0, "answers": 0}
    for line in gzip.decompress((market_data / FRAMES).read_bytes()).splitlines():
        record = json.loads(line)
        if record["t"] != "recv":
            continue
        parsed = parse_frame(record["data"].encode())
        if isinstance(parsed, FeedTrades):
            assert not parsed.refused
            seen["trades"] += len(parsed.trades)
        elif isinstance(parsed, FeedClock):
            seen["clock"] += 1
        else:
            assert isinstance(parsed, Answer)
            assert parsed.is_accepted
            seen["answers"] += 1
    assert seen == {"trades": 327, "clock": 758 + 71 + 1598, "answers": 17}


def test_recorded_instruments_give_the_decimals_of_tick_and_step(market_data: Path):
    page = parse_instruments(gzip.decompress((market_data / INSTRUMENTS).read_bytes()))
    found = {info.symbol: info.instrument() for info in page.list}

    assert len(found) == 800
    assert page.cursor == ""
    assert (found["BTCUSDT"].price_scale, found["BTCUSDT"].quantity_scale) == (1, 3)
    assert (found["DOGEUSDT"].price_scale, found["DOGEUSDT"].quantity_scale) == (5, 0)
    assert (found["SEIUSDT"].base, found["SEIUSDT"].quote) == ("SEI", "USDT")


def test_a_trade_keeps_its_texts_and_its_side():
    parsed = parse_frame(a_frame(a_trade(), a_trade(S="Buy", i="b")))
    assert isinstance(parsed, FeedTrades)
    first, second = parsed.trades
    assert (first.price_text, first.quantity_text, first.taker_is_buyer) == ("65114.20", "0.004", False)
    assert (first.traded_at_ms, first.venue_sequence) == (1786310819680, 753843954913)
    assert second.taker_is_buyer


def test_an_id_may_hold_what_row_keys_forbid_in_names():
    parsed = parse_frame(a_frame(a_trade(i="a#b"), a_trade(i="a:b")))
    assert isinstance(parsed, FeedTrades)
    assert [trade.trade_id for trade in parsed.trades] == ["a#b", "a:b"]
    assert not parsed.refused


def test_the_order_of_the_keys_does_not_matter():
    frame = json.dumps({"type": "snapshot", "ts": 1, "data": [a_trade()], "topic": "publicTrade.BTCUSDT"}).encode()
    parsed = parse_frame(frame)
    assert isinstance(parsed, FeedTrades)
    assert len(parsed.trades) == 1


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"p": "-1"}, "price and quantity must be finite and > 0"),
        ({"p": "NaN"}, "price and quantity must be finite and > 0"),
        ({"p": "inf"}, "price and quantity must be finite and > 0"),
        ({"p": "0"}, "price and quantity must be finite and > 0"),
        ({"p": "abc"}, "price and quantity must be finite and > 0"),
        ({"v": "0"}, "price and quantity must be finite and > 0"),
        ({"v": "-3"}, "price and quantity must be finite and > 0"),
        ({"s": "ETHUSDT"}, "symbol must be the topic's BTCUSDT"),
        ({"S": "buy"}, "side must be Buy or Sell"),
        ({"T": 17863108196800000}, "T must be UTC epoch milliseconds"),
        ({"seq": -1}, "seq must be >= 0"),
        ({"i": "a\nb"}, "the id printable"),
        ({"i": ""}, "not empty"),
        ({"p": 65114.2}, "Expected `str`"),
        ({"T": None}, "Expected `int`"),
    ],
)
def test_one_bad_trade_is_refused_by_name_and_its_neighbours_go_on(fields, rule):
    parsed = parse_frame(a_frame(a_trade(i="before"), a_trade(**fields), a_trade(i="after")))

    assert isinstance(parsed, FeedTrades)
    assert [trade.trade_id for trade in parsed.trades] == ["before", "after"]
    [refusal] = parsed.refused
    assert rule in refusal.reason
    assert "publicTrade.BTCUSDT" in refusal.reason


@pytest.mark.parametrize(
    ("data", "trades_possible"),
    [
        (b"", True),
        (b"not json", True),
        (b"\xff\xfe", True),
        (b"[]", True),
        (b"{}", True),
        (b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1', True),
        (b'{"topic":"publicTrade.BTCUSDT","ts":-5,"data":[]}', True),
        (b'{"topic":"tickers.BTCUSDT","ts":"soon"}', False),
        (b'{"topic":"tickers.BTCUSDT"}', False),
    ],
)
def test_an_unreadable_frame_is_refused_and_says_whether_trades_may_be_lost(data, trades_possible):
    parsed = parse_frame(data)
    assert isinstance(parsed, FeedRefused)
    assert parsed.trades_possible is trades_possible
    assert parsed.refusal.reason


def test_requests_are_what_the_venue_documents():
    assert json.loads(subscribe_request("7", ["publicTrade.BTCUSDT"])) == {
        "req_id": "7",
        "op": "subscribe",
        "args": ["publicTrade.BTCUSDT"],
    }
    assert json.loads(ping_request("8")) == {"req_id": "8", "op": "ping"}


def test_subscribing_twice_counts_as_accepted():
    refused = b'{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.BTCUSDT","op":"subscribe"}'
    parsed = parse_frame(refused)
    assert isinstance(parsed, Answer)
    assert parsed.is_accepted


def an_answer(result, code=0):
    return json.dumps({"retCode": code, "retMsg": "text", "result": result, "time": 1786310817197}).encode()


def test_recent_trades_come_oldest_first():
    def row(number):
        return {
            "execId": f"id-{number}",
            "symbol": "BTCUSDT",
            "price": "1.5",
            "size": "2",
            "side": "Buy",
            "time": str(1786310819680 + number),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": "42",
        }

    trades = parse_recent_trades(an_answer({"category": "linear", "list": [row(2), row(1)]}), "BTCUSDT")
    assert [trade.trade_id for trade in trades] == ["id-1", "id-2"]
    assert trades[0].venue_sequence == 42
    with pytest.raises(InvalidTradeError, match="recent-trade BTCUSDT trade_id=id-9"):
        parse_recent_trades(an_answer({"list": [row(9) | {"time": "soon"}]}), "BTCUSDT")


def test_klines_and_time():
    rows, server_time_ms = parse_klines(
        an_answer({"list": [["60000", "1", "2", "1", "2", "5", "7"], ["0", "1", "1", "1", "1", "0", "0"]]}), "BTCUSDT"
    )
    assert [open_time_ms for open_time_ms, _ in rows] == [0, 60000]
    assert server_time_ms == 1786310817197
    assert parse_server_time_ms(an_answer({"timeSecond": "1", "timeNano": "1786310817197000000"})) == 1786310817197


@pytest.mark.parametrize(("code", "error"), [(10006, TransientError), (10016, TransientError), (10001, PermanentError)])
def test_the_venues_codes_say_whether_to_try_again(code, error):
    with pytest.raises(error, match=str(code)):
        parse_server_time_ms(an_answer({}, code))


def test_a_body_of_another_shape_is_transient():
    with pytest.raises(TransientError, match="not an answer of this venue"):
        parse_server_time_ms(b"<html>bad gateway</html>")
