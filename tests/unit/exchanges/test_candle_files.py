"""Candles from files as exchanges publish them."""

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import open_candle_file

BYBIT = "open_time,open,high,low,close,volume\n"
ROWS = ["60000,1,2,0.5,1.5,10", "120000,1.5,1.6,1.4,1.5,0", "180000,1.5,3,1.5,3,2.5"]


def written(folder: Path, text: str, name: str = "bybit_spot_XUSDT_1m.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_newest_candles_that_had_closed_are_read(tmp_path):
    source = open_candle_file(written(tmp_path, BYBIT + "\n".join(ROWS)))
    candles = source.candles("bybit-spot", "XUSDT", last=1, before_ms=180_000)

    assert source.timeframe is Timeframe.M1
    assert [(c.open_time_ms, c.close, c.volume, c.trade_count) for c in candles] == [(120_000, 1.5, Decimal(0), None)]
    assert len(source.candles("bybit-spot", "XUSDT")) == 3


def test_seconds_trades_and_gzip_are_understood(tmp_path):
    file = tmp_path / "kraken_X_1h.csv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write(
            "time,open,high,low,close,volume,trades\n3600,1,1,1,1,0.5,2\n7200,1,2,1,2,1,3\n14400,2,2,2,2,1,1\n"
        )
    source = open_candle_file(file)

    assert (source.timeframe, source.absent_is_flat) == (Timeframe.H1, True)
    assert [(c.open_time_ms, c.trade_count) for c in source.candles("kraken-spot", "X")] == [
        (3_600_000, 2),
        (7_200_000, 3),
        (14_400_000, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([ROWS[1], ROWS[0], ROWS[2]], r"oldest first.*csv:3\)"),
        ([ROWS[0], ROWS[0], ROWS[1]], r"each once, was 60000 .*csv:3\)"),
        ([ROWS[0], "120000,nan,1.6,1.4,1.5,0", ROWS[2]], r"finite.*csv:3\)"),
        ([ROWS[0], "120000,1.5,inf,1.4,1.5,0", ROWS[2]], r"finite.*csv:3\)"),
        ([ROWS[0], "120000,1.5,1.4,1.6,1.5,0", ROWS[2]], r"csv:3\)"),
        ([ROWS[0], "120000,x,1.6,1.4,1.5,0", ROWS[2]], r"must be numbers.*csv:3\)"),
        ([ROWS[0], "120000,1.5", ROWS[2]], r"must be numbers.*csv:3\)"),
        ([ROWS[0], "later,1.5,1.6,1.4,1.5,0", ROWS[2]], r"whole number.*csv:3\)"),
        ([ROWS[0]], "at least two rows"),
        ([], "at least two rows"),
        ([ROWS[0], "67000,1.5,1.6,1.4,1.5,0"], "7000 ms apart"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, rows, told):
    file = written(tmp_path, BYBIT + "\n".join(rows))
    with pytest.raises(PermanentError, match=told):
        open_candle_file(file).candles("bybit-spot", "XUSDT")


def test_what_is_no_file_of_candles_is_refused(tmp_path):
    with pytest.raises(PermanentError, match="the header must have"):
        open_candle_file(written(tmp_path, "a,b,c\n1,2,3\n"))
    with pytest.raises(PermanentError, match="the header must have"):
        open_candle_file(written(tmp_path, ""))
    with pytest.raises(PermanentError, match="No such file"):
        open_candle_file(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("name", "timeframe", "rows"),
    [
        ("bybit_spot_BTCUSDT_1m_2022-12-13.csv", Timeframe.M1, 1_440),
        ("binance_spot_SOLUSDT_1m_2022-11.csv.gz", Timeframe.M1, 43_200),
        ("kraken_XBTUSD_1h_2013-10_2023-01.csv.gz", Timeframe.H1, 70_253),
    ],
)
def test_recorded_files_are_read_whole(market_data, name, timeframe, rows):
    source = open_candle_file(market_data / "ohlcv" / name)

    assert source.timeframe is timeframe
    assert len(source.candles("recorded", "X")) == rows
