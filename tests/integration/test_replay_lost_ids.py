"""A tape whose recorder lost trades, and one whose venue stood still: a replay marks what is lost and nothing else."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.replay.command import run_replay
from tests.support.slow_candles import slow_candles

MINUTE_MS = 60_000
HALT = range(1559937660000, 1559945700000, MINUTE_MS)  # 2019-06-07 20:01 to 22:14 UTC


@pytest.fixture(scope="module")
def replayed(market_data: Path, tmp_path_factory) -> Callable[[str], tuple[Path, list[dict[str, str]]]]:
    def replay(name: str) -> tuple[Path, list[dict[str, str]]]:
        tape, out = market_data / "tape" / name, tmp_path_factory.mktemp("replay")
        run_replay(
            trades=tape,
            exchange="binance-spot",
            out=out,
            strategy_names=(),
            timeframes="1m",
            config_file=Path("config/tracker.yaml"),
        )
        with (out / "candles-1m.csv").open() as file:
            return tape, list(csv.DictReader(file))

    return replay


def minutes_of(rows: list[dict[str, str]], quality: str) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {row["symbol"]: set() for row in rows}
    for row in rows:
        if row["quality"] == quality:
            found[row["symbol"]].add(int(row["open_time_ms"]))
    return found


def test_exactly_the_minutes_touched_by_a_lost_id_are_partial(replayed):
    tape, rows = replayed("binance_spot_trades_2019-06-22_with_gaps.csv.gz")
    slow, _ = slow_candles(tape)  # finds lost ids in its own, plain way

    partial = minutes_of(rows, "partial")

    expected = {symbol: {one.open_time_ms for one in candles if not one.usable} for symbol, candles in slow.items()}
    assert partial == expected
    assert {symbol: len(minutes) for symbol, minutes in partial.items()} == {
        "ADAUSDT": 52,
        "BTCTUSD": 55,
        "BTCUSDC": 46,
        "MATICUSDT": 54,
        "TUSDUSDT": 43,
    }
    for row in rows:
        if row["quality"] == "complete" and row["trade_count"] != "0":
            ids = int(row["last_trade_id"]) - int(row["first_trade_id"]) + 1
            assert ids == int(row["trade_count"]), row


def test_halted_minutes_are_flat_and_complete(replayed):
    _, rows = replayed("binance_spot_trades_2019-06-07_halt.csv.gz")
    halted = [row for row in rows if int(row["open_time_ms"]) in HALT]

    assert len(halted) == 4 * len(HALT)
    for row in halted:
        assert (row["quality"], row["trade_count"], float(row["volume"])) == ("complete", "0", 0.0)
        assert row["open"] == row["high"] == row["low"] == row["close"]
        assert (row["first_trade_id"], row["last_trade_id"], row["source"]) == ("", "", "stream")
    first, last = min(int(row["open_time_ms"]) for row in rows), max(int(row["open_time_ms"]) for row in rows)
    lost = {symbol: minutes - {first, last} for symbol, minutes in minutes_of(rows, "partial").items()}
    assert {symbol: len(minutes) for symbol, minutes in lost.items()} == {
        "ADAUSDT": 1,
        "MATICUSDT": 1,
        "TRXUSDT": 1,
        "TUSDUSDT": 0,
    }
