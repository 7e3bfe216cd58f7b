"""The market's risk regime from DXY, BTC dominance and the FOMC calendar (SYSTEMS 4.4, each part normalised).

Score = 0.35 * clamp(-dDXY % / 0.35) + 0.35 * clamp(-dDominance points / 0.60) + 0.30 * f, each clamped to -1..1.
Above 0.5 risk_on, (0, 0.5] risk_small, [-0.5, 0] neutral, below -0.5 risk_off; a decision day is risk_off whatever the score.
"""

from typing import Final

import msgspec

from services.macro_engine.core.daily import DailySeries
from services.macro_engine.core.fomc import FomcCalendar
from shared.domain.errors import InvalidValueError
from shared.domain.regime import Regime
from shared.domain.timeframe import DAY_MS

DXY_WEIGHT: Final = 0.35
DXY_SIGNIFICANT_PCT: Final = 0.35
DOMINANCE_WEIGHT: Final = 0.35
DOMINANCE_SIGNIFICANT_POINTS: Final = 0.60
FOMC_WEIGHT: Final = 0.30
FAR: Final = 0.5
SOURCE_AGE_MS_MAX: Final = 7 * DAY_MS


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the regime is made of; None where a source is not there at all, with the reason in `missing` by its name."""

    dxy: DailySeries | None = None
    dominance: DailySeries | None = None
    fomc: FomcCalendar | None = None
    missing: dict[str, str] = {}


class RegimeReading(msgspec.Struct, frozen=True, kw_only=True):
    """The regime at an instant. components: `regime.<part>`; a missing part is absent and counts 0.

    missing: why a source does not count, by its name.
    """

    regime: Regime
    score: float
    components: dict[str, float]
    missing: dict[str, str]


def read_regime(sources: Sources, at_ms: int, *, age_ms_max: int = SOURCE_AGE_MS_MAX) -> RegimeReading:
    """The regime as known at the instant; age_ms_max: see DailySeries.change_at."""
    missing = dict(sources.missing)
    parts: dict[str, float] = {}
    shown: dict[str, float] = {}
    for name, series, weight, significant in (
        ("dxy", sources.dxy, DXY_WEIGHT, DXY_SIGNIFICANT_PCT),
        ("dominance", sources.dominance, DOMINANCE_WEIGHT, DOMINANCE_SIGNIFICANT_POINTS),
    ):
        try:
            change = _change(series, at_ms, age_ms_max)
        except InvalidValueError as error:
            missing.setdefault(name, str(error))
            continue
        shown[f"regime.{name}_change"] = change
        parts[name] = weight * max(-1.0, min(1.0, -change / significant))
    factor = sources.fomc.factor(at_ms) if sources.fomc else None
    if factor is None:
        missing.setdefault("fomc", "the calendar holds no day from here on")
    else:
        shown["regime.fomc_factor"] = factor
        parts["fomc"] = FOMC_WEIGHT * factor
    score = sum(parts.values())
    decision_day = sources.fomc is not None and sources.fomc.is_decision_day(at_ms)
    regime = Regime.UNKNOWN if not parts else Regime.RISK_OFF if decision_day else regime_of(score)
    components = {
        "regime.score": score,
        "regime.size_multiplier": regime.size_multiplier,
        **{f"regime.{name}": value for name, value in parts.items()},
        **shown,
    }
    return RegimeReading(regime=regime, score=score, components=components, missing=missing)


def regime_of(score: float) -> Regime:
    """The regime of a score, decision days aside."""
    if score > FAR:
        return Regime.RISK_ON
    if score > 0:
        return Regime.RISK_SMALL
    return Regime.NEUTRAL if score >= -FAR else Regime.RISK_OFF


def _change(series: DailySeries | None, at_ms: int, age_ms_max: int) -> float:
    if series is None:
        raise InvalidValueError("not configured")
    change = series.change_at(at_ms, age_ms_max=age_ms_max)
    return change.percent if series.name == "dxy" else change.points
