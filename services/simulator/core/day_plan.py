"""What happens in each minute of one day of one symbol, decided before any trade is drawn.

The plan fixes close, high, low, volume and number of trades of every minute; minute_trades.py then draws trades that
fold to exactly these numbers. So a kline of any past day costs one vectorised plan and no trade, and still agrees
with the trades of the days that have them.

Sharp moves are scheduled: in each slot of `slot_minutes` one capitulation (or blow-off) of six minutes whose last
minute, the climax, carries about six times the usual volume, so that RSI(14) stands beyond 25 or 75 there. It is
followed by a rebound of at least 1.7 % or a continuation of at least 0.95 %.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from services.simulator.core.instruments import Instrument
from services.simulator.core.randomness import generator, unit_interval

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

DAY_MINUTES = 1_440
SLOTS_ALLOWED = (20, 24, 30, 36, 40, 48, 60, 72, 80, 90, 120, 240)
APPROACH_MINUTES = 6
EVENT_MINUTES = 14
_REBOUND_SHARE = 0.6
_UP_SHARE = 0.5
_JUMP_SHARE = 0.0015  # of minutes
_BURST_SHARE = 0.004  # of minutes
_QUIET_BELOW_TRADES = 8.0
# Slow waves of the price level around the usual price: period in days, amplitude in log price.
_LEVEL_WAVES = ((64, 0.20), (16, 0.10), (4, 0.05), (1, 0.015))


class DayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Minute columns of one UTC day, each of shape (1440,), prices in ticks, volume in steps.

    close:  carried forward through minutes without a trade; previous_close[i] == close[i - 1] over midnight too.
    high, low: of the trades of the minute; equal to close where trade_count is 0.
    rising: whether the last price change before the minute went up; only trade frames need it.
    """

    day: int
    previous_close: IntArray
    close: IntArray
    high: IntArray
    low: IntArray
    volume: IntArray
    trade_count: IntArray
    rising: npt.NDArray[np.bool_]


class _Shape(msgspec.Struct):
    """Columns the scheduled moves write into before prices are made; shape (1440,)."""

    step: FloatArray
    volume_factor: FloatArray
    count_factor: FloatArray
    minimum_trades: IntArray
    inside: npt.NDArray[np.bool_]
    climax: npt.NDArray[np.bool_]


def level_log(instrument: Instrument, seed: int, day: int) -> float:
    """Natural log of the price at the start of a day; bounded waves around the usual price."""
    total = float(np.log(instrument.price))
    for period_days, amplitude in _LEVEL_WAVES:
        knot, offset = divmod(day, period_days)
        before = unit_interval(seed, instrument.symbol, "level", period_days, knot) * 2 - 1
        after = unit_interval(seed, instrument.symbol, "level", period_days, knot + 1) * 2 - 1
        share = offset / period_days
        total += amplitude * (before + (after - before) * share * share * (3 - 2 * share))
    return total


def event_starts(instrument: Instrument, seed: int, day: int, slot_minutes: int) -> IntArray:
    """First minute of each scheduled move that starts in this day's slots; may lie up to one slot past the day."""
    slots = DAY_MINUTES // slot_minutes
    rng = generator(seed, instrument.symbol, "events", day)
    jitter = rng.integers(0, 2, slots)
    phase = int(instrument.event_phase * slot_minutes)
    return np.arange(slots, dtype=np.int64) * slot_minutes + phase + jitter


def _event_steps(seed: int, symbol: str, day: int, count: int) -> FloatArray:
    """Log price steps of each move, shape (count, 14): six of approach, then rebound or continuation."""
    rng = generator(seed, symbol, "moves", day)
    direction = np.where(rng.random(count) < _UP_SHARE, -1.0, 1.0)
    approach = rng.uniform(0.0030, 0.0042, (count, APPROACH_MINUTES))
    approach[:, -1] *= 1.5
    rebounds = rng.random(count) < _REBOUND_SHARE
    rebound = np.zeros((count, EVENT_MINUTES - APPROACH_MINUTES))
    rebound[:, :5] = -rng.uniform(0.0178, 0.0225, (count, 1)) * np.array([0.15, 0.2, 0.25, 0.25, 0.15])
    continuation = np.zeros_like(rebound)
    continuation[:, :3] = rng.uniform(0.0098, 0.0130, (count, 1)) / 3
    continuation[:, 3:] = -0.0015
    after = np.where(rebounds[:, None], rebound, continuation)
    return np.asarray(np.hstack([approach, after]) * direction[:, None], dtype=np.float64)


def _shape_of_day(instrument: Instrument, seed: int, day: int, slot_minutes: int) -> _Shape:
    shape = _Shape(
        step=np.zeros(DAY_MINUTES),
        volume_factor=np.ones(DAY_MINUTES),
        count_factor=np.ones(DAY_MINUTES),
        minimum_trades=np.zeros(DAY_MINUTES, dtype=np.int64),
        inside=np.zeros(DAY_MINUTES, dtype=np.bool_),
        climax=np.zeros(DAY_MINUTES, dtype=np.bool_),
    )
    volume = np.array([0.7] * (APPROACH_MINUTES - 1) + [6.5, 1.6, 1.3] + [1.0] * 6)
    count = np.array([1.2] * (APPROACH_MINUTES - 1) + [4.0, 1.6, 1.3] + [1.0] * 6)
    # A move that began late on the day before reaches into this one.
    for source_day, shift in ((day - 1, -DAY_MINUTES), (day, 0)):
        starts = event_starts(instrument, seed, source_day, slot_minutes) + shift
        steps = _event_steps(seed, instrument.symbol, source_day, starts.size)
        minute = starts[:, None] + np.arange(EVENT_MINUTES)
        today = (minute >= 0) & (minute < DAY_MINUTES)
        at = minute[today]
        shape.step[at] = steps[today]
        shape.volume_factor[at] = np.broadcast_to(volume, minute.shape)[today]
        shape.count_factor[at] = np.broadcast_to(count, minute.shape)[today]
        shape.minimum_trades[at] = 4
        shape.inside[at] = True
        climax = starts + APPROACH_MINUTES - 1
        shape.climax[climax[(climax >= 0) & (climax < DAY_MINUTES)]] = True
    shape.minimum_trades[shape.climax] = 8
    shape.minimum_trades[-1] = np.maximum(shape.minimum_trades[-1], 1)  # the next day starts at a traded price
    return shape


