"""Checks that domain types run once, when a value enters."""

import math
from functools import lru_cache
from typing import Final

from shared.domain.errors import InvalidValueError

FORBIDDEN_IN_NAMES: Final = "#:"
EPOCH_MS_MAX: Final = 4_102_444_800_000  # 2100-01-01; larger values are seconds or nanoseconds by mistake


def require(condition: bool, rule: str, value: object, place: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise InvalidValueError naming rule, value and place unless the condition holds."""
    if not condition:
        raise InvalidValueError(f"{rule}, was {value!r} ({place})")


@lru_cache(maxsize=10_000)
def is_name(value: str) -> bool:
    """Whether it may be a venue, symbol or strategy: not empty, printable, without '#' and ':', which row keys use."""
    return bool(value) and value.isprintable() and not any(mark in value for mark in FORBIDDEN_IN_NAMES)


def check_name(value: str, field: str, place: str) -> None:
    """Raise InvalidValueError unless it `is_name`."""
    if not is_name(value):
        raise InvalidValueError(f"{field} must be printable text without '#' or ':', was {value!r} ({place})")


def check_price(value: float, field: str, place: str) -> None:
    """A price in quote currency: finite and above zero."""
    require(math.isfinite(value) and value > 0, f"{field} must be finite and > 0", value, place)


def check_time_ms(value: int, field: str, place: str) -> None:
    """A UTC epoch time in milliseconds."""
    require(0 <= value < EPOCH_MS_MAX, f"{field} must be UTC epoch milliseconds", value, place)
