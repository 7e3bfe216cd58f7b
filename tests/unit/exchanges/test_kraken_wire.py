"""Kraken's answers as recorded and as documented: what is read, what is dropped, what passes and what does not."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.exchanges.kraken.wire import parse_ohlc, parse_pairs, parse_server_time_ms

ROW = [1762777080, "106038.2", "106044.3", "106038.1", "106040.1", "106039.6", "0.08317981", 3]
OPEN_ROW = [1762777140, "106040.1", "106040.1", "106040.1", "106040.1", "0.0", "0.00000000", 0]


def ohlc(*rows: object, last: object = 1762777080, key: str = "XBTUSDT") -> bytes:
    return json.dumps({"error": [], "result": {key: list(rows), "last": last}}).encode()


def test_the_recorded_answer_is_read_and_its_open_row_dropped(market_data: Path):
    body = (market_data / "rest" / "kraken_ohlc_XBTUSDT_1m_2025-11-10.json").read_bytes()

    klines = parse_ohlc(body, "XBTUSDT")

    assert len(klines) == 720
    assert klines[-1].open_time_ms == 1762820160_000  # what the answer calls its last committed row
    fourth = klines[3]
    assert (fourth.open, fourth.high, fourth.low, fourth.close) == (106038.1, 106044.3, 106038.1, 106040.1)
    assert (fourth.volume, fourth.trade_count) == (Decimal("0.08317981"), 3)
    assert klines[0].volume == 0


def test_the_newest_row_is_never_read_whatever_last_says():
    [only] = parse_ohlc(ohlc(ROW, OPEN_ROW, last=1762777140), "XBTUSDT")

    assert only.open_time_ms == 1762777080_000
    assert parse_ohlc(ohlc(OPEN_ROW), "XBTUSDT") == []
    assert parse_ohlc(ohlc(), "XBTUSDT") == []


def test_the_recorded_pairs_get_the_names_that_others_use(market_data: Path):
    with gzip.open(market_data / "frames" / "kraken_v1_2021-04-17.jsonl.gz", "rt") as lines:
        body = next(record["data"] for record in map(json.loads, lines) if record["t"] == "http")

    pairs = parse_pairs(body.encode())
    found = {(item.base, item.quote): item for item in (pair.instrument() for pair in pairs if pair.is_trading)}

    assert found["BTC", "USDT"].symbol == "XBTUSDT"
    assert found["DOGE", "USD"].symbol == "XDGUSD"
    assert found["BTC", "USD"].price_scale == 1
    assert not any(item.symbol.endswith(".d") for item in found.values())  # its dark pool


@pytest.mark.parametrize(
    "text",
    [
        "EAPI:Rate limit exceeded",
        "EGeneral:Too many requests",
        "EService:Unavailable",
        "EService:Market in cancel_only mode",
    ],
)
def test_what_passes_by_itself_is_transient(text: str):
    with pytest.raises(TransientError, match=text):
        parse_ohlc(json.dumps({"error": [text]}).encode(), "XBTUSDT")


@pytest.mark.parametrize("text", ["EQuery:Unknown asset pair", "EGeneral:Invalid arguments"])
def test_what_will_not_get_better_is_permanent(text: str):
    with pytest.raises(PermanentError, match=text):
        parse_ohlc(json.dumps({"error": [text]}).encode(), "NOPE")


def test_a_warning_beside_an_answer_is_no_error():
    body = {"error": ["WAPI:Deprecated"], "result": {"unixtime": 1762777080}}

    assert parse_server_time_ms(json.dumps(body).encode()) == 1762777080_000


def test_a_page_in_place_of_json_passes():
    with pytest.raises(TransientError, match="must be JSON, was '<!DOCTYPE html>"):
        parse_ohlc(b"<!DOCTYPE html>\n<title>Down for maintenance</title>", "XBTUSDT")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "not an answer of Kraken"),
        (b'{"error": [], "result": {"last": 5}}', "one pair and `last` are required"),
        (ohlc(ROW, OPEN_ROW, last=None), "not an answer of Kraken"),
        (ohlc(ROW[:5], OPEN_ROW), "not an answer of Kraken"),
        (ohlc([*ROW[:5], "abc", *ROW[6:]], OPEN_ROW), "vwap and volume must be decimals"),
        (ohlc([ROW[0], "NaN", *ROW[2:]], OPEN_ROW), "0 < low <= open"),
        (ohlc([ROW[0], "-1", *ROW[2:]], OPEN_ROW), "0 < low <= open"),
    ],
)
def test_what_is_no_answer_of_ours_is_refused_by_name(body: bytes, said: str):
    with pytest.raises(InvalidValueError, match=said):
        parse_ohlc(body, "XBTUSDT")
