"""What a strategy decided on one closed candle, with everything needed to explain and repeat it."""

from enum import StrEnum
from typing import Final

import msgspec

# gc=False: these hold no cycles, and a closing hour makes tens of thousands: the collector need not walk over them.
from shared.domain.bias import Direction
from shared.domain.checks import check_name, is_name
from shared.domain.timeframe import Timeframe


class Action(StrEnum):
    """What a Decision asks for."""

    ENTER_LONG = "enter_long"
    ENTER_SHORT = "enter_short"
    EXIT = "exit"
    NONE = "none"

    __hash__ = str.__hash__  # an Enum's own is written in Python

    @property
    def side(self) -> Direction | None:
        """The side of an entry; None otherwise."""
        return _SIDES.get(self)


_SIDES: Final = {Action.ENTER_LONG: Direction.LONG, Action.ENTER_SHORT: Direction.SHORT}


class DecisionKind(StrEnum):
    """`first`: made once, never withdrawn. `shadow`: what a later correction would have said; opens nothing."""

    FIRST = "first"
    SHADOW = "shadow"


class Condition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One named test. margin: how far the value is on the passing side of the threshold (negative: failed by so much)."""

    name: str
    value: float | None
    threshold: float
    margin: float | None
    passed: bool


class Gate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One verdict that entries must pass besides the conditions: quality, freshness, bias. `detail` says why."""

    name: str
    passed: bool
    detail: str


class Sizing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How large the strategy would make the position, for an account of `equity` (all in quote currency).

    risk_pct: what the stop would cost, percent of equity; None without a stop. fraction: notional / equity.
    volatility_day_pct, volatility_scale: where volatility decides the size. open_risk_pct: with the strategy's other open
    signals; at most open_risk_pct_max is allowed.
    """

    equity: float
    fraction: float
    notional: float
    quantity: float
    risk_pct: float | None = None
    volatility_day_pct: float | None = None
    volatility_scale: float | None = None
    open_risk_pct: float | None = None
    open_risk_pct_max: float | None = None


class MemberVerdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one strategy of a manager said on the same windows. weight: as configured."""

    name: str
    weight: float
    action: Action
    trigger: str
    score: float
    conditions: tuple[Condition, ...]


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which candles were read: `length` consecutive ones ending at the Decision's candle.

    digest:    over open times and OHLCV as float64 (see shared.strategies.windows).
    revisions: run lengths (revision, count), oldest first, so that the very candles can be loaded again.
    """

    timeframe: Timeframe
    first_open_time_ms: int
    length: int
    digest: str
    revisions: tuple[tuple[int, int], ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Made once per (strategy, exchange, symbol, timeframe, candle); a pure function of what it records.

    trigger:    which rule fired, as in the signal id; empty for `none`.
    parameters: the strategy's parameters as used.
    gates:      every gate's verdict but the slot's.
    reference_price: close of the candle, quote currency. take_profit, stop_loss: levels of an entry, None without.
    windows:    what was read, the strategy's own timeframe first; a series it can do without may be absent.
    score:      0-100, with the points of its components by name; None where the strategy gives none.
    inputs:     recorded inputs besides candles: latches, what the memory said.
    notes:      what else is worth knowing, `not_enough_history 1w: 12 of 60 candles are missing` say.
    members:    of a manager, in their order.
    holds, resets: keys of alert rules that hold on this candle, and of those that let go of their latch.
    trail_pct:  how far a stop follows the best price, percent of it; None for none.
    alerts:     keys of the alerts raised with it; `inputs` says which latches stood before and after.
    """

    strategy: str
    exchange: str
    symbol: str
    timeframe: Timeframe
    open_time_ms: int
    kind: DecisionKind = DecisionKind.FIRST
    action: Action
    trigger: str
    conditions: tuple[Condition, ...]
    gates: tuple[Gate, ...]
    bias: str
    parameters: dict[str, float | int | str | bool | None]
    windows: tuple[WindowRecord, ...]
    reference_price: float
    take_profit: float | None
    stop_loss: float | None
    score: float | None = None
    components: dict[str, float] = {}
    inputs: dict[str, float | int | str | bool | None] = {}
    notes: tuple[str, ...] = ()
    members: tuple[MemberVerdict, ...] = ()
    holds: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    sizing: Sizing | None = None
    trail_pct: float | None = None

    def __post_init__(self) -> None:
        if not is_name(self.strategy):  # the error's text is made only where there is one
            check_name(self.strategy, "strategy", f"decision {self.exchange} {self.symbol} {self.open_time_ms}")

    @property
    def close_time_ms(self) -> int:
        """When its candle closed."""
        return self.open_time_ms + self.timeframe.duration_ms

    @property
    def gates_passed(self) -> bool:
        """Whether an entry may claim the slot."""
        return all(gate.passed for gate in self.gates)
