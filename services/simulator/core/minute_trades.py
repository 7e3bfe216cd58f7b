"""The trades of one minute of one symbol, drawn so that they fold to exactly what the plan says."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from services.simulator.core.day_plan import DayPlan, FloatArray, IntArray
from services.simulator.core.randomness import HashedIds, generator

MINUTE_MS = 60_000
# Tick directions, by index: Bybit's `L`.
TICK_DIRECTIONS = ("PlusTick", "ZeroPlusTick", "MinusTick", "ZeroMinusTick")
# A sequence number is this many per millisecond, so that a late trade finds a free one in its place.
SEQUENCES_PER_MS = 4
_NEW_EVENT_SHARE = 0.6
_BUY_SHARE = 0.5
_PAIR = 2


class MinuteTrades(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of one minute, oldest first; row i is one trade. All columns have the same length, 0 included.

    at_ms: market time of the match; rows of one match event share at_ms and sequence.
    """

    minute: int
    at_ms: IntArray
    ticks: IntArray
    steps: IntArray
    is_buy: npt.NDArray[np.bool_]
    direction: IntArray
    sequence: IntArray
    trade_ids: Sequence[str]


def event_ends(trades: MinuteTrades) -> list[int]:
    """The row after the last one of each match event, oldest first."""
    changes = np.flatnonzero(np.diff(trades.sequence)) + 1
    return [*changes.tolist(), int(trades.sequence.size)]


def empty_minute(minute: int) -> MinuteTrades:
    """A minute in which nothing traded."""
    none = np.zeros(0, dtype=np.int64)
    return MinuteTrades(
        minute=minute,
        at_ms=none,
        ticks=none,
        steps=none,
        is_buy=none.astype(np.bool_),
        direction=none,
        sequence=none,
        trade_ids=(),
    )


def draw_minute(plan: DayPlan, index: int, seed: int, symbol: str) -> MinuteTrades:
    """Trades of minute `index` (0..1439) of the planned day."""
    minute = plan.day * plan.close.size + index
    count = int(plan.trade_count[index])
    if count == 0:
        return empty_minute(minute)
    rng = generator(seed, symbol, "minute", minute)
    previous = int(plan.previous_close[index])
    ticks = _prices(rng, previous, plan, index)
    opens_event = rng.random(count) < _NEW_EVENT_SHARE
    opens_event[0] = True
    event = np.cumsum(opens_event) - 1
    events = int(event[-1]) + 1
    # Distinct, increasing times without rejection: sorted numbers plus their rank.
    times = np.sort(rng.integers(0, MINUTE_MS - events + 1, events)) + np.arange(events)
    at_ms = minute * MINUTE_MS + times[event]
    return MinuteTrades(
        minute=minute,
        at_ms=at_ms,
        ticks=ticks,
        steps=_quantities(rng, int(plan.volume[index]), count),
        is_buy=_sides(rng, ticks, previous, opens_event, event),
        direction=tick_directions(ticks, previous, rising=bool(plan.rising[index])),
        sequence=at_ms * SEQUENCES_PER_MS,
        trade_ids=HashedIds(seed, symbol, minute, count),
    )


def _prices(rng: np.random.Generator, previous: int, plan: DayPlan, index: int) -> IntArray:
    """A bridge from the previous close to the close that touches high and low."""
    count = int(plan.trade_count[index])
    close, high, low = int(plan.close[index]), int(plan.high[index]), int(plan.low[index])
    share: FloatArray = np.arange(1, count + 1) / count
    wander = np.cumsum(rng.standard_normal(count)) / np.sqrt(count)
    bridge = (wander - wander[-1] * share) * (high - low) * 0.3
    ticks: IntArray = np.clip(np.rint(previous + (close - previous) * share + bridge), low, high).astype(np.int64)
    if count == _PAIR:
        ticks[0] = previous
    elif count > _PAIR:
        early, late = np.sort(rng.permutation(count - 1)[:2])
        high_at, low_at = (late, early) if close >= previous else (early, late)
        ticks[high_at], ticks[low_at] = high, low
    ticks[-1] = close
    return ticks


def _quantities(rng: np.random.Generator, volume: int, count: int) -> IntArray:
    """Positive steps that sum to the volume exactly; a few large trades among many small."""
    weight = rng.exponential(size=count) ** 1.5 + 1e-9
    steps: IntArray = 1 + np.floor(weight / weight.sum() * (volume - count)).astype(np.int64)
    steps[rng.integers(count)] += volume - int(steps.sum())
    return steps


def _sides(
    rng: np.random.Generator, ticks: IntArray, previous: int, opens_event: npt.NDArray[np.bool_], event: IntArray
) -> npt.NDArray[np.bool_]:
    """One taker side per match event: the way the price went, or by chance when it stood."""
    last_of_event = np.append(np.flatnonzero(opens_event)[1:] - 1, ticks.size - 1)
    ended = ticks[last_of_event]
    change = ended - np.concatenate([[previous], ended[:-1]])
    by_event = np.where(change == 0, rng.random(change.size) < _BUY_SHARE, change > 0)
    return np.asarray(by_event[event], dtype=np.bool_)


def tick_directions(ticks: IntArray, previous: int, *, rising: bool) -> IntArray:
    """Index into TICK_DIRECTIONS of each trade; an unchanged price keeps the sign of the last change."""
    sign = np.sign(ticks - np.concatenate([[previous], ticks[:-1]]))
    last_change = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.size), -1))
    carried = np.where(last_change >= 0, sign[np.maximum(last_change, 0)], 1 if rising else -1)
    return np.asarray(np.where(carried > 0, 0, 2) + (sign == 0), dtype=np.int64)
