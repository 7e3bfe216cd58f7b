"""The score against a slow twin on recorded candles, its mirror image, and what it may not do."""

import itertools
import statistics
from pathlib import Path

import numpy as np
import pytest

from services.macro_engine.core.bias_score import WINDOW_4H, WINDOW_15M, score_bias
from services.macro_engine.core.candles import CLOSE, COLUMNS, OPEN, VOLUME, Candles, filled, rolled_up
from services.macro_engine.core.evaluate import STEP_MS, PairCandles, evaluate
from shared.domain.bias import Direction
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from tests.support.kraken_server import made_market, rolled

AS_OF = 1_700_000_000_000 // 900_000 * 900_000


def slow_ema(values, window):
    mean = values[0]
    for value in values[1:]:
        mean = value * 2 / (window + 1) + mean * (1 - 2 / (window + 1))
    return mean


def slow_rsi(closes, period=14):
    gains = [max(0.0, after - before) for before, after in itertools.pairwise(closes)]
    losses = [max(0.0, before - after) for before, after in itertools.pairwise(closes)]
    gain, loss = statistics.fmean(gains[:period]), statistics.fmean(losses[:period])
    found = [100 - 100 / (1 + gain / loss) if loss else 100.0]
    for up, down in zip(gains[period:], losses[period:], strict=True):
        gain, loss = (gain * 13 + up) / 14, (loss * 13 + down) / 14
        found.append(100 - 100 / (1 + gain / loss) if loss else 100.0)
    return found


def slow_score(fifteen, four_hours, *, candle_decides):
    """The table in the module's docstring, read aloud. Rows: (time, open, high, low, close, volume)."""
    closes, volumes = [row[4] for row in fifteen], [row[5] for row in fifteen[-20:]]
    close, rsi = closes[-1], slow_rsi(closes)
    ema10, ema20 = slow_ema(closes, 10), slow_ema([row[4] for row in four_hours], 20)
    deviation = statistics.stdev(volumes)
    loud = deviation > 0 and (volumes[-1] - statistics.fmean(volumes)) / deviation > 1
    near = abs(close - ema10) / ema10 < 0.01
    if close > ema20 and close > ema10:
        side, zone, slope, body = "LONG", 50 < rsi[-1] < 60, rsi[-1] > rsi[-3], close > fifteen[-1][1]
    elif close < ema20 and close < ema10:
        side, zone, slope, body = "SHORT", 40 < rsi[-1] < 50, rsi[-1] < rsi[-3], close < fifteen[-1][1]
    else:
        return "NEUTRAL", 0
    points = 40 + 20 * zone + 15 * slope + 15 * loud + 10 * near
    whole = zone and slope and loud and near and (body or not candle_decides)
    return side, points if whole else min(79, points)


@pytest.mark.parametrize(
    ("file", "candle_decides", "every"),
    [("binance_spot_ETHUSDT_1m_2023-03_2023-04.csv.gz", False, 5), ("binance_spot_SOLUSDT_1m_2022-11.csv.gz", True, 1)],
)
def test_the_score_equals_its_slow_twin_on_recorded_candles(
    market_data: Path, file: str, candle_decides: bool, every: int
):
    table = np.loadtxt(market_data / "ohlcv" / file, delimiter=",", skiprows=1, usecols=range(COLUMNS))
    minutes, _ = filled(Candles(Timeframe.M1, table))
    fifteen, four_hours = rolled_up(minutes, Timeframe.M15), rolled_up(minutes, Timeframe.H4)
    known = PairCandles(five=None, fifteen=fifteen, four_hours=four_hours)
    seen = set()
    for as_of_ms in range(int(table[0, 0]) + 16 * 86_400_000, fifteen.newest_close_ms + 1, every * STEP_MS):
        score = evaluate(known, as_of_ms, age_ms_max=0, candle_decides=candle_decides)

        rows15 = fifteen.table[fifteen.table[:, 0] + 900_000 <= as_of_ms][-WINDOW_15M:].tolist()
        rows4h = four_hours.table[four_hours.table[:, 0] + 14_400_000 <= as_of_ms][-WINDOW_4H:].tolist()
        assert (score.direction.value, score.confidence) == slow_score(rows15, rows4h, candle_decides=candle_decides)
        seen.add((score.direction, score.confidence >= 80))
    assert {(Direction.LONG, True), (Direction.SHORT, True), (Direction.NEUTRAL, False)} <= seen


