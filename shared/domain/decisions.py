"""What a strategy decided on one closed candle, with everything needed to explain and repeat it."""

from enum import StrEnum

import msgspec

from shared.domain.bias import Direction
from shared.domain.checks import check_name
from shared.domain.timeframe import Timeframe


class Action(StrEnum):
    """What a Decision asks for."""

    ENTER_LONG = "enter_long"
    ENTER_SHORT = "enter_short"
    EXIT = "exit"
    NONE = "none"

    @property
    def side(self) -> Direction | None:
        """The side of an entry; None otherwise."""
        return {Action.ENTER_LONG: Direction.LONG, Action.ENTER_SHORT: Direction.SHORT}.get(self)


class DecisionKind(StrEnum):
    """`first`: made once, never withdrawn. `shadow`: what a later correction would have said; opens nothing."""

    FIRST = "first"
    SHADOW = "shadow"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One named test. margin: how far the value is on the passing side of the threshold (negative: failed by so much)."""

    name: str
    value: float | None
    threshold: float
    margin: float | None
    passed: bool


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict that entries must pass besides the conditions: quality, freshness, bias. `detail` says why."""

    name: str
    passed: bool
    detail: str


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which candles were read: `length` consecutive ones ending at the Decision's candle.

    digest:    over open times and OHLCV as float64 (see shared.strategies.windows).
    revisions: run lengths (revision, count), oldest first, so that the very candles can be loaded again.
    """

    timeframe: Timeframe
    first_open_time_ms: int
    length: int
    digest: str
    revisions: tuple[tuple[int, int], ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Made once per (strategy, exchange, symbol, timeframe, candle); a pure function of what it records.

    trigger:    which rule fired, as in the signal id; empty for `none`.
    parameters: the strategy's parameters as used.
    gates:      every gate's verdict but the slot's.
    reference_price: close of the candle, quote currency. take_profit, stop_loss: levels of an entry, None without.
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

    def __post_init__(self) -> None:
        check_name(self.strategy, "strategy", f"decision {self.exchange} {self.symbol} {self.open_time_ms}")

    @property
    def close_time_ms(self) -> int:
        """When its candle closed."""
        return self.open_time_ms + self.timeframe.duration_ms

    @property
    def gates_passed(self) -> bool:
        """Whether an entry may claim the slot."""
        return all(gate.passed for gate in self.gates)
