"""What every strategy is: a name, the windows it reads, checked parameters, and a pure verdict over many symbols."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.checks import require
from shared.domain.decisions import Action, Condition, MemberVerdict, Sizing
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies.latches import AlertRule, LatchPolicy

WINDOW_LENGTH: Final = 120

FloatGrid = npt.NDArray[np.float64]
ParameterValue = float | int | str | bool | None
_Parameters = TypeVar("_Parameters", bound=msgspec.Struct)


class WindowNeed(msgspec.Struct, frozen=True):
    """A series a strategy reads: the last `length` closed candles of a timeframe.

    optional: the strategy decides without it, too, and says so; its rows are then all NaN.
    """

    timeframe: Timeframe
    length: int = WINDOW_LENGTH
    optional: bool = False


class WindowColumns(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of n symbols, C-contiguous float64 of shape (n, length), oldest candle first; row i is one symbol.

    open_time_ms: int64 of the same shape, for strategies that know days; None where the caller has none.
    """

    open: FloatGrid
    high: FloatGrid
    low: FloatGrid
    close: FloatGrid
    volume: FloatGrid
    open_time_ms: npt.NDArray[np.int64] | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A verdict on one window. trigger: the rule that fired, empty for `none`; levels in quote currency, entries only.

    score and components: 0-100 and its parts. trail_pct: how far a stop follows the best price. holds, resets: keys of alert rules that hold here, and of those that let go.
    """

    action: Action
    trigger: str
    conditions: tuple[Condition, ...]
    take_profit: float | None = None
    stop_loss: float | None = None
    score: float | None = None
    components: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    members: tuple[MemberVerdict, ...] = ()
    sizing: Sizing | None = None
    trail_pct: float | None = None
    holds: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of n rows as columns. values, thresholds, passed: (n, tests). sides: (n,), of the entry that fires: 1 long, -1 short, 0 none."""

    names: tuple[str, ...]
    values: FloatGrid
    thresholds: FloatGrid
    passed: npt.NDArray[np.bool_]
    sides: npt.NDArray[np.int64]

    @property
    def asks(self) -> npt.NDArray[np.bool_]:
        """(n,), whether the outcome is any but `none`."""
        asks: npt.NDArray[np.bool_] = self.sides != 0
        return asks


_NOT_JUDGED: Final = Outcome(
    action=Action.NONE, trigger="", conditions=(), score=0.0, notes=("not_finite: the window holds NaN or Inf",)
)


class Strategy(Protocol):
    """Evaluates closed candles. The first need's timeframe is the strategy's own: it decides when one of those closes."""

    @property
    def name(self) -> str:
        """Its kind, as the registry knows it."""

    @property
    def needs(self) -> tuple[WindowNeed, ...]:
        """Every series it reads, its own timeframe first."""

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """The parameters as used, defaults included, for the Decision's record."""

    @property
    def memory_model(self) -> str | None:
        """Its name in the adaptive memory, whose gates its entries then pass; None: none of it."""

    @property
    def alert_rules(self) -> Mapping[str, AlertRule]:
        """By key, of a strategy that raises alerts; empty for others."""

    @property
    def latch_policy(self) -> LatchPolicy:
        """How its alerts are capped."""

    def evaluate(self, windows: Mapping[Timeframe, WindowColumns]) -> Sequence[Outcome]:
        """One outcome per row, in order; a row's outcome never depends on the other rows."""


