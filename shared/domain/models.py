"""What the two models that pass the adaptive memory ask of an entry, unless their parameters say otherwise."""

from typing import Final

SCORE_MIN: Final = 75.0  # of 0..100
SIGNALS_PER_DAY_MAX: Final = 5  # of both models together, per UTC day
