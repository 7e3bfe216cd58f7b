"""The simulator against frames recorded from Bybit: same keys, same JSON types; and its REST answers."""

import asyncio
import gzip
import json
import time

import pytest
import websockets

from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.exchanges.bybit.rest import BybitRest
from shared.exchanges.http import RestLimits
from shared.exchanges.kraken.rest import KrakenRest
from tests.support.simulator import running_simulator

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")


@pytest.fixture(scope="module")
def simulator():
    with running_simulator(speed=30, seed=4, symbols=(*SYMBOLS, "SEIUSDT")) as running:
        yield running


def shape(value):
    """Keys and JSON types; a list is the shape of its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


async def collect(simulator, topics, seconds, *, request_id="7"):
    frames = []
    async with websockets.connect(simulator.websocket_url) as client:
        await client.send(json.dumps({"op": "subscribe", "args": topics, "req_id": request_id}))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                frames.append(json.loads(await asyncio.wait_for(client.recv(), left)))
            except TimeoutError:
                break
    return frames


@pytest.fixture(scope="module")
def recorded(market_data):
    frames = {}
    with gzip.open(market_data / "frames" / "bybit_v5_linear_2026-08-09.jsonl.gz", "rt") as file:
        for line in file:
            entry = json.loads(line)
            if entry["t"] == "recv":
                message = json.loads(entry["data"])
                kind = message.get("topic", message.get("op")).split(".")[0]
                frames.setdefault((kind, message.get("type")), []).append(message)
    return frames


async def test_frames_have_the_keys_and_types_of_recorded_ones(simulator, recorded):
    topics = [f"{kind}.{symbol}" for kind in ("publicTrade", "tickers", "kline.1") for symbol in SYMBOLS]
    frames = await collect(simulator, topics, 2.5)
    by_kind = {}
    for frame in frames:
        by_kind.setdefault((frame.get("topic", frame.get("op")).split(".")[0], frame.get("type")), []).append(frame)

    for kind in (("subscribe", None), ("publicTrade", "snapshot"), ("tickers", "snapshot"), ("kline", "snapshot")):
        expected = shape(recorded[kind][0])
        assert all(shape(frame) == expected for frame in recorded[kind])
        for frame in by_kind[kind]:
            assert shape(frame) == expected
            assert list(frame) == list(recorded[kind][0])
    full = shape(recorded["tickers", "snapshot"][0])
    assert all(shape(frame["data"]).items() <= full["data"].items() for frame in recorded["tickers", "delta"])
    for frame in by_kind["tickers", "delta"]:
        assert {key: shape(value) for key, value in frame.items() if key != "data"} == {
            key: value for key, value in full.items() if key != "data"
        }
        assert shape(frame["data"]).items() <= full["data"].items()
    row = shape(recorded["publicTrade", "snapshot"][0]["data"][0])
    for frame in by_kind["publicTrade", "snapshot"]:
        assert all(shape(trade) == row for trade in frame["data"])
    sides = {trade["S"] for f in recorded["publicTrade", "snapshot"] for trade in f["data"]}
    directions = {"PlusTick", "ZeroPlusTick", "MinusTick", "ZeroMinusTick"}
    ours = [trade for frame in by_kind["publicTrade", "snapshot"] for trade in frame["data"]]
    assert {trade["S"] for trade in ours} == sides
    assert {trade["L"] for trade in ours} == directions
    assert any(len(frame["data"]) > 1 for frame in by_kind["publicTrade", "snapshot"])


async def test_no_trade_comes_behind_the_time_of_an_earlier_frame(simulator):
    topics = [f"{kind}.{symbol}" for kind in ("publicTrade", "tickers") for symbol in SYMBOLS]
    latest_ms = seen = tickers = 0
    for frame in await collect(simulator, topics, 2.0):
        for trade in frame["data"] if frame.get("topic", "").startswith("publicTrade") else ():
            assert trade["T"] >= latest_ms
            seen += 1
        if "topic" in frame and frame.get("type") != "snapshot":
            latest_ms = frame["ts"]
            tickers += 1
    assert seen > 50
    assert tickers > 4 * 2.0 / 0.3


async def test_klines_on_the_stream_are_the_fold_of_the_trades_on_the_stream():
    with running_simulator(speed=80, seed=4, symbols=("SOLUSDT",)) as simulator:
        frames = await collect(simulator, ["publicTrade.SOLUSDT", "kline.1.SOLUSDT"], 2.6)
    trades = [t for frame in frames if frame.get("topic") == "publicTrade.SOLUSDT" for t in frame["data"]]
    closed = [b for f in frames if f.get("topic") == "kline.1.SOLUSDT" for b in f["data"] if b["confirm"]]
    assert len(closed) >= 2
    previous = closed[0]
    for bar in closed[1:]:
        prices = [float(t["p"]) for t in trades if bar["start"] <= t["T"] <= bar["end"]]
        volume = sum(round(float(t["v"]) * 10) for t in trades if bar["start"] <= t["T"] <= bar["end"])
        assert bar["open"] == previous["close"]
        assert float(bar["close"]) == prices[-1]
        assert float(bar["high"]) == max([*prices, float(bar["open"])])
        assert float(bar["low"]) == min([*prices, float(bar["open"])])
        assert round(float(bar["volume"]) * 10) == volume
        previous = bar


async def test_rest_klines_equal_the_fold_of_recent_trades(simulator):
    now_ms = int(simulator.get("/v5/market/time")["time"])
    rows = simulator.get("/v5/market/kline", category="linear", symbol="SOLUSDT", interval="1", end=now_ms - 60_000)
    newest, before = rows["result"]["list"][:2]
    start_ms = int(newest[0])
    recent = simulator.get("/v5/market/recent-trade", category="linear", symbol="SOLUSDT", limit=1000)
    trades = [t for t in reversed(recent["result"]["list"]) if start_ms <= int(t["time"]) < start_ms + 60_000]
    prices = [float(before[4]), *(float(t["price"]) for t in trades)]

    assert [float(v) for v in newest[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
    assert float(newest[5]) == pytest.approx(sum(float(t["size"]) for t in trades), rel=1e-12)
    turnover = sum(float(t["size"]) * float(t["price"]) for t in trades)
    assert float(newest[6]) == pytest.approx(turnover, rel=1e-12)


async def test_recent_trades_hold_what_the_stream_sent(simulator):
    frames = await collect(simulator, ["publicTrade.BTCUSDT"], 1.0)
    sent = {t["i"]: t for frame in frames if "topic" in frame for t in frame["data"]}
    answer = simulator.get("/v5/market/recent-trade", category="linear", symbol="BTCUSDT", limit=1000)
    listed = {t["execId"]: t for t in answer["result"]["list"]}
    assert sent
    for trade_id, trade in sent.items():
        found = listed[trade_id]
        assert (int(found["time"]), found["price"], found["size"], found["side"], int(found["seq"])) == (
            trade["T"], trade["p"], trade["v"], trade["S"], trade["seq"],
        )  # fmt: skip


@pytest.mark.parametrize(("limit", "length"), [("3", 3), ("1000", 1000), ("5000", 1000), ("", 500)])
def test_recent_trade_gives_at_most_a_thousand_newest_first(simulator, limit, length):
    answer = simulator.get("/v5/market/recent-trade", category="linear", symbol="BTCUSDT", limit=limit)
    listed = answer["result"]["list"]
    assert len(listed) == length
    order = [(int(t["time"]), int(t["seq"])) for t in listed]
    assert order == sorted(order, reverse=True)


def test_klines_come_newest_first_from_start_to_end(simulator):
    now_ms = int(simulator.get("/v5/market/time")["time"])
    hour_ms = 3_600_000
    start_ms = now_ms // hour_ms * hour_ms - 10 * hour_ms
    query = {"category": "linear", "symbol": "ETHUSDT", "interval": "60"}
    both = simulator.get("/v5/market/kline", **query, start=start_ms, end=start_ms + 3 * hour_ms)["result"]["list"]
    assert [int(row[0]) for row in both] == [start_ms + n * hour_ms for n in (3, 2, 1, 0)]
    from_start = simulator.get("/v5/market/kline", **query, start=start_ms, limit=2)["result"]["list"]
    assert [int(row[0]) for row in from_start] == [start_ms + hour_ms, start_ms]
    newest = simulator.get("/v5/market/kline", **query, limit=3)["result"]["list"]
    assert int(newest[0][0]) == simulator.market_ms() // hour_ms * hour_ms
    assert all(len(row) == 7 and all(isinstance(cell, str) for cell in row) for row in newest)
    year = simulator.get("/v5/market/kline", category="linear", symbol="ETHUSDT", interval="D", limit=400)
    assert len(year["result"]["list"]) == 400
    for newer, older in zip(year["result"]["list"], year["result"]["list"][1:], strict=False):
        assert newer[1] == older[4]


def test_instruments_have_the_keys_and_types_of_recorded_ones(simulator, market_data):
    with gzip.open(market_data / "rest" / "bybit_v5_instruments_linear.json.gz") as file:
        recorded = json.load(file)
    answer = simulator.get("/v5/market/instruments-info", category="linear", limit=2)
    assert shape(answer) == shape(recorded)
    by_symbol = {row["symbol"]: row for row in recorded["result"]["list"]}
    listed = answer["result"]["list"]
    while answer["result"]["nextPageCursor"]:
        cursor = answer["result"]["nextPageCursor"]
        answer = simulator.get("/v5/market/instruments-info", category="linear", limit=2, cursor=cursor)
        listed += answer["result"]["list"]
    assert [row["symbol"] for row in listed] == [*SYMBOLS, "SEIUSDT"]
    for row in listed:
        real = by_symbol[row["symbol"]]
        assert (row["priceFilter"]["tickSize"], row["lotSizeFilter"]["qtyStep"], row["priceScale"]) == (
            real["priceFilter"]["tickSize"], real["lotSizeFilter"]["qtyStep"], real["priceScale"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("kline", {"category": "linear", "symbol": "NOPEUSDT", "interval": "1"}),
        ("kline", {"category": "linear", "symbol": "BTCUSDT", "interval": "7"}),
        ("kline", {"category": "linear", "symbol": "BTCUSDT", "interval": "1", "limit": "many"}),
        ("recent-trade", {"category": "spot", "symbol": "BTCUSDT"}),
        ("instruments-info", {}),
    ],
)
def test_wrong_parameters_get_bybits_error_envelope(simulator, path, query):
    answer = simulator.get(f"/v5/market/{path}", **query)
    assert answer["retCode"] == 10001
    assert answer["retMsg"].startswith("params error")
    assert set(answer) == {"retCode", "retMsg", "result", "retExtInfo", "time"}


async def test_ping_unknown_topics_and_bad_requests_are_answered(simulator):
    async with websockets.connect(simulator.websocket_url) as client:

        async def ask(text):
            await client.send(text)
            return json.loads(await client.recv())

        pong = await ask('{"op":"ping","req_id":"9"}')
        assert (pong["success"], pong["ret_msg"], pong["req_id"], pong["op"]) == (True, "pong", "9", "ping")
        unknown = await ask('{"op":"subscribe","args":["publicTrade.NOPEUSDT"],"req_id":"1"}')
        assert (unknown["success"], unknown["ret_msg"]) == (False, "Invalid symbol :[publicTrade.NOPEUSDT]")
        handler = await ask('{"op":"subscribe","args":["weather.BTCUSDT"]}')
        assert handler["ret_msg"] == "error:handler not found,topic:weather.BTCUSDT"
        assert (await ask("{"))["success"] is False
        assert (await ask('{"op":"dance"}'))["success"] is False
        assert (await ask('{"op":"subscribe","args":["allLiquidation.BTCUSDT"]}'))["success"] is True


async def test_the_macro_engines_client_reads_the_same_bars_under_krakens_names():
    with running_simulator(speed=1, symbols=("BTCUSDT", "DOGEUSDT")) as simulator:
        kraken, bybit = KrakenRest(simulator.rest_url, limits=RestLimits()), BybitRest(simulator.rest_url)
        try:
            markets = {(item.base, item.quote): item.symbol for item in await kraken.markets()}
            end_ms = Timeframe.M15.open_time_ms(simulator.market_ms())
            place = {"start_ms": end_ms - 200 * 900_000, "end_ms": end_ms}
            theirs = await kraken.klines(markets["DOGE", "USDT"], Timeframe.M15, **place)
            ours = await bybit.klines("DOGEUSDT", Timeframe.M15, **place)
            with pytest.raises(PermanentError, match="Unknown asset pair"):
                await kraken.klines("DOGEUSDT", Timeframe.M15, **place)
        finally:
            await asyncio.gather(kraken.close(), bybit.close())

    assert markets == {("BTC", "USDT"): "XBTUSDT", ("DOGE", "USDT"): "XDGUSDT"}
    same = [(k.open_time_ms, k.open, k.high, k.low, k.close, k.volume) for k in theirs]
    assert same == [(k.open_time_ms, k.open, k.high, k.low, k.close, k.volume) for k in ours]
    assert len(same) == 200
