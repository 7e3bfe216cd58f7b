"""Whatever happens later, an evaluation as of a time and the regime at an instant stay what they were."""

from datetime import date, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.macro_engine.core.candles import CLOSE, OPEN, TIME, VOLUME, Candles, rolled_up
from services.macro_engine.core.daily import DailyRow, DailySeries
from services.macro_engine.core.evaluate import STEP_MS, PairCandles, evaluate
from services.macro_engine.core.fomc import FomcCalendar
from services.macro_engine.core.regime import Sources, read_regime
from shared.domain.timeframe import DAY_MS, Timeframe

START = 1_700_006_400_000 // 14_400_000 * 14_400_000
COUNT = 22 * 288  # 5m candles


def walk(seed: int) -> Candles:
    chance = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(chance.normal(0.00002, 0.0008, COUNT)))
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    times = START + np.arange(COUNT) * Timeframe.M5.duration_ms
    return Candles(Timeframe.M5, np.column_stack([times, opened, high, low, close, chance.exponential(5, COUNT)]))


def known_from(five: Candles) -> PairCandles:
    """As a venue hands them out that does not drop what is still open: the last ones are unfinished."""
    rolled = []
    for timeframe in (Timeframe.M15, Timeframe.H4):
        forming = np.array([[five.table[-1, TIME] + 10 * DAY_MS, *five.table[-1, OPEN:]]])
        padded = Candles(Timeframe.M5, np.concatenate([five.table, forming]))
        rolled.append(rolled_up(padded, timeframe))
    return PairCandles(five=five, fifteen=rolled[0], four_hours=rolled[1])


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(15 * 96, 22 * 96 - 1), factor=st.floats(0.2, 5))
def test_no_candle_that_closes_later_is_read(seed: int, number: int, factor: float):
    as_of_ms = START + number * STEP_MS
    five = walk(seed)
    later = five.table[:, TIME] >= as_of_ms
    other = five.table.copy()
    other[later, OPEN : CLOSE + 1] *= factor
    other[later, VOLUME] += 1_000 * factor
    versions = [known_from(five), known_from(Candles(Timeframe.M5, other)), known_from(five.closed_at(as_of_ms))]

    scores = [evaluate(known, as_of_ms, age_ms_max=0, candle_decides=True) for known in versions]

    assert scores[0] == scores[1] == scores[2]


@settings(max_examples=60)
@given(
    closes=st.lists(st.floats(50, 150), min_size=4, max_size=30),
    at_hours=st.floats(0, 24 * 32),
    others=st.lists(st.floats(50, 150), min_size=30, max_size=30),
)
def test_no_daily_close_counts_before_its_day_is_over(closes: list[float], at_hours: float, others: list[float]):
    first = date(2024, 2, 1)
    at_ms = (first.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS + round(at_hours * 3_600_000)
    rows = [DailyRow(first + timedelta(days=number), close) for number, close in enumerate(closes)]
    changed = [row if row.counts_from_ms <= at_ms else DailyRow(row.date, others[i]) for i, row in enumerate(rows)]
    calendar = FomcCalendar([first + timedelta(days=12), first + timedelta(days=90)])

    readings = [
        read_regime(Sources(dxy=DailySeries(r, "dxy"), dominance=DailySeries(r, "dominance"), fomc=calendar), at_ms)
        for r in (rows, changed)
    ]

    assert readings[0] == readings[1]
