"""Alerts that fire once per move: a latch per (series, rule), released when its rule lets go. Pure.

A rule that holds is raised unless its latch is set; raising sets the latch. What a cap drops sets none, so that it is raised
at the next candle where it still holds. Some families' latches end with the UTC day.
"""

from collections.abc import Mapping, Sequence

import msgspec

from shared.domain.bias import Direction
from shared.domain.timeframe import DAY_MS


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that may be raised. family: what caps and the daily release count; shows: conditions whose values it tells."""

    key: str
    side: Direction
    family: str
    shows: tuple[str, ...] = ()


class LatchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """per_run_max: alerts of one series on one candle. per_family_max: of one family of these. daily: released each UTC day."""

    per_run_max: int = 8
    per_family_max: Mapping[str, int] = {}
    daily: tuple[str, ...] = ()


class Latches(msgspec.Struct, frozen=True, kw_only=True):
    """The latches of one series after the candle that closed at close_time_ms; `active` in the order they were set."""

    active: tuple[str, ...] = ()
    close_time_ms: int = 0


class LatchStep(msgspec.Struct, frozen=True, kw_only=True):
    """What one candle does. raised: keys; dropped: rules that held without a latch, which a cap kept back."""

    latches: Latches
    raised: tuple[str, ...]
    dropped: tuple[str, ...]


def step(
    before: Latches,
    *,
    holds: Sequence[str],
    resets: Sequence[str],
    close_time_ms: int,
    rules: Mapping[str, AlertRule],
    policy: LatchPolicy,
    allowed: bool = True,
) -> LatchStep:
    """The latches after a candle, and what it raises.

    holds:   keys that hold, most important first: caps keep the first ones. resets: keys that let go.
    allowed: False where a gate forbids to tell (stale, poor quality): nothing is raised, nothing latches.
    A candle that is not later than the last one changes nothing.
    """
    if close_time_ms <= before.close_time_ms:
        return LatchStep(latches=before, raised=(), dropped=())
    active = list(before.active)
    # The last candle before midnight closes at it and still belongs to the old day.
    if (close_time_ms - 1) // DAY_MS > (before.close_time_ms - 1) // DAY_MS:
        active = [key for key in active if key in rules and rules[key].family not in policy.daily]
    gone = set(resets) - set(holds)
    active = [key for key in active if key not in gone]
    raised: list[str] = []
    dropped: list[str] = []
    counts: dict[str, int] = {}
    for key in holds:
        if key in active:
            continue
        family = rules[key].family
        full = len(raised) >= policy.per_run_max or counts.get(family, 0) >= policy.per_family_max.get(family, 10**9)
        if full or not allowed:
            dropped.append(key)
            continue
        raised.append(key)
        counts[family] = counts.get(family, 0) + 1
    return LatchStep(
        latches=Latches(active=(*active, *raised), close_time_ms=close_time_ms),
        raised=tuple(raised),
        dropped=tuple(dropped),
    )
