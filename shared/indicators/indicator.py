"""What an indicator is: what it reads, its parameters, what it gives, when its values begin, where it comes from."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from shared.domain.checks import require
from shared.indicators import checked
from shared.indicators.checked.values import FloatArray

ParameterValue = int | float | str


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator in one seeding."""

    name: str  # of the function in `checked` and of the kernel
    family: str  # module in `kernels`
    inputs: tuple[str, ...]  # columns of candles
    parameters: dict[str, ParameterValue]  # defaults, in the order of the function and the kernel
    outputs: tuple[str, ...]
    first: Callable[..., tuple[int, ...]]  # parameters -> per output the index of its first value
    seeding: str
    source: str
    choices: dict[str, dict[str, int]] = {}  # the kernel's numbers of parameters that are words
    state: tuple[
        str, ...
    ] = ()  # the kernel module's length of the state, and parameters it takes; () where no stream exists
    exact: bool = True  # whether the stream gives the bits of the series; else it is within rounding

    @property
    def label(self) -> str:
        """The name, with the seeding or kind where there are several."""
        words = [str(value) for value in self.parameters.values() if isinstance(value, str)]
        return f"{self.name} ({', '.join(words)})" if words else self.name

    def with_defaults(self, given: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
        """All parameters in order; raises InvalidValueError for an unknown one."""
        for name in given:
            known = ", ".join(self.parameters) or "none"
            require(name in self.parameters, f"parameter must be one of {known}", name, self.name)
        return {**self.parameters, **given}

    def candles_needed(self, **given: ParameterValue) -> int:
        """How many candles the slowest output needs for its first value."""
        return 1 + max(self.first(**self.with_defaults(given)))

    def compute(self, columns: Mapping[str, Any], **given: ParameterValue) -> tuple[FloatArray, ...]:
        """The outputs over columns of candles, each of shape (n,); raises InvalidValueError as `checked` does."""
        function = getattr(checked, self.name)
        result = function(*(columns[name] for name in self.inputs), **self.with_defaults(given))
        return (result,) if isinstance(result, np.ndarray) else tuple(result)
