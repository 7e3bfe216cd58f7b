"""`cst verify`: what it counts, what it excuses, and when it fails."""

import gzip
import re
from pathlib import Path

import pytest

from cli.main import main
from cli.verify.command import verify_tape
from shared.domain.candles import Candle, CandleQuality
from shared.domain.kline_rules import differences
from shared.domain.klines import Kline
from tests.support.engine_market import a_candle

GAPS = "tape/binance_spot_trades_2019-06-22_with_gaps.csv.gz"
TRUTH = "candle_truth/binance_spot_ADAUSDT_1h_2019-05-24_2019-06-24.csv"


def a_kline(candle: Candle, **changes) -> Kline:
    values = {name: getattr(candle, name) for name in Kline.__struct_fields__}
    return Kline(**{**values, **changes})


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_every_price_is_compared(name):
    candle = a_candle(1_700_000_040_000, 100.0)

    [difference] = differences(
        candle, a_kline(candle, **{name: 101.0}), opens_at_previous_close=False, previous_close=None
    )

    assert (difference.field, difference.ours, difference.theirs) == (name, "100", "101")


def test_a_venue_that_opens_at_the_close_before_is_compared_under_its_rule():
    candle = a_candle(1_700_000_040_000, 100.0)
    kline = a_kline(candle, open=98.5, low=98.5)

    assert differences(candle, kline, opens_at_previous_close=False, previous_close=98.5)
    assert not differences(candle, kline, opens_at_previous_close=True, previous_close=98.5)
    assert differences(candle, kline, opens_at_previous_close=True, previous_close=98.0)


def test_a_tape_with_gaps_is_explained_and_one_without_is_verified(market_data: Path):
    rows = {row.symbol: row for row in verify_tape(market_data / GAPS, [market_data / TRUTH], "binance-spot")}

    ada = rows["ADAUSDT"]
    assert (ada.candles, ada.complete, ada.partial, ada.verified) == (1440, 1388, 52, 7)
    assert re.search(r"volume .* \(explained: \d+ minutes are partial\)", ada.first_difference)
    assert ada.unexplained == 0
    assert rows["TUSDUSDT"].partial == 43


def test_an_unexplained_difference_is_named_and_is_exit_status_1(market_data: Path, tmp_path, capsys):
    """The klines of the recorded minutes of 2023 beside a tape of them, one volume wrong."""
    tape, klines = tmp_path / "tape.csv", tmp_path / "klines_BTCUSDT_1m.csv"
    lines = gzip.decompress((market_data / "frames/binance_spot_BTCUSDT_2023-04-05.raw.gz").read_bytes()).decode()
    rows = ["event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker"]
    pattern = re.compile(r'"E":(\d+),"s":"(\w+)","t":(\d+),"p":"([\d.]+)","q":"([\d.]+)",.*"T":(\d+),"m":(\w+)')
    found = (pattern.search(line) for line in lines.splitlines() if "@trade" in line)
    rows += [",".join(one.groups()) for one in found if one]
    tape.write_text("\n".join(rows) + "\n")
    truth = (market_data / "candle_truth/binance_spot_BTCUSDT_1m_2023-04-05_first10min.csv").read_text()
    klines.write_text(truth)

    with pytest.raises(SystemExit) as good:
        main(["verify", "--trades", str(tape), "--klines", str(klines)])
    assert good.value.code == 0
    assert "(explained:" in capsys.readouterr().out  # the recording ends inside 00:06

    wrong = truth.splitlines()
    fields = wrong[3].split(",")
    wrong[3] = ",".join([*fields[:5], "1.25", *fields[6:]])
    klines.write_text("\n".join(wrong) + "\n")
    with pytest.raises(SystemExit) as bad:
        main(["verify", "--trades", str(tape), "--klines", str(klines)])
    assert bad.value.code == 1
    assert "2023-04-05 00:02 1m: volume" in capsys.readouterr().out


def test_partial_candles_are_never_an_unexplained_difference():
    candle = a_candle(1_700_000_040_000, 100.0, quality=CandleQuality.PARTIAL, missing_minutes=1)
    from cli.verify.figures import compare, count

    figures = count("BTCUSDT", [candle])
    compare(figures, [candle], {candle.open_time_ms: a_kline(candle, close=101.0)}, opens_at_previous_close=False)

    assert (figures.partial, figures.verified, figures.unexplained) == (1, 0, 0)
    assert "explained: 1 minutes" in figures.first_difference
