"""Checks and types that every indicator shares."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.domain.checks import require

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WINDOW_MAX: Final = 100_000  # a ring of this length is still under 2 MB; more is a mistake


class Lines(NamedTuple):
    """An oscillator, its signal and their difference, each of shape (n,)."""

    line: FloatArray
    signal: FloatArray
    histogram: FloatArray


class Bands(NamedTuple):
    """A channel about the price, each of shape (n,), quote currency."""

    upper: FloatArray
    middle: FloatArray
    lower: FloatArray


class Directional(NamedTuple):
    """Wilder's directional indicators and their average, each of shape (n,), 0..100."""

    plus_di: FloatArray
    minus_di: FloatArray
    adx: FloatArray


class Trend(NamedTuple):
    """A line that follows the price and the direction it stands for, each of shape (n,): 1 up, -1 down."""

    line: FloatArray
    direction: FloatArray


def series(values: Any, name: str) -> FloatArray:
    """The values as one contiguous float64 row; raises InvalidValueError for what is no row of numbers, or infinite.

    NaN is allowed: it marks a value that is not known.
    """
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    require(array.ndim == 1, f"{name} must be one row of numbers", values, "indicators")
    infinite = np.isinf(array)
    if infinite.any():
        place = int(infinite.argmax())
        require(False, f"{name} must hold no infinite value", float(array[place]), f"indicators, index {place}")
    return array


def together(**columns: Any) -> list[FloatArray]:
    """Each column as `series` makes it; raises InvalidValueError where one is not as long as the first."""
    rows = [series(values, name) for name, values in columns.items()]
    for name, row in zip(columns, rows, strict=True):
        require(len(row) == len(rows[0]), f"{name} must have {len(rows[0])} values", len(row), "indicators")
    return rows


def times(open_time_ms: Any, count: int) -> IntArray:
    """Open times as one row of int64; raises InvalidValueError where they are none, too few, or run backwards."""
    array = np.asarray(open_time_ms)
    usable = array.ndim == 1 and (array.dtype.kind in "iu" or not len(array))
    require(usable, "open_time_ms must be one row of whole milliseconds", open_time_ms, "indicators")
    require(len(array) == count, f"open_time_ms must have {count} values", len(array), "indicators")
    back = np.flatnonzero(np.diff(array) < 0)
    require(not len(back), "open_time_ms must not run backwards, at index", back[:1].tolist(), "indicators")
    return np.ascontiguousarray(array, dtype=np.int64)


def check_window(value: Any, name: str, indicator: str, *, least: int = 1) -> None:
    """A number of candles: a whole number, least..WINDOW_MAX."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(whole and least <= value <= WINDOW_MAX, f"{name} must be {least}..{WINDOW_MAX}", value, indicator)


def check_factor(value: Any, name: str, indicator: str) -> None:
    """A multiplier: finite and above zero."""
    number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    require(bool(number and np.isfinite(value) and value > 0), f"{name} must be finite and > 0", value, indicator)


def choice(value: str, choices: dict[str, int], name: str, indicator: str) -> int:
    """The kernel's number of a named choice."""
    require(value in choices, f"{name} must be one of {', '.join(choices)}", value, indicator)
    return choices[value]


def empty(like: FloatArray, count: int) -> list[FloatArray]:
    """Room for `count` outputs."""
    return [np.empty_like(like) for _ in range(count)]
