"""One indicator of one series, one candle at a time: the values its series has there, at O(1) per candle."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from shared.domain.checks import require
from shared.indicators.indicator import Indicator, ParameterValue


class Stream:
    """Takes the candles of one series in order; a candle costs the same however many came before.

    Where a window is read the cost is O(1) on average: once in a window's length its sums are taken anew, so that no
    rounding survives. The values are those of the series to the bit, or within rounding where `indicator.exact` is False.
    """

    def __init__(self, indicator: Indicator, **parameters: ParameterValue) -> None:
        """A fresh start; raises InvalidValueError for an indicator without a stream and for wrong parameters."""
        require(bool(indicator.state), "indicator must have a stream", indicator.label, "streams")
        used = indicator.with_defaults(parameters)
        # An empty series checks the parameters and computes nothing.
        indicator.compute({name: [] for name in indicator.inputs}, **used)
        kernels = import_module(f"shared.indicators.kernels.{indicator.family}")
        size: Any = getattr(kernels, indicator.state[0])
        if callable(size):
            size = size(*(used[name] for name in indicator.state[1:]))
        self.indicator = indicator
        self._advance = getattr(kernels, f"{indicator.name}_advance")
        self._state = np.zeros(size)
        self._candle = {
            name: np.zeros(1, np.int64 if name == "open_time_ms" else np.float64) for name in indicator.inputs
        }
        self._values = [np.zeros(1) for _ in indicator.outputs]
        numbers = (_number(indicator, name, value) for name, value in used.items())
        self._arguments = (*self._candle.values(), *numbers, self._state, *self._values)

    def update(self, candle: Mapping[str, float]) -> tuple[float, ...]:
        """The outputs at this candle, the next one after all before; NaN while warming up.

        candle: the indicator's inputs by name, others are ignored. Raises InvalidValueError for an infinite value.
        """
        for name, cell in self._candle.items():
            cell[0] = candle[name]
            require(not np.isinf(cell[0]), f"{name} must not be infinite", candle[name], self.indicator.label)
        self._advance(*self._arguments)
        return tuple(value.item() for value in self._values)


def _number(indicator: Indicator, name: str, value: ParameterValue) -> int | float:
    if name in indicator.choices:
        return indicator.choices[name][str(value)]
    return float(value) if isinstance(indicator.parameters[name], float) else int(value)