def windows(trend: str) -> tuple[Candles, Candles]:
    five = [bar for bar in made_market("XBT/USDT", trend, AS_OF).five if bar[0] < AS_OF]
    fifteen, four_hours = (Candles(t, np.array(rolled(five, t.minutes))) for t in (Timeframe.M15, Timeframe.H4))
    return fifteen.closed_at(AS_OF).newest(WINDOW_15M), four_hours.closed_at(AS_OF).newest(WINDOW_4H)


def reflected(candles: Candles) -> Candles:
    """The same market upside down, around a price far above so that distances hardly change."""
    table = candles.table.copy()
    table[:, OPEN : CLOSE + 1] = 2_000.0 - table[:, [OPEN, OPEN + 2, OPEN + 1, CLOSE]]
    return Candles(candles.timeframe, table)


@pytest.mark.parametrize(("trend", "side"), [("up", Direction.LONG), ("down", Direction.SHORT)])
def test_the_whole_rule_says_100_and_its_mirror_image_the_other_side(trend: str, side: Direction):
    fifteen, four_hours = windows(trend)

    score = score_bias(fifteen, four_hours, candle_decides=True)
    mirror = score_bias(reflected(fifteen), reflected(four_hours), candle_decides=True)

    assert (score.direction, score.confidence) == (side, 100.0)
    assert {mirror.direction, score.direction} == {Direction.LONG, Direction.SHORT}
    assert mirror.confidence == 100.0
    assert sum(value for name, value in score.components.items() if name.startswith("score.")) == 100.0


def test_without_the_volume_it_is_not_the_whole_rule_but_enough_to_be_kept():
    fifteen, four_hours = windows("up")
    quiet = fifteen.table.copy()
    quiet[-1, VOLUME] = 10.0

    score = score_bias(Candles(Timeframe.M15, quiet), four_hours, candle_decides=False)

    assert (score.direction, score.confidence) == (Direction.LONG, 79.0)
    assert score.components["score.volume"] == 0.0


def test_a_listed_base_needs_a_candle_in_the_direction():
    fifteen, four_hours = windows("up")
    gap = fifteen.table.copy()
    gap[-1, OPEN] = gap[-1, CLOSE] * 1.0001

    loud = Candles(Timeframe.M15, gap)

    assert score_bias(loud, four_hours, candle_decides=True).confidence == 79.0
    assert score_bias(loud, four_hours, candle_decides=False).confidence == 100.0


def test_nothing_that_moves_nowhere_has_a_direction():
    fifteen, four_hours = windows("flat")

    assert score_bias(fifteen, four_hours, candle_decides=False).direction is Direction.NEUTRAL


def test_a_short_or_broken_window_is_refused_with_its_length():
    fifteen, four_hours = windows("up")
    hole = Candles(Timeframe.M15, np.delete(fifteen.table, 100, axis=0))

    with pytest.raises(
        InvalidValueError, match="not_enough_history: 240 consecutive 15m candles are required, was 139"
    ):
        score_bias(hole, four_hours, candle_decides=False)
    with pytest.raises(InvalidValueError, match="not_enough_history: 80 consecutive 4h candles are required, was 30"):
        score_bias(fifteen, four_hours.newest(30), candle_decides=False)
    with pytest.raises(InvalidValueError, match="not_enough_history"):
        score_bias(four_hours, fifteen, candle_decides=False)
