"""Indicators equal what others published: SPY results (1e-9), ChartSchool sheets and Tulip vectors (printed digits), TA-Lib."""

import numpy as np
import pytest
import talib
from numpy.testing import assert_allclose

from shared.indicators import checked
from tests.support.published import Sheet, Spy, tulip


@pytest.fixture(scope="module")
def spy(market_data):
    return Spy(market_data)


def ohlc(source):
    return source.high, source.low, source.close


def together(stochastic):
    """%K from the candle on that also has %D, as TA-Lib and Tulip give it."""
    return np.where(np.isnan(stochastic.d), np.nan, stochastic.k), stochastic.d


SPY = {
    "sma": [(lambda s: checked.sma(s.close, 20), "sma", "sma")],
    "ema": [(lambda s: checked.ema(s.close, 20), "ema", "ema")],
    "rma": [(lambda s: checked.rma(s.close, 20), "smma", "smma")],
    "rsi": [(lambda s: checked.wilder_rsi(s.close, 14), "rsi", "rsi")],
    "macd": [
        (lambda s: checked.macd(s.close, seeding="classic").line, "macd", "macd"),
        (lambda s: checked.macd(s.close, seeding="classic").signal, "macd", "signal"),
        (lambda s: checked.macd(s.close, seeding="classic").histogram, "macd", "histogram"),
    ],
    "adx": [
        (lambda s: checked.adx(*ohlc(s), seeding="classic").plus_di, "adx", "pdi"),
        (lambda s: checked.adx(*ohlc(s), seeding="classic").minus_di, "adx", "mdi"),
        (lambda s: checked.adx(*ohlc(s), seeding="classic").adx, "adx", "adx"),
    ],
    "true range": [(lambda s: checked.true_range(*ohlc(s)), "tr", "tr")],
    "atr": [(lambda s: checked.atr(*ohlc(s)), "atr", "atr")],
    "bollinger": [
        (lambda s: checked.bollinger(s.close).upper, "bb", "upperBand"),
        (lambda s: checked.bollinger(s.close).middle, "bb", "sma"),
        (lambda s: checked.bollinger(s.close).lower, "bb", "lowerBand"),
    ],
    "supertrend": [(lambda s: checked.supertrend(*ohlc(s)).line, "supertrend", "superTrend")],
    "stochastic": [
        (lambda s: checked.stochastic(*ohlc(s)).k, "stoch", "k"),
        (lambda s: checked.stochastic(*ohlc(s)).d, "stoch", "d"),
    ],
    "keltner": [
        (lambda s: checked.keltner(*ohlc(s)).upper, "keltner", "upperBand"),
        (lambda s: checked.keltner(*ohlc(s)).middle, "keltner", "centerline"),
        (lambda s: checked.keltner(*ohlc(s)).lower, "keltner", "lowerBand"),
    ],
    "obv": [(lambda s: checked.obv(s.close, s.volume), "obv", "obv")],
    # That library's VWAP runs from the first bar: one long day.
    "vwap": [(lambda s: checked.vwap_daily(np.zeros(502, np.int64), *ohlc(s), s.volume), "vwap", "vwap")],
}


@pytest.mark.parametrize("name", SPY)
def test_spy_results_are_met_to_1e_9_and_start_on_the_same_bar(spy, name):
    for compute, file, key in SPY[name]:
        assert_allclose(compute(spy), spy.expected(file, key), rtol=1e-9, atol=0, equal_nan=True)


TALIB = {
    "sma": lambda s: [(checked.sma(s.close, 20), talib.SMA(s.close, 20))],
    "ema": lambda s: [(checked.ema(s.close, 20), talib.EMA(s.close, 20))],
    "rsi": lambda s: [(checked.wilder_rsi(s.close, 14), talib.RSI(s.close, 14))],
    "macd": lambda s: list(zip(checked.macd(s.close, 8, 24, 9), talib.MACD(s.close, 8, 24, 9), strict=True)),
    "adx": lambda s: list(
        zip(
            checked.adx(*ohlc(s)),
            (talib.PLUS_DI(*ohlc(s), 14), talib.MINUS_DI(*ohlc(s), 14), talib.ADX(*ohlc(s), 14)),
            strict=True,
        )
    ),
    "atr": lambda s: [(checked.atr(*ohlc(s)), talib.ATR(*ohlc(s), 14))],
    "stochastic": lambda s: list(
        zip(together(checked.stochastic(*ohlc(s))), talib.STOCH(*ohlc(s), 14, 3, 0, 3, 0), strict=True)
    ),
    "obv": lambda s: [(np.diff(checked.obv(s.close, s.volume)), np.diff(talib.OBV(s.close, s.volume)))],
    "rolling": lambda s: [
        (checked.rolling_max(s.high, 30), talib.MAX(s.high, 30)),
        (checked.rolling_min(s.low, 30), talib.MIN(s.low, 30)),
    ],
}


@pytest.mark.parametrize("name", TALIB)
def test_talib_is_met_to_1e_9_and_starts_on_the_same_bar(spy, name):
    for found, expected in TALIB[name](spy):
        assert_allclose(found, expected, rtol=1e-9, atol=1e-11, equal_nan=True)


def test_talib_bands_are_met_within_its_own_cancellation(spy):
    # TA-Lib takes the variance as a difference of two large means, which costs it half of its digits.
    for found, expected in zip(checked.bollinger(spy.close), talib.BBANDS(spy.close, 20), strict=True):
        assert_allclose(found, expected, rtol=1e-7, equal_nan=True)


