"""Every indicator: docs, streams and the tests that hold for all of them are made from this list.

Importing it imports no Numba. Not in it: swing points, which speak about a candle some candles back, and Fibonacci pivots,
which are seven numbers of one day (`checked.swing_lows`, `checked.swing_highs`, `checked.fibonacci_pivots`).
"""

from typing import Any, Final

from shared.domain.checks import require
from shared.indicators.checked.averages import SEEDS
from shared.indicators.checked.channels import RETURN_KINDS
from shared.indicators.checked.momentum import MACD_SEEDINGS
from shared.indicators.checked.trend import ADX_SEEDINGS
from shared.indicators.checked.volatility import ATR_KINDS
from shared.indicators.indicator import Indicator

_HLC: Final = ("high", "low", "close")


def _of_period(period: int, **_: Any) -> tuple[int, ...]:
    return (period - 1,)


def _of_window(window: int, **_: Any) -> tuple[int, ...]:
    return (window - 1,)


def _at_once(**_: Any) -> tuple[int, ...]:
    return (0,)


def _band(window: int, **_: Any) -> tuple[int, ...]:
    return (window - 1,) * 3


def _average(name: str, seed: str, source: str) -> Indicator:
    return Indicator(
        name=name,
        family="averages",
        inputs=("close",),
        parameters={"period": 20, "seed": seed},
        outputs=("average",),
        first=_of_period if seed == "average" else _at_once,
        seeding="mean of the first `period` values" if seed == "average" else "the first value",
        source=source,
        choices={"seed": SEEDS},
        state=("EMA_STATE",),
    )


def _macd(seeding: str, told: str, source: str) -> Indicator:
    def first(slow: int, signal: int, **_: Any) -> tuple[int, ...]:
        whole = slow + signal - 2
        if seeding == "first":
            return (slow - 1,) * 3
        return (whole if seeding == "talib" else slow - 1, whole, whole)

    return Indicator(
        name="macd",
        family="momentum",
        inputs=("close",),
        parameters={"fast": 12, "slow": 26, "signal": 9, "seeding": seeding},
        outputs=("line", "signal", "histogram"),
        first=first,
        seeding=told,
        source=source,
        choices={"seeding": MACD_SEEDINGS},
        state=("MACD_STATE",),
    )


def _adx(seeding: str, told: str, source: str) -> Indicator:
    return Indicator(
        name="adx",
        family="trend",
        inputs=_HLC,
        parameters={"period": 14, "seeding": seeding},
        outputs=("+DI", "-DI", "ADX"),
        first=lambda period, **_: (period, period, 2 * period - 1),
        seeding=told,
        source=source,
        choices={"seeding": ADX_SEEDINGS},
        state=("ADX_STATE",),
    )


def _atr(kind: str, told: str, source: str) -> Indicator:
    return Indicator(
        name="atr",
        family="volatility",
        inputs=_HLC,
        parameters={"period": 14, "kind": kind},
        outputs=("ATR",),
        first=lambda period, **_: (period if kind == "wilder" else period - 1,),
        seeding=told,
        source=source,
        choices={"kind": ATR_KINDS},
        state=("atr_state", "period"),
    )


def _keltner(seed: str, told: str, source: str) -> Indicator:
    def first(period: int, atr_period: int, **_: Any) -> tuple[int, ...]:
        middle, reach = (0, atr_period - 1) if seed == "first" else (period - 1, atr_period)
        return (max(middle, reach), middle, max(middle, reach))

    return Indicator(
        name="keltner",
        family="channels",
        inputs=_HLC,
        parameters={"period": 20, "multiplier": 2.0, "atr_period": 10, "seed": seed},
        outputs=("upper", "middle", "lower"),
        first=first,
        seeding=told,
        source=source,
        choices={"seed": SEEDS},
        state=("KELTNER_STATE",),
    )


def _volatility(kind: str, source: str) -> Indicator:
    return Indicator(
        name="realised_volatility",
        family="channels",
        inputs=("close",),
        parameters={"window": 20, "kind": kind, "scale": 1.0},
        outputs=("volatility",),
        first=lambda window, **_: (window,),
        seeding="none",
        source=source,
        choices={"kind": RETURN_KINDS},
        state=("volatility_state", "window"),
    )


def _divergence(name: str, price: str) -> Indicator:
    return Indicator(
        name=name,
        family="levels",
        inputs=(price, "oscillator"),
        parameters={"bars": 3, "distance_max": 60},
        outputs=("divergence",),
        first=_at_once,
        seeding="none",
        source="regular and hidden divergence between confirmed swings, SYSTEMS 6; told when confirmed, never taken back",
        state=("divergence_state", "bars"),
    )


