"""A strategy but for what is varied."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.deciding.active import ActiveStrategy, active_strategy
from shared.domain.timeframe import Timeframe

Parameters = Mapping[str, Any]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How each candidate is built, but for what is varied."""

    name: str
    kind: str
    timeframe: Timeframe
    parameters: dict[str, Any]
    max_age_candles: int | None
    on_opposite: Any

    def active(self, varied: Parameters, *, probed: bool = True) -> ActiveStrategy:
        """The strategy with these parameters; raises InvalidValueError where they break one of its rules.

        probed: False where another set of the grid was probed for a look ahead; see build_strategy.
        """
        return active_strategy(
            self.name,
            self.timeframe,
            {**self.parameters, **varied},
            kind=self.kind,
            max_age_candles=self.max_age_candles,
            on_opposite=self.on_opposite,
            probed=probed,
        )
