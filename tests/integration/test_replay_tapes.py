"""`cst replay` on recorded tapes: the exchange's own candles, the slow twin's signals, the same bytes again."""

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

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


def cst_replay(tape: Path, out: Path, *more: str) -> None:
    command = [str(Path(sys.executable).with_name("cst")), "replay", "--trades", str(tape), "--out", str(out)]
    subprocess.run([*command, "--exchange", "binance-spot", *more], check=True, capture_output=True)


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
