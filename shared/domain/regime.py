"""The market's risk regimes and how much of a usual size each allows (SYSTEMS 4.4)."""

from enum import StrEnum
from typing import Final


class Regime(StrEnum):
    """How much risk the market rewards; `unknown` when nothing is known about it."""

    RISK_ON = "risk_on"
    RISK_SMALL = "risk_small"
    NEUTRAL = "neutral"
    RISK_OFF = "risk_off"
    UNKNOWN = "unknown"

    @property
    def size_multiplier(self) -> float:
        """Share of the usual size: 1, 0.5, 0, 0, and 1 where the regime is unknown. Shown; gates nothing yet."""
        return _MULTIPLIER[self]


_MULTIPLIER: Final = {
    Regime.RISK_ON: 1.0,
    Regime.RISK_SMALL: 0.5,
    Regime.NEUTRAL: 0.0,
    Regime.RISK_OFF: 0.0,
    Regime.UNKNOWN: 1.0,
}
