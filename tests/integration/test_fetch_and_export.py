"""`cst fetch-candles` against a server that speaks Binance's REST with recorded candles; `cst export` of what it stored."""

import csv
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from cli.main import main

pytest.importorskip("ccxt", reason="ccxt is not installed: the dependency group research")
MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
MINUTE = 60_000


@pytest.fixture
def venue(market_data):
    """Ten hours around the halt of 2023-03-24; every third request is refused for the moment."""
    with gzip.open(market_data / MINUTES, "rt", encoding="utf-8") as file:
        rows = [[int(row[0]), *row[1:6]] for row in list(csv.reader(file))[1:]]
    rows = [row for row in rows if 1_679_644_800_000 <= row[0] < 1_679_680_800_000]
    market = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "isSpotTradingAllowed": True,
    }
    market |= {
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "permissions": ["SPOT"],
        "orderTypes": ["LIMIT"],
        "filters": [],
    }

    class Server(BaseHTTPRequestHandler):
        asked = 0
        klines: ClassVar[list] = []

        def do_GET(self):
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            Server.asked += 1
            if url.path.endswith("/exchangeInfo"):
                return self.answer(200, {"symbols": [market], "timezone": "UTC", "rateLimits": []})
            if Server.asked % 3 == 0:
                return self.answer(503, {"code": -1001, "msg": "busy"})
            begin, limit = int(query["startTime"]), int(query["limit"])
            Server.klines.append(begin)
            found = [row for row in rows if row[0] >= begin][:limit]
            return self.answer(200, [[*row, row[0] + MINUTE - 1, "0", 1, "0", "0", "0"] for row in found])

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Server.url, Server.rows = f"http://127.0.0.1:{server.server_port}", rows
    yield Server
    server.shutdown()
    server.server_close()


def cst(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def fetch(venue, *more, to="2023-03-24T18:00"):
    place = ("--venue", "binance", "--symbol", "BTCUSDT", "--rest-url", venue.url, "--page-size", 100)
    return cst("fetch-candles", *place, "--from", "2023-03-24T08:00", "--to", to, *more)


def rows_of(file):
    with file.open(encoding="utf-8") as lines:
        return [[int(row[0]), *map(float, row[1:])] for row in list(csv.reader(lines))[1:]]


def test_a_file_goes_on_where_it_ended_and_says_what_is_absent(venue, tmp_path, capsys):
    file = tmp_path / "BTCUSDT_1m.csv"
    assert fetch(venue, "--out", file, to="2023-03-24T12:00") == 0
    asked = len(venue.klines)
    file.write_bytes(file.read_bytes() + b"1679659200000,2797")  # a kill in the middle of a line
    assert fetch(venue, "--out", file) == 0

    wanted = [[row[0], *map(float, row[1:])] for row in venue.rows]
    assert rows_of(file) == wanted
    assert len(wanted) == 600 - 80
    assert min(venue.klines[asked:]) == 1_679_659_200_000  # nothing is asked for twice
    assert "absent: 80 from 2023-03-24 12:40" in capsys.readouterr().out

    parquet = tmp_path / "BTCUSDT_1m.parquet"
    assert fetch(venue, "--out", parquet) == 0
    import pyarrow.parquet as pq

    assert [list(row.values()) for row in pq.read_table(parquet).to_pylist()] == wanted


def test_the_store_gets_candles_with_roll_ups_and_gives_them_back(venue, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    config = tmp_path / "tracker.yaml"
    content = {"venues": {"binance-spot": {"symbols": ["BTCUSDT"]}}, "strategies": [{"name": "donchian"}]}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert fetch(venue, "--exchange", "binance-spot") == 0

    out = tmp_path / "candles.jsonl"
    assert cst("export", "candles", "--format", "jsonl", "--out", out, "--config", config) == 0
    minutes = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(one["open_time_ms"], one["close"]) for one in minutes] == [(row[0], float(row[4])) for row in venue.rows]
    assert {one["quality"] for one in minutes} == {"repaired_kline"}
    hours = tmp_path / "hours.csv"
    assert cst("export", "candles", "--timeframe", "1h", "--out", hours, "--config", config) == 0
    with hours.open(encoding="utf-8") as file:
        hours_kept = [int(row["open_time_ms"]) for row in csv.DictReader(file)]
    assert len(hours_kept) == 8  # the two that the halt cuts are not whole

    file = tmp_path / "BTCUSDT_1m.csv"
    assert fetch(venue, "--out", file) == 0
    market = ("--exchange", "binance-spot", "--symbol", "BTCUSDT", "--timeframe", "5m", "--config", config)
    span = ("--from", "2023-03-24T08:00", "--to", "2023-03-24T18:00")
    for source, where in (("stored", ()), ("file", ("--candles", file))):
        assert cst("backtest", "--strategy", "donchian", *market, *span, *where, "--out", tmp_path / source) == 0
    for name in ("decisions.csv", "trades.csv", "equity.csv", "signals.jsonl"):
        assert (tmp_path / "stored" / name).read_bytes() == (tmp_path / "file" / name).read_bytes(), name
    assert len((tmp_path / "file" / "decisions.csv").read_text(encoding="utf-8").splitlines()) == 2

    table = tmp_path / "candles.parquet"
    assert cst("export", "candles", "--format", "parquet", "--out", table, "--config", config) == 0
    assert cst("export", "signals", "--out", tmp_path / "signals.csv", "--config", config) == 0


def test_what_cannot_be_fetched_is_one_line(venue, tmp_path, capsys):
    assert (
        cst("fetch-candles", "--venue", "nowhere", "--symbol", "X", "--from", "2023-01-01", "--out", tmp_path / "a.csv")
        == 2
    )
    assert "--venue must be one of ccxt's exchanges" in capsys.readouterr().err
    assert fetch(venue, "--out", tmp_path / "a.txt") == 2
    assert "--out must end in .csv or .parquet" in capsys.readouterr().err
    assert cst("export", "feelings", "--out", tmp_path / "a.csv") == 2
    assert "signals, decisions, trades, candles" in capsys.readouterr().err
