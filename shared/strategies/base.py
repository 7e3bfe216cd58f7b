"""What every strategy is: a name, the windows it reads, checked parameters, and a pure verdict over many symbols."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.decisions import Action, Condition
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe

WINDOW_LENGTH: Final = 120

FloatGrid = npt.NDArray[np.float64]
ParameterValue = float | int | str | bool | None
_Parameters = TypeVar("_Parameters", bound=msgspec.Struct)


class WindowNeed(msgspec.Struct, frozen=True):
    """A series a strategy reads: the last `length` closed candles of a timeframe."""

    timeframe: Timeframe
    length: int = WINDOW_LENGTH


class WindowColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of n symbols, C-contiguous float64 of shape (n, length), oldest candle first; row i is one symbol."""

    open: FloatGrid
    high: FloatGrid
    low: FloatGrid
    close: FloatGrid
    volume: FloatGrid


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict on one window. trigger: the rule that fired, empty for `none`; levels in quote currency, entries only."""

    action: Action
    trigger: str
    conditions: tuple[Condition, ...]
    take_profit: float | None = None
    stop_loss: float | None = None


class Strategy(Protocol):
    """Evaluates closed candles. The first need's timeframe is the strategy's own: it decides when one of those closes."""

    @property
    def name(self) -> str:
        """As in the configuration, in keys and in messages."""

    @property
    def needs(self) -> tuple[WindowNeed, ...]:
        """Every series it reads, its own timeframe first."""

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """The parameters as used, defaults included, for the Decision's record."""

    def evaluate(self, windows: Mapping[Timeframe, WindowColumns]) -> Sequence[Outcome]:
        """One outcome per row, in order; a row's outcome never depends on the other rows."""


def checked_parameters(strategy: str, kind: type[_Parameters], given: Mapping[str, Any]) -> _Parameters:
    """The typed parameters; raises InvalidValueError naming an unknown parameter, a wrong type or a broken range."""
    known = [field.name for field in msgspec.structs.fields(kind)]
    place = f"parameters of strategy {strategy}"
    for name in given:
        if name not in known:
            raise InvalidValueError(f"parameter must be one of {', '.join(known)}, was {name!r} ({place})")
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        raise InvalidValueError(f"{error}, was {dict(given)!r} ({place})") from error
