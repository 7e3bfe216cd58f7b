"""A strategy with the rules of the signals it opens."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from shared.domain.slots import SlotKey
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Strategy
from shared.strategies.registry import build_strategy


class ActiveStrategy(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """max_age_candles: in the strategy's own timeframe, None for no limit. on_opposite: what an exit or opposite entry
    does to the open signal.
    """

    strategy: Strategy
    max_age_candles: int | None = 240
    on_opposite: Literal["ignore", "close"] = "ignore"

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.strategy.name

    @property
    def timeframe(self) -> Timeframe:
        """The strategy's own timeframe."""
        return self.strategy.needs[0].timeframe

    def slot_key(self, exchange: str, symbol: str) -> SlotKey:
        """Its slot for a symbol."""
        return SlotKey(self.strategy.name, exchange, symbol)


def active_strategy(
    name: str,
    timeframe: Timeframe = Timeframe.M1,
    parameters: Mapping[str, Any] | None = None,
    *,
    max_age_candles: int | None = 240,
    on_opposite: Literal["ignore", "close"] = "ignore",
) -> ActiveStrategy:
    """Build and check one; raises InvalidValueError for an unknown strategy or a bad parameter."""
    strategy = build_strategy(name, timeframe, parameters or {})
    return ActiveStrategy(strategy=strategy, max_age_candles=max_age_candles, on_opposite=on_opposite)