def _window(name: str, family: str, column: str, source: str, *, state: str, exact: bool = True) -> Indicator:
    return Indicator(
        name=name,
        family=family,
        inputs=(column,),
        parameters={"window": 20},
        outputs=(name,),
        first=_of_window,
        seeding="none",
        source=source,
        state=(state, "window"),
        exact=exact,
    )


INDICATORS: Final[tuple[Indicator, ...]] = (
    _window("sma", "averages", "close", "mean of a window; SPY, Tulip", state="sma_state", exact=False),
    _average("ema", "average", "weight 2 / (period + 1); SPY, TA-Lib"),
    _average("ema", "first", "weight 2 / (period + 1); ChartSchool, Tulip"),
    _average("rma", "average", "weight 1 / period (SMMA); SPY, Tulip"),
    _average("rma", "first", "weight 1 / period; ChartSchool"),
    Indicator(
        name="wilder_rsi",
        family="momentum",
        inputs=("close",),
        parameters={"period": 14},
        outputs=("RSI",),
        first=lambda period, **_: (period,),
        seeding="mean of the first `period` gains and losses",
        source="Wilder 1978, SYSTEMS 6; SPY, Tulip",
        state=("RSI_STATE",),
    ),
    _macd("talib", "means, both averages on candle slow - 1", "TA-Lib, SYSTEMS 2.2"),
    _macd("classic", "mean of each average's own first values", "Appel; SPY"),
    _macd("first", "the first close", "ChartSchool, Tulip"),
    Indicator(
        name="ppo",
        family="momentum",
        inputs=("close",),
        parameters={"fast": 7, "slow": 16, "signal": 5},
        outputs=("line", "signal", "histogram"),
        first=lambda **_: (0, 0, 0),
        seeding="the first close",
        source="SYSTEMS 1.2; ChartSchool, Tulip",
        state=("PPO_STATE",),
    ),
    _adx(
        "talib",
        "sums of the first period - 1, the next smoothed in; mean of the first `period` DX",
        "TA-Lib, SYSTEMS 6",
    ),
    _adx("classic", "sums of the first `period`; mean of the first `period` DX", "Wilder 1978; SPY, ChartSchool"),
    Indicator(
        name="true_range",
        family="volatility",
        inputs=_HLC,
        parameters={},
        outputs=("range",),
        first=lambda **_: (1,),
        seeding="none",
        source="Wilder 1978; SPY",
        state=("RANGE_STATE",),
    ),
    _atr(
        "wilder", "mean of the first `period` ranges, from the second candle on", "Wilder 1978, SYSTEMS 7; SPY, TA-Lib"
    ),
    _atr("first_range", "mean of the first `period` ranges, the first being high - low", "ChartSchool, Tulip"),
    _atr("sma", "none: a mean of period - 1 ranges", "`sma13`, SYSTEMS 5.2"),
    Indicator(
        name="bollinger",
        family="volatility",
        inputs=("close",),
        parameters={"window": 20, "deviations": 2.0},
        outputs=("upper", "middle", "lower"),
        first=_band,
        seeding="none",
        source="population deviation; SPY, ChartSchool, Tulip",
        state=("bollinger_state", "window"),
        exact=False,
    ),
    Indicator(
        name="vwap_daily",
        family="volume",
        inputs=("open_time_ms", *_HLC, "volume"),
        parameters={},
        outputs=("VWAP",),
        first=_at_once,
        seeding="anew at 00:00 UTC",
        source="SYSTEMS 1.2; SPY, ChartSchool (one long day)",
        state=("VWAP_STATE",),
    ),
    Indicator(
        name="kalman",
        family="smoothing",
        inputs=("close",),
        parameters={"length": 5, "measurement_noise": 0.01, "process_noise": 0.1},
        outputs=("estimate",),
        first=_at_once,
        seeding="the first value, error 1",
        source="SYSTEMS 1.2; the gain settles at 0.4633",
        state=("KALMAN_STATE",),
    ),
    Indicator(
        name="smooth_rsi",
        family="smoothing",
        inputs=("close",),
        parameters={"period": 21, "length": 5, "measurement_noise": 0.01, "process_noise": 0.1, "smoothing": 5},
        outputs=("RSI",),
        first=lambda period, **_: (period,),
        seeding="Wilder RSI; Kalman and EMA with its first value",
        source="SYSTEMS 1.2 on the textbook RSI of SYSTEMS 6",
        state=("SMOOTH_RSI_STATE",),
    ),
    Indicator(
        name="range_filter",
        family="smoothing",
        inputs=("close",),
        parameters={"period": 22, "multiplier": 9.0},
        outputs=("filter",),
        first=_at_once,
        seeding="the first close, averages with the first change",
        source="DonovanWall's Range Filter, SYSTEMS 1.2",
        state=("RANGE_FILTER_STATE",),
    ),
    Indicator(
        name="cirrus_cloud",
        family="smoothing",
        inputs=("close",),
        parameters={"period_1": 22, "multiplier_1": 9.0, "period_2": 15, "multiplier_2": 5.0},
        outputs=("filter 1", "filter 2", "direction"),
        first=lambda **_: (0, 0, 0),
        seeding="as the range filter; equal filters start up",
        source="SYSTEMS 1.2",
        state=("CIRRUS_STATE",),
    ),
    Indicator(
        name="mmh",
        family="oscillators",
        inputs=("close",),
        parameters={"period": 144, "responsiveness": 0.9},
        outputs=("histogram",),
        first=lambda period, **_: (2 * period - 2,),
        seeding="recursions from 0; worm from the first close",
        source="SYSTEMS 1.2 with the population deviation of Pine",
        state=("mmh_state", "period"),
    ),
    Indicator(
        name="fisher",
        family="oscillators",
        inputs=("high", "low"),
        parameters={"window": 10},
        outputs=("line", "trigger"),
        first=lambda window, **_: (window - 1, window - 1),
        seeding="recursions from 0",
        source="Ehlers, SYSTEMS 6; Tulip",
        state=("fisher_state", "window"),
    ),
    Indicator(
        name="stochastic",
        family="oscillators",
        inputs=_HLC,
        parameters={"window": 14, "smoothing": 3, "signal": 3},
        outputs=("%K", "%D"),
        first=lambda window, smoothing, signal: (window + smoothing - 2, window + smoothing + signal - 3),
        seeding="none",
        source="Lane's slow stochastic; SPY, Tulip",
        state=("stochastic_state", "window", "smoothing", "signal"),
    ),
    _keltner("average", "means; ATR from the second candle on", "SPY"),
    _keltner("first", "the first close; ATR from the first candle on", "ChartSchool"),
    Indicator(
        name="donchian",
        family="extremes",
        inputs=("high", "low"),
        parameters={"window": 20},
        outputs=("upper", "middle", "lower"),
        first=_band,
        seeding="none",
        source="the current candle included; ChartSchool",
        state=("donchian_state", "window"),
    ),
    Indicator(
        name="supertrend",
        family="trend",
        inputs=_HLC,
        parameters={"period": 10, "multiplier": 3.0},
        outputs=("line", "direction"),
        first=lambda period, **_: (period, period),
        seeding="Wilder ATR; up where the close is at or above the middle",
        source="Seban; SPY",
        state=("SUPERTREND_STATE",),
    ),
    Indicator(
        name="obv",
        family="volume",
        inputs=("close", "volume"),
        parameters={},
        outputs=("OBV",),
        first=_at_once,
        seeding="0",
        source="Granville; SPY, ChartSchool, Tulip",
        state=("OBV_STATE",),
    ),
    _window(
        "volume_zscore",
        "volume",
        "volume",
        "sample deviation, the current candle included, SYSTEMS 3.5",
        state="zscore_state",
    ),
    _window("rolling_max", "extremes", "high", "in a ring, SYSTEMS 1.2; Tulip, TA-Lib", state="rolling_state"),
    _window("rolling_min", "extremes", "low", "in a ring, SYSTEMS 1.2; Tulip, TA-Lib", state="rolling_state"),
    _divergence("bullish_divergence", "low"),
    _divergence("bearish_divergence", "high"),
    _volatility("deviation", "S1's daily deviation, SYSTEMS 2.3; Tulip"),
    _volatility("root_mean_square", "SYSTEMS 2.3, without the mean"),
    _volatility("variance", "Moreira and Muir 2017, SYSTEMS 6"),
)


def indicator(name: str, **words: str) -> Indicator:
    """The indicator of this name, with this seeding or kind where there are several; raises InvalidValueError otherwise."""
    named = [item for item in INDICATORS if item.name == name]
    known = ", ".join(sorted({item.name for item in INDICATORS}))
    require(bool(named), f"indicator must be one of {known}", name, "indicators")
    fitting = [item for item in named if all(item.parameters.get(key) == word for key, word in words.items())]
    labels = ", ".join(item.label for item in named)
    require(bool(fitting), f"{name} must be one of {labels}", words, "indicators")
    return fitting[0]
