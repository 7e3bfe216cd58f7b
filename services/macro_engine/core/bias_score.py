"""A pair's direction and its score 0-100: the validated 15m/4h long rule of SYSTEMS 3.5, and its mirror image for shorts.

A side has ground when the close lies on its side of EMA20(4h) and of EMA10(15m); at most one side has. Without ground on
either side the direction is NEUTRAL with score 0. The ground is worth 40 points; what else holds adds to it:

    component   LONG holds when                          SHORT                    points
    trend_4h    close > EMA20 of the 4h closes           <                        20
    trend_15m   close > EMA10 of the 15m closes          <                        20
    rsi_zone    50 < RSI14(15m) < 60                     40 < RSI14 < 50          20
    rsi_slope   RSI14 rose over its last 3 values        fell                     15
    volume      z-score of the volume over 20 > 1        the same                 15
    distance    close within 1 % of EMA10(15m)           the same                 10
    candle      close > open, for listed bases only      close < open             a condition without points

80 and more is said only where the whole rule holds (the score is then 100); everything else is capped at 79. With the
hysteresis of the gate (80/70) a bias therefore begins with the whole rule and is kept while the ground holds and not much
else is missing: volume and one of rsi_slope or distance may go, not rsi_zone with volume.
"""

from typing import Final

import msgspec

from services.macro_engine.core.candles import CLOSE, OPEN, VOLUME, Candles, FloatArray
from shared.domain.bias import Direction
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.indicators.plain import ema, volume_zscore, wilder_rsi

# Windows have fixed lengths, so that a recursion starts at the same candle whoever computes it.
WINDOW_15M: Final = 240
WINDOW_4H: Final = 80
SEED: Final = "first"  # a window's first close begins its averages
EMA_4H: Final = 20
EMA_15M: Final = 10
RSI_PERIOD: Final = 14
RSI_MIDDLE: Final = 50.0
RSI_FAR: Final = 10.0
RSI_SLOPE_VALUES: Final = 3
VOLUME_VALUES: Final = 20
VOLUME_Z: Final = 1.0
DISTANCE_PCT: Final = 1.0
POINTS: Final = {
    "trend_4h": 20.0,
    "trend_15m": 20.0,
    "rsi_zone": 20.0,
    "rsi_slope": 15.0,
    "volume": 15.0,
    "distance": 10.0,
}
PARTIAL_MAX: Final = 79.0
_GROUND: Final = ("trend_4h", "trend_15m")


class BiasScore(msgspec.Struct, frozen=True, kw_only=True):
    """Direction, score 0-100 and how it came about: `score.<component>` in points, `value.<name>` as measured."""

    direction: Direction
    confidence: float
    components: dict[str, float]


class _Values(msgspec.Struct, frozen=True, kw_only=True):
    close: float
    ema20_4h: float
    ema10_15m: float
    rsi14: float
    rsi_slope: float
    volume_z: float
    distance_pct: float
    body: float


def score_bias(fifteen: Candles, four_hours: Candles, *, candle_decides: bool) -> BiasScore:
    """The score at the newest 15m close.

    fifteen, four_hours: the newest WINDOW_15M and WINDOW_4H closed candles, consecutive; the 4h ones closed by then.
    candle_decides:      whether the pair's base is listed as needing a candle in the bias's direction.
    Raises InvalidValueError where a window is too short or not consecutive.
    """
    for candles, timeframe, length in ((fifteen, Timeframe.M15, WINDOW_15M), (four_hours, Timeframe.H4, WINDOW_4H)):
        run = candles.consecutive_tail().size
        if candles.timeframe is not timeframe or candles.size != length or run != length:
            rule = f"{length} consecutive {timeframe} candles are required"
            raise InvalidValueError(f"not_enough_history: {rule}, was {run} of {candles.timeframe}")
    values = _measure(fifteen.table, four_hours.table)
    measured = {f"value.{name}": getattr(values, name) for name in _Values.__struct_fields__ if name != "body"}
    for side, sign in ((Direction.LONG, 1.0), (Direction.SHORT, -1.0)):
        holds = _holds(values, sign)
        if all(holds[name] for name in _GROUND):
            whole = all(holds.values()) and (not candle_decides or sign * values.body > 0)
            points = {name: POINTS[name] if held else 0.0 for name, held in holds.items()}
            score = sum(points.values()) if whole else min(PARTIAL_MAX, sum(points.values()))
            earned = {f"score.{name}": value for name, value in points.items()}
            return BiasScore(direction=side, confidence=score, components={**earned, **measured})
    return BiasScore(direction=Direction.NEUTRAL, confidence=0.0, components=measured)


def _measure(fifteen: FloatArray, four_hours: FloatArray) -> _Values:
    closes = fifteen[:, CLOSE]
    close = float(closes[-1])
    rsi = wilder_rsi(closes, RSI_PERIOD)
    ema10 = float(ema(closes, EMA_15M, SEED)[-1])
    return _Values(
        close=close,
        ema20_4h=float(ema(four_hours[:, CLOSE], EMA_4H, SEED)[-1]),
        ema10_15m=ema10,
        rsi14=float(rsi[-1]),
        rsi_slope=float(rsi[-1] - rsi[-RSI_SLOPE_VALUES]) / (RSI_SLOPE_VALUES - 1),
        volume_z=float(volume_zscore(fifteen[-VOLUME_VALUES:, VOLUME], VOLUME_VALUES)[-1]),
        distance_pct=abs(close / ema10 - 1.0) * 100.0,
        body=close - float(fifteen[-1, OPEN]),
    )


def _holds(values: _Values, sign: float) -> dict[str, bool]:
    return {
        "trend_4h": sign * (values.close - values.ema20_4h) > 0,
        "trend_15m": sign * (values.close - values.ema10_15m) > 0,
        "rsi_zone": 0 < sign * (values.rsi14 - RSI_MIDDLE) < RSI_FAR,
        "rsi_slope": sign * values.rsi_slope > 0,
        "volume": values.volume_z > VOLUME_Z,
        "distance": values.distance_pct < DISTANCE_PCT,
    }
