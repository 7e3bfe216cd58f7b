"""`cst replay` on recorded tapes: the exchange's own candles, the slow twin's signals, the same bytes again."""

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import structlog

from cli.replay.command import run_replay
from cli.replay.screen import TimeLimits
from tests.support.slow_candles import slow_candles
from tests.support.slow_twin import slow_signals

HOUR_MS = 3_600_000
DAY_31_MS = 1_559_260_800_000
DAY_26_MS = 1_558_828_800_000


@pytest.fixture(scope="module")
def replayed(market_data, tmp_path_factory):
    """Folder of results per tape name, made once by the command itself."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp("replay")
            cst_replay(market_data / "tape" / name, out)
            made[name] = out
        return made[name]

    return run


def cst_replay(tape: Path, out: Path, *more: str) -> str:
    """Run the command; returns what it wrote to standard error."""
    command = [str(Path(sys.executable).with_name("cst")), "replay", "--trades", str(tape), "--out", str(out)]
    command += ["--exchange", "binance-spot", *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("tape", "start_ms", "hours"),
    [
        ("binance_spot_trades_2019-05-31.csv.gz", DAY_31_MS, 24),
        ("binance_spot_trades_2019-05-26.csv.gz", DAY_26_MS, 17),
    ],
)
@pytest.mark.parametrize("symbol", ["ADAUSDT", "EOSUSDT"])
def test_hours_equal_the_exchange_in_prices_volume_and_count(replayed, market_data, tape, start_ms, hours, symbol):
    [truth_file] = (market_data / "candle_truth").glob(f"binance_spot_{symbol}_1h_2019*.csv")
    truth = {int(row["open_time"]): row for row in rows_of(truth_file)}
    ours = {
        int(row["open_time_ms"]): row for row in rows_of(replayed(tape) / "candles-1h.csv") if row["symbol"] == symbol
    }

    equal = 0
    for open_time_ms in range(start_ms, start_ms + hours * HOUR_MS, HOUR_MS):
        theirs, mine = truth[open_time_ms], ours[open_time_ms]
        for name in ("open", "high", "low", "close", "volume", "quote_volume"):
            assert Decimal(mine[name]) == Decimal(theirs[name]), (symbol, open_time_ms, name)
        assert int(mine["trade_count"]) == int(theirs["trades"])
        equal += 1
    assert equal == hours


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "BNBUSDT", "LTCUSDT"])
def test_hour_closes_of_the_other_symbols_equal_the_exchange(replayed, market_data, symbol):
    [truth_file] = (market_data / "candle_truth").glob(f"binance_spot_{symbol}_1h_close*.csv")
    truth = {int(row["open_time"]): float(row["close"]) for row in rows_of(truth_file)}
    ours = rows_of(replayed("binance_spot_trades_2019-05-26.csv.gz") / "candles-1h.csv")

    mine = {int(row["open_time_ms"]): float(row["close"]) for row in ours if row["symbol"] == symbol}

    assert len(mine) == 17
    assert mine == {open_time_ms: truth[open_time_ms] for open_time_ms in mine}


@pytest.mark.parametrize("tape", ["binance_spot_trades_2019-05-31.csv.gz", "binance_spot_trades_2019-05-26.csv.gz"])
def test_candles_and_signals_equal_the_slow_twins(replayed, market_data, tape):
    out = replayed(tape)
    candles, prices = slow_candles(market_data / "tape" / tape)

    twin = slow_signals(candles, lambda symbol, minute: prices.get((symbol, minute)))
    signals = lines_of(out / "signals.jsonl")

    for row in rows_of(out / "candles-1m.csv"):
        series = candles[row["symbol"]]
        slow = series[(int(row["open_time_ms"]) - series[0].open_time_ms) // 60_000]
        got = [float(row[name]) for name in ("open", "high", "low", "close")]
        assert got == [slow.open, slow.high, slow.low, slow.close], row
        assert (Decimal(row["volume"]), Decimal(row["quote_volume"])) == (slow.volume, slow.quote_volume), row
        assert (row["quality"] != "partial", int(row["trade_count"])) == (slow.usable, slow.trades), row
    assert [_fields(signal) for signal in signals] == [_twin_fields(signal) for signal in twin]
    reasons = [signal["exit"]["reason"] for signal in signals if signal["exit"]]
    assert reasons.count("tp") >= 1
    assert reasons.count("sl") >= 1


def _fields(signal: dict) -> tuple:
    end = signal["exit"] or {}
    return (
        signal["symbol"],
        signal["side"],
        signal["candle_open_time_ms"],
        signal["entry_price"],
        pytest.approx(signal["take_profit"], rel=1e-9),
        pytest.approx(signal["stop_loss"], rel=1e-9),
        end.get("reason"),
        pytest.approx(end["price"], rel=1e-9) if end else None,
        end.get("closed_at_ms"),
        end.get("resolution"),
    )


def _twin_fields(signal) -> tuple:
    return (
        signal.symbol,
        signal.side,
        signal.candle_open_time_ms,
        signal.entry,
        signal.take_profit,
        signal.stop_loss,
        signal.reason,
        signal.exit_price,
        signal.closed_at_ms,
        signal.resolution,
    )


def test_every_signal_has_its_messages_with_the_window_of_its_decision(replayed):
    out = replayed("binance_spot_trades_2019-05-31.csv.gz")
    signals = {signal["signal_id"]: signal for signal in lines_of(out / "signals.jsonl")}
    messages = [message for message in lines_of(out / "messages.jsonl") if message["signal_id"]]

    for signal_id, signal in signals.items():
        mine = [message for message in messages if message["signal_id"] == signal_id]
        assert [message["action"] for message in mine] == (["new", "edit"] if signal["exit"] else ["new"])
        assert {message["chart"]["window_digest"] for message in mine} == {signal["window_digest"]}


def test_two_runs_give_identical_bytes(replayed, market_data, tmp_path):
    tape = "binance_spot_trades_2019-05-26.csv.gz"
    first = replayed(tape)

    cst_replay(market_data / "tape" / tape, tmp_path)

    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in tmp_path.iterdir())
    differing = [name for name in names if (first / name).read_bytes() != (tmp_path / name).read_bytes()]
    assert differing == ["summary.json"]


def test_faults_are_one_line_and_exit_status_2(market_data, tmp_path):
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("cst")), "replay", "--trades", str(tmp_path / "absent.csv")),
            *("--exchange", "binance-spot", "--out", str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("cst: the tape cannot be read")
    assert len(done.stderr.splitlines()) == 1


def made_tape(folder: Path, rows: list[str]) -> Path:
    file = folder / "made.csv"
    file.write_text("\n".join(["event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker", *rows, ""]))
    return file


def made_row(trade_id: object, at_ms: int, *, event_ms: int | None = None, price: float = 10.0) -> str:
    event_ms = at_ms if event_ms is None else event_ms
    return f"{DAY_31_MS + event_ms},AB,{trade_id},{price},1.5,{DAY_31_MS + at_ms},true"


def test_one_wrong_time_makes_no_candle_and_drops_no_trade(tmp_path):
    day_ms = 24 * HOUR_MS
    rows = [made_row(i, i * 1000) for i in range(600)]
    clean, wrong = tmp_path / "clean", tmp_path / "wrong"
    cst_replay(made_tape(tmp_path, [row for i, row in enumerate(rows) if i not in (0, 100, 200, 300)]), clean)
    rows[0] = made_row(0, -400 * day_ms, event_ms=0)
    rows[100] = made_row(100, 100_000 + 400 * day_ms, event_ms=100_000)
    rows[200] = made_row(200, 200_000 + 10 * day_ms)
    rows[300] = made_row(300, 300_000 - 10 * day_ms)

    shown = cst_replay(made_tape(tmp_path, rows), wrong)

    for name in ("candles-1m.csv", "candles-5m.csv", "decisions.jsonl", "messages.jsonl"):
        assert (wrong / name).read_bytes() == (clean / name).read_bytes()
    assert len(rows_of(wrong / "candles-1m.csv")) == 10
    summary = json.loads((wrong / "summary.json").read_text())
    assert (summary["trades"], summary["refused_rows"], summary["refused_trades"]) == (596, 4, 0)
    refused = lines_of(wrong / "refused.jsonl")
    assert [(row["file"], row["line"]) for row in refused] == [("made.csv", line) for line in (2, 102, 202, 302)]
    assert "refused: made.csv line 102: event_time and trade_time may differ" in shown


def test_trades_that_the_aggregator_refuses_are_written_counted_and_shown(tmp_path):
    rows = [made_row(i, i * 1000) for i in range(300)]
    rows[250] = made_row(7, 250_000, price=12.0)  # the id of a trade with another content

    shown = cst_replay(made_tape(tmp_path, rows), tmp_path / "out")

    [refused] = lines_of(tmp_path / "out" / "refused.jsonl")
    assert (refused["file"], refused["line"]) == ("made.csv", None)
    assert "a trade id has one content" in refused["reason"]
    trade = json.loads(refused["text"])
    assert (trade["symbol"], trade["price"]) == ("AB", 12.0)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["refused_rows"], summary["refused_trades"]) == (0, 1)
    assert shown.startswith("refused: made.csv: a trade id has one content")


@pytest.fixture
def own_logging():
    """A replay in the tests' own process leaves their logging as it was."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logging")
