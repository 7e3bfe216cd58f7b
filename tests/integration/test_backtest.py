"""`cst backtest` on recorded candles: equal to an independent simulation; its files; what it says of bad input."""

import csv
import gzip
import json
import shutil
import subprocess

import pytest

from cli.main import main
from tests.support import slow_strategies as slow
from tests.support.slow_backtest import slow_backtest

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
FEE, WORSE = 0.001, 0.0002  # 10 bps; half of a spread of 2 bps and 1 bps of slippage


def cut(source, target, *, skip, count):
    with gzip.open(source, "rt", encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    target.write_text("\n".join([header, *lines[skip : skip + count]]) + "\n", encoding="utf-8")
    return [[int(row[0]), *map(float, row[1:6])] for row in csv.reader(lines[skip : skip + count])]


def cst(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def backtest(file, out, *more):
    market = ("--exchange", "binance-spot", "--symbol", "BTCUSDT", "--config", out / "none.yaml")
    return cst("backtest", "--candles", file, *market, "--out", out, *more)


def rows_of(file):
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("strategy", "opposite", "age"), [("ema_atr", "ignore", 20), ("donchian", "close", 0), ("supertrend", "close", 8)]
)
def test_the_trades_are_those_of_an_independent_simulation(tmp_path, market_data, strategy, opposite, age):
    file = tmp_path / "BTCUSDT_1m.csv"
    rows = cut(market_data / MINUTES, file, skip=20 * 1440, count=7 * 1440)  # the halt of the 24th inside
    more = ("--timeframe", "15m", "--on-opposite", opposite, "--max-age", age, "--fraction", 0.5)
    assert backtest(file, tmp_path / "out", "--strategy", strategy, *more) == 0

    trades = rows_of(tmp_path / "out" / "trades.csv")
    rules = {"minutes": 15, "length": 120, "max_age": age or None, "close_on_opposite": opposite == "close"}
    account = {"cash": 10_000.0, "fraction": 0.5, "fee": FEE, "worse": WORSE}
    expected = slow_backtest(rows, slow.ONE_WINDOW[strategy], **rules, **account)

    assert_same_trades(trades, expected)
    equity = rows_of(tmp_path / "out" / "equity.csv")
    if int(trades[-1]["closed_at_ms"]) <= int(equity[-1]["close_time_ms"]) and equity[-1]["exposure"] == "0.0":
        total = 10_000 + sum(own["profit"] for own in expected)
        assert float(equity[-1]["equity"]) == pytest.approx(total, abs=1e-3)


def assert_same_trades(trades, expected):
    assert len(trades) == len(expected) > 5
    for trade, own in zip(trades, expected, strict=True):
        assert (int(trade["opened_at_ms"]), int(trade["closed_at_ms"])) == (own["opened"], own["closed"])
        assert (trade["side"], trade["reason"]) == ("LONG" if own["side"] > 0 else "SHORT", own["reason"])
        assert float(trade["exit_price"]) == pytest.approx(own["exit"] * (1 - own["side"] * WORSE), rel=1e-9)
        assert float(trade["profit"]) == pytest.approx(own["profit"], rel=1e-6, abs=1e-5)


@pytest.mark.parametrize(
    ("trailing", "lingers", "reasons"),
    [
        (True, None, {"sl"}),
        (False, (90, 0.4), {"sl", "tp", "expired"}),
        (True, (30, 0.1), {"sl", "expired"}),
    ],
)
def test_trailing_stops_and_time_exits_are_those_of_an_independent_simulation(
    tmp_path, market_data, trailing, lingers, reasons
):
    file = tmp_path / "BTCUSDT_1m.csv"
    rows = cut(market_data / MINUTES, file, skip=9 * 1440, count=4 * 1440)  # the wild days of March 2023
    options = ["oversold=35", "overbought=65", f"trailing={str(trailing).lower()}"]
    options += [f"time_exit_minutes={lingers[0]}", f"time_exit_below_pct={lingers[1]}"] if lingers else []
    more = [word for option in options for word in ("--set", option)]
    assert backtest(file, tmp_path / "out", "--strategy", "rsi_divergence", "--timeframe", "5m", *more) == 0

    def say(window):
        return slow.rsi_divergence(window, edge=35, trailing=trailing)

    rules = {"minutes": 5, "length": 120, "max_age": 240, "close_on_opposite": False, "lingers": lingers}
    account = {"cash": 10_000.0, "fraction": 0.5 / 0.7, "fee": FEE, "worse": WORSE}  # 0.5 % lost at a stop of 0.7 %
    expected = slow_backtest(rows, say, **rules, **account)
    assert reasons <= {own["reason"] for own in expected}
    assert_same_trades(rows_of(tmp_path / "out" / "trades.csv"), expected)


def test_metrics_decisions_and_a_report_that_a_browser_shows(tmp_path, market_data):
    file, out = tmp_path / "BTCUSDT_1m.csv", tmp_path / "out"
    cut(market_data / MINUTES, file, skip=0, count=7 * 1440)
    levels = ("--set", "take_profit_pct=0.4", "--set", "stop_loss_pct=0.3", "--set", "threshold_pct=0.03")
    assert backtest(file, out, "--strategy", "ema_cross", "--timeframe", "5m", *levels) == 0

    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["trades"] == len(rows_of(out / "trades.csv")) >= 30
    for name in ("return_pct", "cagr_pct", "sharpe", "sortino", "max_drawdown_pct", "hit_rate_pct", "exposure_pct"):
        assert metrics[name]["low"] <= metrics[name]["high"]
    profits = [float(trade["profit"]) for trade in rows_of(out / "trades.csv")]
    won = 100 * sum(profit > 0 for profit in profits) / len(profits)
    assert metrics["hit_rate_pct"]["value"] == pytest.approx(won, abs=1e-5)
    decisions = rows_of(out / "decisions.csv")
    assert len(decisions) == 7 * 288 - 119
    crossing = next(row for row in decisions if row["action"] == "enter_long")
    assert float(crossing["ema_gap_pct_above:value"]) > float(crossing["ema_gap_pct_above:threshold"])

    page = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    shot = out / "report.png"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1040,1800")
    dom = subprocess.run(
        [browser, *options, "--dump-dom", f"file://{out}/report.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert dom.count("<svg") == 4
    assert "not enough data" not in dom
    subprocess.run([browser, *options, f"--screenshot={shot}", f"file://{out}/report.html"], timeout=120, check=True)
    assert shot.stat().st_size > 20_000


def test_few_trades_say_nothing(tmp_path, market_data, capsys):
    file = tmp_path / "BTCUSDT_1m.csv"
    cut(market_data / MINUTES, file, skip=0, count=1440)
    assert backtest(file, tmp_path / "out", "--strategy", "donchian", "--timeframe", "5m") == 0
    assert "not enough data" in capsys.readouterr().out
    assert "sharpe" not in json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))


HEAD = "open_time,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (HEAD + "60000,1,1,1,1,1\n0,1,1,1,1,1\n", (), "rows must be oldest first, each once, was 0"),
        (HEAD + "0,1,1,1,1,1\n60000,1,1,1,1,1\n60000,1,1,1,1,1\n", (), ":4)"),
        (HEAD + "0,1,1,1,1,1\n60000,1,0.5,1,1,1\n", (), ":3)"),
        (HEAD + "0,1,1,1,1,1\n61000,1,1,1,1,1\n", (), "most lie 61000 ms apart"),
        (HEAD + "0,1,1,1,1,1\n60000,1,1,1,1,1\n90000,1,1,1,1,1\n", (), ":4)"),
        (HEAD + "0,1,1,1,1,1\n60000,1,1,1,1,1\n", (), "needs 120 candles of 5m in a row"),
        (HEAD + "0,1,1,1,1,1\n3600000,1,1,1,1,1\n", (), "candles of 1h cannot make the 5m that is needed"),
        (
            HEAD + "0,1,1,1,1,1\n60000,1,1,1,1,1\n",
            ("--from", "2023-01-02", "--to", "2023-01-02"),
            "--to must lie after",
        ),
        (HEAD + "0,1,1,1,1,1\n60000,1,1,1,1,1\n", ("--from", "2023-01-02"), "--from and --to must lie inside the file"),
        ("open_time,symbol,open,high,low,close,volume\n0,A,1,1,1,1,1\n60000,B,1,1,1,1,1\n", (), "was 'B'"),
    ],
)
def test_bad_input_is_one_line_with_its_place(tmp_path, capsys, text, more, words):
    file = tmp_path / "BTCUSDT_1m.csv"
    file.write_text(text, encoding="utf-8")
    assert backtest(file, tmp_path / "out", "--strategy", "donchian", "--timeframe", "5m", *more) == 2
    assert words in capsys.readouterr().err