def _regimes(rng: np.random.Generator, volatility: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Per minute: noise, drift (log price per minute) and activity; a regime lasts half an hour."""
    blocks = DAY_MINUTES // 30
    kind = rng.choice(3, blocks, p=[0.55, 0.25, 0.20])  # calm, trend, volatile
    noise = np.array([0.00030, 0.00045, 0.00080])[kind] * volatility
    drift = np.where(kind == 1, rng.choice([-1.0, 1.0], blocks) * 0.00012, 0.0)
    activity = np.array([0.8, 1.0, 1.5])[kind]
    return np.repeat(noise, 30), np.repeat(drift, 30), np.repeat(activity, 30)


def plan_day(instrument: Instrument, seed: int, day: int, slot_minutes: int) -> DayPlan:
    """The plan of one UTC day (days since 1970-01-01); depends on nothing but its arguments."""
    rng = generator(seed, instrument.symbol, "day", day)
    shape = _shape_of_day(instrument, seed, day, slot_minutes)
    noise, drift, activity = _regimes(rng, instrument.volatility)
    normal = rng.standard_normal((3, DAY_MINUTES))
    free = ~shape.inside
    jump = np.where(rng.random(DAY_MINUTES) < _JUMP_SHARE, rng.uniform(-0.006, 0.006, DAY_MINUTES), 0.0)
    increment = np.where(free, noise * normal[0] + drift + jump, shape.step + 0.0002 * normal[0])
    start, end = level_log(instrument, seed, day), level_log(instrument, seed, day + 1)
    increment += (end - start - increment.sum()) / DAY_MINUTES

    burst = free & (rng.random(DAY_MINUTES) < _BURST_SHARE)
    count, volume = _activity(instrument, rng, shape, activity * np.where(burst, 4.0, 1.0))
    ideal = np.maximum(1, np.rint(np.exp(start + np.cumsum(increment)) / instrument.tick)).astype(np.int64)
    # The last minute lands on the next day's start by construction; write it so, free of rounding of the sum.
    ideal[-1] = max(1, round(float(np.exp(end)) / instrument.tick))
    first = max(1, round(float(np.exp(start)) / instrument.tick))
    close = _carried_forward(ideal, count, first)
    previous = np.concatenate([[first], close[:-1]])
    wick = np.abs(normal[1:]) * noise * 0.4
    high, low = _extremes(previous, close, count, wick)
    return DayPlan(
        day=day,
        previous_close=previous,
        close=close,
        high=high,
        low=low,
        volume=volume,
        trade_count=count,
        rising=np.concatenate([[True], previous[1:] >= previous[:-1]]),
    )


def _activity(
    instrument: Instrument, rng: np.random.Generator, shape: _Shape, activity: FloatArray
) -> tuple[IntArray, IntArray]:
    """Number of trades and traded steps of each minute; a minute without trades has neither."""
    usual = instrument.trades_per_minute
    count = rng.poisson(usual * activity * shape.count_factor).astype(np.int64)
    count = np.maximum(count, shape.minimum_trades)
    mean_steps = instrument.notional_per_minute / instrument.price / instrument.step
    # A quiet symbol's volume follows its few trades, except in the scheduled moves, whose volume is the point.
    follows_count = np.where(shape.inside | (usual >= _QUIET_BELOW_TRADES), 1.0, count / usual)
    spread = np.where(shape.inside, 0.12, 0.25)
    factor = np.exp(spread * rng.standard_normal(DAY_MINUTES)) * shape.volume_factor
    factor *= np.where(shape.inside, 1.0, activity)
    volume = np.rint(mean_steps * factor * follows_count).astype(np.int64)
    return count, np.where(count > 0, np.maximum(volume, count), 0)


def _carried_forward(ideal: IntArray, count: IntArray, first: int) -> IntArray:
    last_traded = np.maximum.accumulate(np.where(count > 0, np.arange(DAY_MINUTES), -1))
    return np.where(last_traded >= 0, ideal[np.maximum(last_traded, 0)], first)


def _extremes(previous: IntArray, close: IntArray, count: IntArray, wick: FloatArray) -> tuple[IntArray, IntArray]:
    """High and low of the trades: one trade has one price, two start at the previous close, more may overshoot."""
    top, bottom = np.maximum(previous, close), np.minimum(previous, close)
    reach = np.rint(wick * close).astype(np.int64)
    # By number of trades: 0 or 1, 2, more.
    row = np.minimum(np.maximum(count, 1), 3) - 1
    high = np.choose(row, (close, top, top + reach[0]))
    low = np.choose(row, (close, bottom, np.maximum(1, bottom - reach[1])))
    return high, low