class BaseStrategy:
    """What strategies share: checked parameters, windows, no memory, no alerts."""

    NAME: ClassVar[str]
    PARAMETERS: ClassVar[type[msgspec.Struct]]
    LENGTH: ClassVar[int] = WINDOW_LENGTH

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        self.own: Any = checked_parameters(self.NAME, self.PARAMETERS, parameters)
        self.parameters: dict[str, ParameterValue] = msgspec.structs.asdict(self.own)
        self.needs: tuple[WindowNeed, ...] = self.windows_needed(timeframe)
        self.memory_model: str | None = None
        self.alert_rules: Mapping[str, AlertRule] = {}
        self.latch_policy = LatchPolicy()

    @property
    def name(self) -> str:
        """Its kind."""
        return self.NAME

    def windows_needed(self, timeframe: Timeframe) -> tuple[WindowNeed, ...]:
        """One window of LENGTH candles, unless a strategy says otherwise."""
        return (WindowNeed(timeframe, self.LENGTH),)

    def evaluate(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One outcome per row; a row that holds NaN or Inf is not judged, its outcome is none and says so."""
        check_history(self.NAME, self.needs, windows)
        finite = finite_rows(windows, self.needs)
        if finite.all():
            return self.outcomes(windows)
        rows = np.flatnonzero(finite).tolist()
        picked = {timeframe: picked_rows(columns, rows) for timeframe, columns in windows.items()}
        found = dict(zip(rows, self.outcomes(picked) if rows else [], strict=True))
        return [found.get(row, _NOT_JUDGED) for row in range(len(finite))]

    def outcomes(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One outcome per row of windows that are whole and finite."""
        raise NotImplementedError


class StrategyParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a strategy. RANGES: lowest and highest value by name, tested when built; None values pass."""

    STRATEGY: ClassVar[str]
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        place = f"parameters of strategy {self.STRATEGY}"
        for name, (low, high) in self.RANGES.items():
            value = getattr(self, name)
            if value is not None:
                require(low <= value <= high, f"{name} must be {low:g}..{high:g}", value, place)
        self.check(place)

    def check(self, place: str) -> None:
        """Rules between parameters; raises InvalidValueError."""


def checked_parameters(strategy: str, kind: type[_Parameters], given: Mapping[str, Any]) -> _Parameters:
    """The typed parameters; raises InvalidValueError naming an unknown parameter, a wrong type or a broken range."""
    known = kind.__struct_fields__
    place = f"parameters of strategy {strategy}"
    for name in given:
        if name not in known:
            raise InvalidValueError(f"parameter must be one of {', '.join(known)}, was {name!r} ({place})")
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        raise InvalidValueError(f"{error}, was {dict(given)!r} ({place})") from error


def check_history(strategy: str, needs: Sequence[WindowNeed], windows: Mapping[Timeframe, WindowColumns]) -> None:
    """Raises InvalidValueError `not_enough_history` with the number missing where a window is absent or too short."""
    for need in needs:
        columns = windows.get(need.timeframe)
        count = 0 if columns is None else columns.close.shape[1]
        missing = need.length - count
        rule = f"not_enough_history: {missing} of {need.length} candles of {need.timeframe} are missing"
        require(missing <= 0, rule, count, f"strategy {strategy}")


def picked_rows(columns: WindowColumns, rows: Sequence[int]) -> WindowColumns:
    """Some rows of the windows, in this order."""
    picked = list(rows)
    return WindowColumns(
        open=columns.open[picked],
        high=columns.high[picked],
        low=columns.low[picked],
        close=columns.close[picked],
        volume=columns.volume[picked],
        open_time_ms=None if columns.open_time_ms is None else columns.open_time_ms[picked],
    )


def finite_rows(windows: Mapping[Timeframe, WindowColumns], needs: Sequence[WindowNeed]) -> npt.NDArray[np.bool_]:
    """Which rows hold only finite numbers in the windows a strategy cannot do without."""
    own = windows[needs[0].timeframe].close
    good = np.ones(len(own), dtype=np.bool_)
    for need in needs:
        columns = windows[need.timeframe]
        for grid in (columns.open, columns.high, columns.low, columns.close, columns.volume):
            # One sum tells for the whole grid: NaN and Inf both make it so.
            if not need.optional and not isfinite(np.add.reduce(grid, axis=None)):
                good &= np.isfinite(grid).all(axis=1)
    return good