def test_chartschool_averages_and_oscillators_are_met_in_every_printed_digit(market_data):
    macd = Sheet(market_data, "macd")
    close = macd["Close"]
    macd.check("short_ema", checked.ema(close, 12, "first"))
    macd.check("long_ema", checked.ema(close, 26, "first"))
    macd.check("MACD_line", checked.macd(close, seeding="first").line, first=25)
    # The sheet starts its signal on the third row with a mean of lines yet to come; from there on the averages are one.
    line = checked.ema(close, 12, "first") - checked.ema(close, 26, "first")
    line[2] = macd["MACD_signal"][2]
    macd.check("MACD_signal", np.append([np.nan, np.nan], checked.ema(line[2:], 9, "first")))

    ppo = Sheet(market_data, "ppo")
    for head, found in zip(
        ("PPO", "PPO_Signal_Line", "PPO_Histogram"), checked.ppo(ppo["Close"], 12, 26, 9), strict=True
    ):
        ppo.check(head, found)

    rsi = Sheet(market_data, "rsi")  # its averages start with a first value of 0
    for head, source in (("Avg Gain", "Gain"), ("Avg Loss", "Loss")):
        rsi.check(head, checked.rma(np.nan_to_num(rsi[source]), 14, "first"))


def test_chartschool_ranges_and_bands_are_met_in_every_printed_digit(market_data):
    adx = Sheet(market_data, "adx")
    found = checked.adx(adx["High"], adx["Low"], adx["Close"], 14, "classic")
    for head, values in zip(("+DI14", "-DI14", "ADX"), found, strict=True):
        adx.check(head, values)

    for name, period in (("atr", 14), ("atr2", 10)):
        atr = Sheet(market_data, name)
        atr.check("ATR", checked.atr(atr["High"], atr["Low"], atr["Close"], period, "first_range"))

    bands = Sheet(market_data, "bbands")
    for head, values in zip(("HighBand", "MiddleBand", "LowBand"), checked.bollinger(bands["Close"]), strict=True):
        bands.check(head, values)

    channel = Sheet(market_data, "dc")
    for head, values in zip(
        ("upper_band", "middle_band", "lower_band"), checked.donchian(channel["high"], channel["low"]), strict=True
    ):
        channel.check(head, values)

    keltner = Sheet(market_data, "kc")
    found = checked.keltner(keltner["High"], keltner["Low"], keltner["Close"], seed="first")
    for head, values in zip(("upper_band", "middle_band", "lower_band"), found, strict=True):
        keltner.check(head, values)


def test_the_chartschool_vwap_is_met_while_its_window_runs_from_the_first_row(market_data):
    vwap = Sheet(market_data, "vwap")
    columns = [vwap[head][:14] for head in ("High", "Low", "Close", "Volume")]
    assert_allclose(checked.vwap_daily(np.zeros(14, np.int64), *columns), vwap["vwap"][:14], rtol=1e-12)


def test_the_chartschool_on_balance_volume_is_met(market_data):
    obv = Sheet(market_data, "obv")
    obv.check("OBV", checked.obv(obv["Close"], np.nan_to_num(obv["Volume"])))


def test_tulip_vectors_are_met_in_every_printed_digit(market_data):
    vectors = tulip(market_data)
    digits = {"rtol": 0, "atol": 5e-4 * 1.01}

    def check(name, compute, *, skip=0):
        arrays = vectors[name]
        found = compute(*arrays)
        outputs = arrays[-len(found) :]
        for values, expected in zip(found, outputs, strict=True):
            assert_allclose(values[-len(expected) + skip :], expected[skip:], **digits, err_msg=name)
            assert skip or np.isnan(values[: -len(expected)]).all()

    check("sma 5", lambda c, *_: [checked.sma(c, 5)])
    check("ema 5", lambda c, *_: [checked.ema(c, 5, "first")])
    check("wilders 5", lambda c, *_: [checked.rma(c, 5)])
    check("rsi 5", lambda c, *_: [checked.wilder_rsi(c, 5)])
    check("macd 2 5 9", lambda c, *_: checked.macd(c, 2, 5, 9, "first"))
    check("atr 5", lambda h, low, c, *_: [checked.atr(h, low, c, 5, "first_range")])
    check("bbands 5 2", lambda c, *_: checked.bollinger(c, 5, 2.0)[::-1])
    check("max 5", lambda c, *_: [checked.rolling_max(c, 5)])
    check("min 5", lambda c, *_: [checked.rolling_min(c, 5)])
    check("ppo 2 5", lambda c, *_: [np.where(np.arange(len(c)) > 0, checked.ppo(c, 2, 5, 9).line, np.nan)])
    # Tulip's first directional value is that of one candle earlier; from then on the two are the same.
    check("di 5", lambda h, low, c, *_: checked.adx(h, low, c, 5, "talib")[:2], skip=1)
    check("tr", lambda h, low, c, *_: [checked.true_range(h, low, c)], skip=1)  # Tulip's first is high - low
    plus, minus, _ = checked.adx(*vectors["di 5"][:3], 5, "talib")
    check("dx 5", lambda *_: [100 * np.abs(plus - minus) / (plus + minus)], skip=1)
    # Its ADX starts one candle earlier, too: Wilder's average of the DX that it prints gives it, within their rounding.
    adx = checked.rma(vectors["dx 5"][-1], 5)
    assert_allclose(adx[-7:], vectors["adx 5"][-1], rtol=0, atol=1.01e-3)
    check("fisher 5", lambda h, low, *_: checked.fisher(h, low, 5))
    check("stoch 5 3 3", lambda h, low, c, *_: together(checked.stochastic(h, low, c, 5, 3, 3)))
    check("obv", lambda c, v, *_: [checked.obv(c, v)])
    # Tulip's is the population deviation of a year of 252 days.
    annual = (252 * 4 / 5) ** 0.5
    check("volatility 5", lambda c, *_: [checked.realised_volatility(c, 5, "deviation", annual)])
