"""Makes docs/indicators.md from the catalogue, with the largest differences to TA-Lib measured on recorded bars."""

import csv
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from shared.indicators.catalogue import INDICATORS
from shared.indicators.checked.values import FloatArray
from shared.indicators.indicator import Indicator

Columns = Mapping[str, Any]
_SETTLED: Final = 250  # bars after which a start is forgotten by every average here
_ROUNDING: Final = 1e-12  # differences below are rounding, which varies with the processor

_HEAD: Final = """\
# Indicators

Made by `cst indicators` from `shared/indicators/catalogue.py`; a test fails when the two differ.

Every indicator is a Numba kernel (`shared/indicators/kernels`, arithmetic only, one fixed type, cached on disk by
`cst compile-kernels`) behind a checked front (`checked`, the place to read what an argument means), and most have a twin in plain
NumPy (`plain`) for services that load no Numba. A stream (`streaming.Stream`) takes one candle at a time at O(1) and gives the
bits of the series, where the table does not say *within rounding*. `Board` does RSI, MACD, ADX, ATR and Bollinger bands of
a whole market in one call.

What holds for all, and is tested for all: the value at a candle depends on that candle and those before it only; candles
are oldest first; NaN stands where no value is known yet; a NaN among the candles makes NaN what depends on it (for a recursive
indicator all that follows); infinite values, columns of unequal length and parameters out of range raise `InvalidValueError`
with rule, value and place; each equals a slow twin written from its definition (`tests/support/slow_indicators.py`) on jumps,
doji, flat stretches, zero volume and series that run one way.

Neutral values: RSI of a flat stretch 50 (TA-Lib: 0), stochastic and Fisher of a window without range the middle, DI without any
range 0 and ADX as it was, z-score of a flat window 0, VWAP of a candle without volume that of the candle before it on that day.

*First value*: index of the first candle that has one, per output, with the default parameters; one more candle is needed.
*Checked against*, after the semicolon: SPY (502 published results of Stock.Indicators, to 1e-9 relative), ChartSchool sheets and Tulip
vectors (to the last printed digit). *TA-Lib*: largest difference on the 502 SPY bars, relative to the largest value of TA-Lib's
output, over all bars and from bar {settled} on; `=` is equal within 1e-12.

| indicator | parameters | first value | seeding | source; checked against | stream | TA-Lib, all | from {settled} |
|---|---|---|---|---|---|---|---|
"""

_TAIL: Final = """
Beside the table:

* `swing_lows`, `swing_highs`: lower (higher) than the `bars` candles before it and not above (below) the `bars` after it; known `bars`
  candles later. A divergence speaks at the candle that confirms the later swing and is never taken back.
* `fibonacci_pivots`: seven levels of one finished UTC day, SYSTEMS 1.2. The caller picks the day before the *candle's*, never the clock's.
* MACD and ADX have two seedings on purpose: `talib` is what the strategies use and what TA-Lib gives; `classic` is what Wilder and
  Appel wrote and what most charts show. `first` is the seeding of spreadsheets. After {settled} candles they agree.
* TA-Lib's OBV starts with the first volume, ours with 0: the steps are compared.
* The smooth RSI stands on the textbook RSI; the reference system smoothed its first average twice (off by 1.5 points at first, under
  1e-6 after 300 candles).
* The RMA filters of SYSTEMS 1.2 write their seed into the warm-up too; ours have NaN there.
"""


def document(market_data: Path) -> str:
    """The page's text; needs TA-Lib and the SPY bars of the recorded market data."""
    columns = _spy(market_data)
    peers = _peers()
    rows = "".join(_row(item, columns, peers.get(item.name)) for item in INDICATORS)
    return _HEAD.format(settled=_SETTLED) + rows + _TAIL.format(settled=_SETTLED)


def _row(item: Indicator, columns: Columns, peer: Callable[[Columns], Any] | None) -> str:
    parameters = ", ".join(f"{name} {value}" for name, value in item.parameters.items() if not isinstance(value, str))
    firsts = item.first(**item.parameters)
    first = str(firsts[0]) if len(set(firsts)) == 1 else ", ".join(map(str, firsts))
    stream = "-" if not item.state else "exact" if item.exact else "within rounding"
    whole, settled = _differences(item, columns, peer) if peer else ("-", "-")
    cells = (f"`{item.label}`", parameters or "-", first, item.seeding, item.source, stream, whole, settled)
    return f"| {' | '.join(cells)} |\n"


def _differences(item: Indicator, columns: Columns, peer: Callable[[Columns], Any]) -> tuple[str, str]:
    whole = settled = 0.0
    found = [np.diff(values) if item.name == "obv" else values for values in item.compute(columns)]
    for values, expected in zip(found, peer(columns), strict=True):
        if expected is None:
            continue
        away = np.abs(values - expected) / np.nanmax(np.abs(expected))
        whole = max(whole, float(np.nanmax(away)))
        settled = max(settled, float(np.nanmax(away[_SETTLED:])))
    return _told(whole), _told(settled)


def _told(difference: float) -> str:
    # Two digits of a real difference are the same on every processor; those of rounding are not.
    if difference < _ROUNDING:
        return "="
    return f"{difference:.1g}"


def _peers() -> dict[str, Callable[[Columns], Any]]:
    """TA-Lib's outputs by our indicator's name, in our order; None for an output it has not."""
    talib: Any = import_module("talib")  # its types know no unpacked columns

    def range_of(columns: Columns) -> tuple[FloatArray, ...]:
        return columns["high"], columns["low"], columns["close"]

    def stochastic(columns: Columns) -> tuple[FloatArray, ...]:
        return tuple(talib.STOCH(*range_of(columns), 14, 3, 0, 3, 0))

    def donchian(columns: Columns) -> tuple[FloatArray | None, ...]:
        return talib.MAX(columns["high"], 20), None, talib.MIN(columns["low"], 20)

    def adx(columns: Columns) -> tuple[FloatArray, ...]:
        return tuple(function(*range_of(columns), 14) for function in (talib.PLUS_DI, talib.MINUS_DI, talib.ADX))

    return {
        "sma": lambda columns: (talib.SMA(columns["close"], 20),),
        "ema": lambda columns: (talib.EMA(columns["close"], 20),),
        "wilder_rsi": lambda columns: (talib.RSI(columns["close"], 14),),
        "macd": lambda columns: talib.MACD(columns["close"], 12, 26, 9),
        "ppo": lambda columns: (talib.PPO(columns["close"], 7, 16, 1), None, None),
        "adx": adx,
        "true_range": lambda columns: (talib.TRANGE(*range_of(columns)),),
        "atr": lambda columns: (talib.ATR(*range_of(columns), 14),),
        "bollinger": lambda columns: talib.BBANDS(columns["close"], 20),
        "stochastic": stochastic,
        "donchian": donchian,
        "obv": lambda columns: (np.diff(talib.OBV(columns["close"], columns["volume"])),),
        "rolling_max": lambda columns: (talib.MAX(columns["high"], 20),),
        "rolling_min": lambda columns: (talib.MIN(columns["low"], 20),),
    }


def _spy(market_data: Path) -> Columns:
    with (market_data / "indicators" / "spy_daily_502.quotes.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    names = ("open", "high", "low", "close", "volume")
    columns: dict[str, Any] = {name: np.array([float(row[name]) for row in rows]) for name in names}
    columns["open_time_ms"] = np.arange(len(rows), dtype=np.int64) * 86_400_000
    columns["oscillator"] = columns["close"]
    return columns