def test_every_trade_of_a_refused_minute_is_told(tmp_path):
    # Rows that the reader's limits let pass may still be older than the aggregator's horizon.
    rows = [made_row(i, i * 1000) for i in range(200)]
    rows[150:150] = [made_row(900 + i, -60 * HOUR_MS + i) for i in range(3)]
    limits = TimeLimits(jump_ms=72 * HOUR_MS)

    summary = run_replay(
        trades=made_tape(tmp_path, rows),
        exchange="binance-spot",
        out=tmp_path / "out",
        strategy_names=[],
        timeframes="1m",
        config_file=Path("config/tracker.yaml"),
        limits=limits,
    )

    refused = lines_of(tmp_path / "out" / "refused.jsonl")
    assert summary["refused_trades"] == 3
    assert [json.loads(row["text"])["trade_id"] for row in refused] == [900, 901, 902]
    assert all("minute must lie in" in row["reason"] for row in refused)


@pytest.mark.parametrize(
    ("ids", "close"),
    [
        (["9", "10"], 2.0),  # as numbers
        (["10", "9"], 1.0),
        ([f"9{0:019d}", f"10{0:019d}"], 2.0),  # beyond 64 bits: still as numbers
        ([f"10{0:019d}", f"9{0:019d}"], 1.0),
        (["b", "a"], 2.0),  # texts: in the file's order
    ],
)
def test_trades_of_one_time_are_ordered_by_number_or_by_line(tmp_path, ids, close):
    rows = [made_row(ids[0], 59_000, price=1.0), made_row(ids[1], 59_000, price=2.0)]

    cst_replay(made_tape(tmp_path, rows), tmp_path / "out", "--timeframes", "1m")

    [candle] = rows_of(tmp_path / "out" / "candles-1m.csv")
    assert float(candle["close"]) == close


def test_rows_with_impossible_values_are_refused_and_the_replay_ends_well(tmp_path):
    rows = [made_row(i, i * 1000) for i in range(5)]
    head, tail = f"{DAY_31_MS + 2500}", f"{DAY_31_MS + 2500},true"
    rows[3:3] = [
        f"{head},AB,100,9007199254740993,1.0,{tail}",
        f"{head},A\x01B,101,1.0,1.0,{tail}",
        f"{head},AB,102,1.0,0.000000000000000001,{tail}",
        f"{head},AB,103,1.0,100000,{tail}",
    ]
    rows[0] = made_row(0, 0).replace(",1.5,", ",100000.5,")

    cst_replay(made_tape(tmp_path, rows), tmp_path / "out")

    assert [row["line"] for row in lines_of(tmp_path / "out" / "refused.jsonl")] == [5, 6, 7]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["trades"] == 6
