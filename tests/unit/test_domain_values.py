"""Domain values refuse what is wrong; identities and decimals are exact."""

import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.candles import Candle, CandleQuality
from shared.domain.decimals import decimal_of_units, exact_sum, plain_text, scale_of_text, units_of_text
from shared.domain.errors import InvalidTradeError, InvalidValueError
from shared.domain.identity import event_id, signal_id
from shared.domain.rollup import roll_up
from shared.domain.timeframe import Timeframe, roll_ups_closing_at
from shared.domain.trades import TradeBatch

COLUMNS = {
    "symbol_index": [0, 0],
    "trade_id": ["a", "b"],
    "price": [100.5, 101.0],
    "quantity_units": [5, 7],
    "traded_at_ms": [1_700_000_000_000, 1_700_000_000_001],
    "taker_is_buyer": [True, False],
    "venue_sequence": [1, 2],
    "tie_rank": [0, 0],
}


def a_batch(**changes) -> TradeBatch:
    header = {
        "exchange": "bybit-linear",
        "session": "s1",
        "session_started_at_ms": 1_700_000_000_000,
        "sequence": 0,
        "covers_from_ms": 1_700_000_000_000,
        "watermark_ms": 1_700_000_000_500,
        "symbols": ("BTCUSDT",),
        "price_scales": (1,),
        "quantity_scales": (3,),
    }
    return TradeBatch(**{**header, **COLUMNS, **changes})


def test_a_row_is_a_view_of_the_columns():
    trade = a_batch().row(1)

    assert (trade.symbol, trade.trade_id, trade.price, trade.quantity_units, trade.taker_is_buyer) == (
        "BTCUSDT",
        "b",
        101.0,
        7,
        False,
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"price": [100.5, -1.0]}, r"price must be finite and > 0, price was -1\.0 .*symbol=BTCUSDT trade_id=b"),
        ({"price": [math.nan, 1.0]}, r"price must be finite and > 0.*trade_id=a"),
        ({"price": [math.inf, 1.0]}, r"price must be finite"),
        ({"quantity_units": [5, 0]}, r"quantity must be > 0, quantity_units was 0"),
        ({"traded_at_ms": [1, 5_000_000_000_000]}, r"a time in ms"),
        ({"price": [100.5]}, r"columns must have one length"),
        ({"symbol_index": [0, 1]}, r"symbol_index out of range"),
        ({"symbols": ("BTC#USDT",)}, r"symbol must be printable text without '#' or ':'"),
        ({"sequence": -1}, r"sequence must be >= 0, was -1"),
        ({"watermark_ms": 1_700_000_000_000_000}, r"watermark_ms must be UTC epoch milliseconds"),
    ],
)
def test_a_batch_refuses_wrong_values_and_names_them(change, text):
    with pytest.raises(InvalidValueError, match=text):
        a_batch(**change)


def test_a_batch_is_frozen_to_its_columns():
    batch = a_batch()

    with pytest.raises(AttributeError):
        batch.sequence = 3
    with pytest.raises(ValueError, match="read-only"):
        batch.price[0] = 1.0


def test_integer_ids_are_numbers_and_mixed_ids_are_texts():
    assert a_batch(trade_id=[5, 6]).trade_id.dtype == np.int64
    assert a_batch(trade_id=[5, "x"]).trade_id.tolist() == ["5", "x"]


def test_a_wrong_type_in_a_column_is_a_trade_error():
    with pytest.raises(InvalidTradeError, match="column price"):
        a_batch(price=["abc", 1.0])


@given(units=st.integers(0, 10**30), scale=st.integers(0, 18))
def test_units_and_decimals_are_one(units, scale):
    value = decimal_of_units(units, scale)

    assert units_of_text(plain_text(value), scale) == units
    assert "E" not in plain_text(value)
    assert scale_of_text(plain_text(value)) <= scale


@given(st.lists(st.decimals(0, 10**12, places=8), max_size=20), st.randoms())
def test_exact_sums_do_not_depend_on_order(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)

    assert exact_sum(values) == exact_sum(shuffled)


@pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "1.2345"])
def test_texts_that_are_no_units_are_refused(text):
    with pytest.raises(InvalidValueError, match="decimal"):
        units_of_text(text, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-08, "0.00000001"), (Decimal("12.500"), "12.5"), (65114.3, "65114.3"), (1e16, "10000000000000000"), (0.0, "0")],
)
def test_plain_text_has_no_exponent(value, text):
    assert plain_text(value) == text


def test_ids_are_deterministic_and_separate():
    assert event_id("CandlesClosed", "a#b", 1) == event_id("CandlesClosed", "a#b", 1)
    assert event_id("CandlesClosed", "a#b", 1) != event_id("CandlesClosed", "a#b", 2)
    one = signal_id(
        strategy="s", trigger="t", exchange="e", symbol="X", timeframe="1m", candle_open_time_ms=0, side="LONG"
    )
    assert len(one) == 16
    assert len(f"chart:{one}") <= 64


def test_weeks_open_on_monday_and_close_with_days_and_hours():
    monday_ms = 1_704_067_200_000  # 2024-01-01 was a Monday

    assert Timeframe.W1.open_time_ms(monday_ms + 3 * 86_400_000) == monday_ms
    assert roll_ups_closing_at(monday_ms) == tuple(tf for tf in Timeframe if tf is not Timeframe.M1)
    assert roll_ups_closing_at(monday_ms + 300_000) == (Timeframe.M5,)


def test_structs_are_frozen():
    with pytest.raises(AttributeError):
        msgspec.structs.replace(a_batch(), sequence=1).sequence = 2


def a_candle(minute: int, price: float, volume: int, **changes) -> Candle:
    values = {
        "exchange": "e",
        "symbol": "S",
        "timeframe": Timeframe.M1,
        "open_time_ms": minute * 60_000,
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": Decimal(volume),
        "quote_volume": Decimal(volume),
        "trade_count": volume,
        "quality": CandleQuality.COMPLETE,
    }
    return Candle(**{**values, **changes})


def test_a_roll_up_opens_with_its_first_trade_not_with_a_silent_minute():
    children = [a_candle(0, 9.0, 0), a_candle(1, 5.0, 2), a_candle(2, 7.0, 1), a_candle(3, 7.0, 0), a_candle(4, 7.0, 0)]

    rolled = roll_up(children, Timeframe.M5)

    assert (rolled.open, rolled.high, rolled.low, rolled.close, rolled.trade_count) == (5.0, 7.0, 5.0, 7.0, 3)


def test_a_roll_up_of_silent_minutes_is_flat():
    rolled = roll_up([a_candle(minute, 9.0, 0) for minute in range(5)], Timeframe.M5)

    assert (rolled.open, rolled.high, rolled.low, rolled.close) == (9.0, 9.0, 9.0, 9.0)
    assert rolled.volume == 0


def test_a_roll_up_takes_the_worst_quality_and_counts_missing_minutes():
    children = [a_candle(minute, 9.0, 1) for minute in range(5)]
    children[2] = a_candle(2, 9.0, 1, quality=CandleQuality.PARTIAL, missing_minutes=1)
    children[3] = a_candle(3, 9.0, 1, quality=CandleQuality.REPAIRED_KLINE, trade_count=None)

    rolled = roll_up(children, Timeframe.M5)

    assert (rolled.quality, rolled.missing_minutes, rolled.trade_count) == (CandleQuality.PARTIAL, 1, None)
    assert not rolled.usable


def test_a_roll_up_needs_all_its_children():
    with pytest.raises(InvalidValueError, match="5 candles of 1m are needed, was 4"):
        roll_up([a_candle(minute, 9.0, 1) for minute in range(4)], Timeframe.M5)
    with pytest.raises(InvalidValueError, match="child 1 must open at 60000"):
        roll_up([a_candle(minute, 9.0, 1) for minute in (0, 2, 3, 4, 5)], Timeframe.M5)
