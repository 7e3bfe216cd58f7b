"""`cst replay --candles` on recorded files: at least one Decision per strategy from a full history, equal to its slow twin."""

import csv
import gzip
import json

import pytest
import yaml

from cli.main import main
from tests.support import slow_strategies as slow

HOURS = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"
MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
HOUR, DAY, WEEK = 3_600_000, 86_400_000, 7 * 86_400_000
FIRST_MONDAY = 4 * DAY
SIZES = {"5m": 300_000, "15m": 900_000, "1h": HOUR, "4h": 4 * HOUR, "1d": DAY, "1w": WEEK}
SIMPLE = ("ema_cross", "rsi_momentum", "bollinger", "ema_atr", "donchian", "supertrend", "continuation", "reversal")


def cut(source, target, *, skip=0, count):
    with gzip.open(source, "rt", encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    lines = lines[skip : skip + count] if count > 0 else lines[count:]
    target.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return [[float(value) for value in row[:6]] for row in csv.reader(lines)]


def config_of(tmp_path, strategies):
    file = tmp_path / "tracker.yaml"
    content = {"venues": {"kraken-spot": {"symbols": ["XBTUSD"]}}, "strategies": strategies}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def replay(tmp_path, file, config, exchange):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--candles", str(file), "--exchange", exchange, "--out", str(out), "--config", str(config)])
    assert ended.value.code == 0
    decisions = [json.loads(line) for line in (out / "decisions.jsonl").read_text(encoding="utf-8").splitlines()]
    return decisions, json.loads((out / "summary.json").read_text(encoding="utf-8"))


def rolled(rows, size, base):
    """Whole candles of `size` from rows (t, o, h, l, c, v); what the file leaves out is flat and counts nothing."""
    filled, groups = [], {}
    for row in rows:
        while filled and row[0] - filled[-1][0] > base:
            filled.append([filled[-1][0] + base, *[filled[-1][4]] * 4, 0.0])
        filled.append(row)
    anchor = FIRST_MONDAY if size == WEEK else 0
    for row in filled:
        groups.setdefault(row[0] - (row[0] - anchor) % size, []).append(row)
    candles = []
    for start, parts in groups.items():
        if len(parts) * base == size:
            traded = [part for part in parts if part[5]] or parts
            high, low = max(part[2] for part in traded), min(part[3] for part in traded)
            candles.append([start, traded[0][1], high, low, parts[-1][4], sum(part[5] for part in parts)])
    return candles


def window(candles, size, close_ms, length):
    """The last candles that close up to the time, as the twins want them; None where they do not reach that far."""
    past = [candle for candle in candles if candle[0] + size <= close_ms][-length:]
    if len(past) < length:
        return None
    return dict(zip(("t", "o", "h", "l", "c", "v"), map(list, zip(*past, strict=True)), strict=True))


def assert_said(decision, said):
    assert decision["action"] == said.action
    by_name = {condition["name"]: condition["value"] for condition in decision["conditions"]}
    for name, value in said.values.items():
        assert by_name[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (decision["strategy"], name)
    if said.score is not None:
        assert decision["score"] == pytest.approx(said.score, rel=1e-9)


def judged(decisions):
    """Those that ask for something, as far as five, and the last one."""
    return [*[d for d in decisions if d["action"] != "none"][:5], decisions[-1]]


def test_every_strategy_on_days_and_weeks_of_recorded_hours(tmp_path, market_data):
    file = tmp_path / "kraken_XBTUSD_1h.csv"
    rows = [[row[0] * 1000, *row[1:]] for row in cut(market_data / HOURS, file, count=-11_000)]
    strategies = [{"name": name, "timeframe": "1d"} for name in (*SIMPLE, "macd_adx", "mtf_score")]
    members = [{"kind": "donchian"}, {"kind": "supertrend"}]
    strategies += [
        {"name": "manager", "timeframe": "1d", "parameters": {"mode": "weighted", "members": members}},
        {"name": "rsi_divergence", "timeframe": "1d", "parameters": {"mode": "both"}},
        {"name": "rsi_by_the_minute", "kind": "rsi_divergence"},
    ]
    decisions, summary = replay(tmp_path, file, config_of(tmp_path, strategies), "kraken-spot")
    assert summary["not_run"] == {"rsi_by_the_minute": ["1m"]}
    of = {item["name"]: [d for d in decisions if d["strategy"] == item["name"]] for item in strategies}
    candles = {name: rolled(rows, size, HOUR) for name, size in SIZES.items() if size >= HOUR}

    for name in SIMPLE:
        length = 60 if name in {"continuation", "reversal"} else 120
        assert any(d["action"] != "none" for d in of[name]) or name in {"reversal", "rsi_momentum"}
        for decision in judged(of[name]):
            seen = window(candles["1d"], DAY, decision["open_time_ms"] + DAY, length)
            assert_said(decision, slow.ONE_WINDOW[name](seen))
    for decision in judged(of["macd_adx"]):
        seen = window(candles["1d"], DAY, decision["open_time_ms"] + DAY, 360)
        assert_said(decision, slow.macd_adx(seen, per_day=1))
    assert "1w" in of["mtf_score"][-1]["components"]
    for decision in judged(of["mtf_score"]):
        lengths = {"1h": 120, "4h": 120, "1d": 90, "1w": 60}
        there = {tf: window(candles[tf], SIZES[tf], decision["open_time_ms"] + DAY, n) for tf, n in lengths.items()}
        there = {name: seen for name, seen in there.items() if seen}
        assert_said(decision, slow.mtf_score(there))
        assert set(decision["components"]) == set(there)
        assert next(note.split(":")[0] for note in decision["notes"]) == "not_enough_history 15m"
    for decision in of["manager"][-3:]:
        assert [member["name"] for member in decision["members"]] == ["donchian", "supertrend"]
        alone = next(d for d in of["donchian"] if d["open_time_ms"] == decision["open_time_ms"])
        assert decision["members"][0]["conditions"] == alone["conditions"]
    gates = {gate["name"] for d in of["continuation"] if d["action"] != "none" for gate in d["gates"]}
    assert {"model", "memory", "score", "daily_cap"} <= gates


def test_the_alerts_of_a_recorded_week_of_minutes(tmp_path, market_data):
    file = tmp_path / "binance_BTCUSDT_1m.csv"
    rows = cut(market_data / MINUTES, file, skip=26 * 1440, count=6 * 1440)
    strategies = [{"name": "macd_unified", "timeframe": "15m"}]
    decisions, _ = replay(tmp_path, file, config_of(tmp_path, strategies), "binance-spot")
    candles = {name: rolled(rows, SIZES[name], 60_000) for name in ("5m", "15m", "1d")}
    telling = [d for d in decisions if d["alerts"]]
    assert telling
    for decision in [*telling[:8], decisions[0], decisions[-1]]:
        close_ms = decision["open_time_ms"] + 900_000
        seen = [window(candles[tf], SIZES[tf], close_ms, n) for tf, n in (("15m", 350), ("5m", 350), ("1d", 2))]
        said = slow.macd_unified(*seen)
        assert_said(decision, said)
        assert (set(decision["holds"]), set(decision["resets"])) == (said.holds, said.extra["resets"])
        assert set(decision["alerts"]) <= said.holds
    latched = ""
    for decision in decisions:
        assert decision["inputs"]["latches"] == latched
        latched = decision["inputs"]["latches_after"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "time,open,high,low,close\n1,1,1,1,1\n2,1,1,1,1\n",
            "the header must have time or open_time and open, high, low, close, volume",
        ),
        ("time,open,high,low,close,volume\n0,1,1,1,1,1\n61,1,1,1,1,1\n", "most lie 61000 ms apart"),
        ("open_time,open,high,low,close,volume\n0,1,1,1,1,1\n60000,1,0.5,1,1,1\n", ":3)"),
        ("open_time,open,high,low,close,volume\n0,1,1,1,1,1\nx,1,1,1,1,1\n", "open_time must be a whole number"),
        ("open_time,open,high,low,close,volume\n0,1,1,1,1,1\n60000,1,1\n", ":3)"),
        ("open_time,open,high,low,close,volume\n", "at least two rows"),
    ],
)
def test_a_bad_file_is_one_line_that_names_place_and_rule(tmp_path, capsys, text, words):
    file = tmp_path / "XBTUSD.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--candles", str(file), "--exchange", "kraken-spot", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
