import gzip

import pytest

from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.core.tape_source import TapeError, TapeSource
from services.simulator.tape_file import tape_lines

HEADER = "event_time,symbol,trade_id,price,quantity,buyer_order_id,seller_order_id,trade_time,buyer_market_maker\n"
START_MS = 1_559_260_800_000
ROWS = (
    f"{START_MS + 19},ADAUSDT,14216072,0.08403000,714.00000000,1,2,{START_MS + 15},false\n"
    f"{START_MS + 20},ADAUSDT,14216073,0.08405000,10.50000000,1,2,{START_MS + 16},true\n"
    f"{START_MS + 21},XRPUSDT,25102246,0.41809000,47.80000000,1,2,{START_MS + 16},false\n"
    f"{START_MS + 180_000},ADAUSDT,14216074,0.08401000,1.00000000,1,2,{START_MS + 179_999},true\n"
)
ORIGIN_MS = 1_800_000_000_000 + 12_345


def a_source(path, **arguments):
    return TapeSource(tape_lines(path), name=str(path), **arguments)


def a_tape(tmp_path, text=HEADER + ROWS, name="tape.csv.gz"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["tape.csv.gz", "tape.csv"])
def test_a_tape_is_served_as_recorded_and_moved_by_whole_minutes(tmp_path, name):
    source = a_source(a_tape(tmp_path, name=name), origin_market_ms=ORIGIN_MS)
    instrument = source.instruments["ADAUSDT"]
    minute = ORIGIN_MS // MINUTE_MS

    trades = source.trades("ADAUSDT", minute)

    assert list(trades.trade_ids) == ["14216072", "14216073"]
    assert (trades.at_ms % MINUTE_MS).tolist() == [15, 16]
    assert [instrument.price_text(t) for t in trades.ticks.tolist()] == ["0.08403", "0.08405"]
    assert [instrument.quantity_text(s) for s in trades.steps.tolist()] == ["714.0", "10.5"]
    assert trades.is_buy.tolist() == [True, False]
    assert (instrument.base, instrument.quote) == ("ADA", "USDT")


def test_minutes_without_trades_stand_at_the_last_price(tmp_path):
    market = Market(a_source(a_tape(tmp_path), origin_market_ms=ORIGIN_MS))
    minute = ORIGIN_MS // MINUTE_MS

    bars = market.klines("ADAUSDT", "1", minute, minute + 5, (minute + 5) * MINUTE_MS + 1)

    assert bars.close.tolist() == [8405, 8405, 8401, 8401, 8401, 8401]
    assert bars.open.tolist() == [8403, 8405, 8405, 8401, 8401, 8401]
    assert bars.volume.tolist() == [7245, 0, 10, 0, 0, 0]
    assert bars.high.tolist() == [8405, 8405, 8405, 8401, 8401, 8401]


def test_only_wanted_symbols_are_read(tmp_path):
    source = a_source(a_tape(tmp_path), origin_market_ms=ORIGIN_MS, symbols=frozenset({"XRPUSDT"}))
    assert list(source.instruments) == ["XRPUSDT"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEADER.replace("price,", "") + ROWS, "line 1: column 'price' is missing"),
        (HEADER + ROWS.replace("0.08405000", "-1"), "line 3: not a trade"),
        (HEADER + ROWS.replace("0.08405000", "NaN"), "line 3: not a trade"),
        (HEADER + ROWS.replace("10.50000000", "0"), "line 3: not a trade"),
        (HEADER, "no trade of any symbol"),
        ("", "line 1: column 'symbol' is missing"),
    ],
)
def test_a_bad_tape_is_refused_with_file_and_line(tmp_path, text, complaint):
    path = a_tape(tmp_path, text)
    with pytest.raises(TapeError, match=complaint) as caught:
        a_source(path, origin_market_ms=ORIGIN_MS)
    assert str(path) in str(caught.value)


def test_a_cut_gzip_file_is_refused(tmp_path):
    path = a_tape(tmp_path, HEADER + ROWS * 2000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TapeError, match="damaged or cut"):
        a_source(path, origin_market_ms=ORIGIN_MS)


def test_a_missing_tape_is_refused(tmp_path):
    with pytest.raises(TapeError, match="cannot be read"):
        a_source(tmp_path / "nowhere.csv", origin_market_ms=ORIGIN_MS)


def test_a_recorded_hour_equals_the_exchanges_own_candle(market_data):
    path = market_data / "tape" / "binance_spot_trades_2019-06-07_halt.csv.gz"
    origin_ms = 1_559_865_600_000  # the tape's own first minute: nothing is moved
    market = Market(a_source(path, origin_market_ms=origin_ms, symbols=frozenset({"ADAUSDT"})))
    instrument = market.instruments["ADAUSDT"]
    truth = {}
    for line in (
        (market_data / "candle_truth/binance_spot_ADAUSDT_1h_2019-05-24_2019-06-24.csv").read_text().split()[1:]
    ):
        open_time, *prices, volume, _, _ = line.split(",")
        truth[int(open_time)] = [float(price) for price in prices] + [float(volume)]

    bars = market.klines(
        "ADAUSDT", "60", origin_ms // MINUTE_MS, origin_ms // MINUTE_MS + 1_439, origin_ms + 86_400_000
    )

    equal = 0
    for row, minute in enumerate(bars.start_minute.tolist()):
        # Bybit's rule puts the previous close first, so only close and volume must equal Binance's candle.
        close, volume = (
            float(instrument.price_text(int(bars.close[row]))),
            float(instrument.quantity_text(int(bars.volume[row]))),
        )
        equal += [close, volume] == truth[minute * MINUTE_MS][3:]
    assert equal >= 22
