"""The events on the bus. Facts in the past tense; `event_id` = hash(type, subject, version), the same on every retry."""

from enum import StrEnum
from typing import Final

import msgspec

from shared.domain.bias import Direction, MacroBias
from shared.domain.candles import Candle
from shared.domain.checks import check_name, check_price, check_time_ms, require
from shared.domain.decisions import Condition
from shared.domain.errors import InvalidValueError
from shared.domain.identity import event_id
from shared.domain.signals import Signal, SignalStatus
from shared.domain.timeframe import Timeframe
from shared.domain.trades import TradeBatch

SCHEMA_VERSION: Final = 1


class CandlesClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Every timeframe of one symbol that closed at one minute, 1m first."""

    exchange: str
    symbol: str
    close_time_ms: int
    candles: tuple[Candle, ...]

    def __post_init__(self) -> None:
        _check_candles(self.candles, self.exchange, self.symbol)
        close_ms = self.close_time_ms
        for candle in self.candles:
            if candle.open_time_ms + candle.timeframe.duration_ms != close_ms:
                place = f"CandlesClosed {self.exchange} {self.symbol}"
                rule = f"all candles must close at {close_ms}"
                raise InvalidValueError(f"{rule}, was {candle.close_time_ms} ({place})")

    @property
    def event_id(self) -> str:
        """One per (symbol, minute) and revision of its 1m candle."""
        subject = f"{self.exchange}#{self.symbol}#{self.close_time_ms}"
        return event_id("CandlesClosed", subject, self.candles[0].revision)


class CandleCorrected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """New revisions after late trades or a repair: the 1m candle first, then every roll-up that changed with it."""

    exchange: str
    symbol: str
    candles: tuple[Candle, ...]

    def __post_init__(self) -> None:
        _check_candles(self.candles, self.exchange, self.symbol)

    @property
    def event_id(self) -> str:
        """One per (symbol, minute) and revision of its 1m candle."""
        first = self.candles[0]
        return event_id("CandleCorrected", f"{self.exchange}#{self.symbol}#{first.open_time_ms}", first.revision)


class MacroBiasUpdated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A new version of the bias of one pair."""

    bias: MacroBias

    @property
    def event_id(self) -> str:
        """One per (pair, version)."""
        return event_id("MacroBiasUpdated", f"{self.bias.base}#{self.bias.quote}", self.bias.version)


class SignalOpened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A signal claimed its slot."""

    signal: Signal

    @property
    def event_id(self) -> str:
        """One per signal."""
        return event_id("SignalOpened", self.signal.signal_id, self.signal.version)


class SignalProgressed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something to add to the signal's message: `note` is one line (a correction's shadow verdict, for example)."""

    signal: Signal
    note: str

    @property
    def event_id(self) -> str:
        """One per (signal, version)."""
        return event_id("SignalProgressed", self.signal.signal_id, self.signal.version)


class SignalClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A signal ended; final."""

    signal: Signal

    def __post_init__(self) -> None:
        closed = self.signal.status is SignalStatus.CLOSED
        require(closed, "SignalClosed carries a closed signal", self.signal.status, self.signal.signal_id)

    @property
    def event_id(self) -> str:
        """One per signal."""
        return event_id("SignalClosed", self.signal.signal_id, self.signal.version)


class AlertRaised(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A latched condition without a life. Its Decision is that of the same strategy, exchange, symbol, timeframe and candle.

    alert:          key of the rule that fired, `ppo_signal_up` say; a language may have a title for it.
    side:           NEUTRAL where the rule has none.
    price:          close of the candle, quote currency; price_decimals: for display, None where not known.
    values:         what stands beside the title, in this order: indicator values, wick percentages, a level.
    conditions:     what passed, as in the Decision.
    text:           a line in English for what values cannot say; may be empty.
    """

    strategy: str
    alert: str
    exchange: str
    symbol: str
    timeframe: Timeframe
    candle_open_time_ms: int
    price: float
    side: Direction = Direction.NEUTRAL
    price_decimals: int | None = None
    values: dict[str, float] = msgspec.field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        place = f"alert {self.alert} {self.exchange} {self.symbol}"
        check_name(self.strategy, "strategy", place)
        check_name(self.alert, "alert", place)
        check_name(self.symbol, "symbol", place)
        check_price(self.price, "price", place)
        check_time_ms(self.candle_open_time_ms, "candle_open_time_ms", place)

    @property
    def candle_close_time_ms(self) -> int:
        """When its candle closed."""
        return self.candle_open_time_ms + self.timeframe.duration_ms

    @property
    def event_id(self) -> str:
        """One per (strategy, alert, candle)."""
        subject = f"{self.strategy}#{self.alert}#{self.exchange}#{self.symbol}#{self.timeframe}"
        return event_id("AlertRaised", subject, self.candle_open_time_ms)


class Severity(StrEnum):
    """How loud a system event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class SystemEvent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something about the platform itself: blind, seeing again, partial candle, dead letter, drift.

    subject: what it is about, `service#exchange#symbol` or the like. version: rises per subject (usually its time).
    """

    kind: str
    subject: str
    version: int
    severity: Severity
    text: str
    at_ms: int

    def __post_init__(self) -> None:
        check_name(self.kind, "kind", f"system event {self.subject}")
        check_time_ms(self.at_ms, "at_ms", f"system event {self.kind} {self.subject}")

    @property
    def event_id(self) -> str:
        """One per (kind, subject, version)."""
        return event_id(f"SystemEvent.{self.kind}", self.subject, self.version)


Event = (
    TradeBatch
    | CandlesClosed
    | CandleCorrected
    | MacroBiasUpdated
    | SignalOpened
    | SignalProgressed
    | SignalClosed
    | AlertRaised
    | SystemEvent
)
EVENT_TYPES: Final[dict[str, type[Event]]] = {
    event_type.__name__: event_type
    for event_type in (
        TradeBatch,
        CandlesClosed,
        CandleCorrected,
        MacroBiasUpdated,
        SignalOpened,
        SignalProgressed,
        SignalClosed,
        AlertRaised,
        SystemEvent,
    )
}


def _check_candles(candles: tuple[Candle, ...], exchange: str, symbol: str) -> None:
    """Runs for every candle of the market: the error's text is made only where there is one."""
    if candles and candles[0].timeframe is Timeframe.M1:
        for candle in candles:
            if candle.symbol != symbol or candle.exchange != exchange:
                break
        else:
            return
    place = f"{exchange} {symbol}"
    require(bool(candles), "at least one candle is required", candles, place)
    # Replayed candles may begin at a coarser timeframe: the finest of their source then stands first.
    finest = min(candles, key=lambda candle: candle.timeframe.duration_ms).timeframe
    rule = "the 1m candle, or the finest there is, comes first"
    require(candles[0].timeframe is finest, rule, candles[0].timeframe, place)
    if all((candle.symbol, candle.exchange) == (symbol, exchange) for candle in candles):
        return
    raise InvalidValueError(f"all candles must be of {symbol}, were {[one.symbol for one in candles]} ({place})")
