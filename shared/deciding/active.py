"""A strategy with the rules of the signals it opens."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from shared.domain.checks import require
from shared.domain.slots import SlotKey
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Outcome, ParameterValue, Strategy, WindowColumns, picked_rows
from shared.strategies.registry import build_strategy

Series = tuple[str, str]  # exchange, symbol


class ActiveStrategy(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """max_age_candles: in the strategy's own timeframe, None for no limit. on_opposite: what an exit or opposite entry
    does to the open signal. own_name: what the configuration calls it, where one kind runs more than once.
    by_symbol: the same kind with other parameters, for these symbols.
    """

    strategy: Strategy
    own_name: str = ""
    max_age_candles: int | None = 240
    on_opposite: Literal["ignore", "close"] = "ignore"
    by_symbol: Mapping[str, Strategy] = {}

    @property
    def name(self) -> str:
        """As in the configuration, in keys and in messages."""
        return self.own_name or self.strategy.name

    @property
    def timeframe(self) -> Timeframe:
        """The strategy's own timeframe."""
        return self.strategy.needs[0].timeframe

    def slot_key(self, exchange: str, symbol: str) -> SlotKey:
        """Its slot for a symbol."""
        return SlotKey(self.name, exchange, symbol)

    def parameters(self, symbol: str) -> dict[str, ParameterValue]:
        """The parameters used for the symbol."""
        return self.by_symbol.get(symbol, self.strategy).parameters

    def evaluate(self, symbols: Sequence[str], windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One outcome per row; rows of symbols with parameters of their own go to their own strategy."""
        own = [row for row, symbol in enumerate(symbols) if symbol not in self.by_symbol]
        if len(own) == len(symbols):
            return list(self.strategy.evaluate(windows))
        groups: dict[str, list[int]] = {}
        for row, symbol in enumerate(symbols):
            groups.setdefault(symbol if symbol in self.by_symbol else "", []).append(row)
        outcomes: dict[int, Outcome] = {}
        for symbol, rows in groups.items():
            chosen = self.by_symbol.get(symbol, self.strategy)
            picked = {timeframe: picked_rows(columns, rows) for timeframe, columns in windows.items()}
            outcomes.update(zip(rows, chosen.evaluate(picked), strict=True))
        return [outcomes[row] for row in range(len(symbols))]


def active_strategy(
    name: str,
    timeframe: Timeframe = Timeframe.M1,
    parameters: Mapping[str, Any] | None = None,
    *,
    kind: str | None = None,
    max_age_candles: int | None = 240,
    on_opposite: Literal["ignore", "close"] = "ignore",
    by_symbol: Mapping[str, Mapping[str, Any]] | None = None,
    probed: bool = True,
) -> ActiveStrategy:
    """Build and check one; raises InvalidValueError for an unknown strategy or a bad parameter.

    kind: which strategy, where `name` is not its kind. by_symbol: parameters that replace the others for a symbol.
    probed: see build_strategy.
    """
    given = dict(parameters or {})
    strategy = build_strategy(kind or name, timeframe, given, probed=probed)
    special = {
        symbol: build_strategy(kind or name, timeframe, {**given, **dict(own)})
        for symbol, own in (by_symbol or {}).items()
    }
    for symbol, other in special.items():
        rule = "parameters of one symbol may not change the windows that are read"
        require(other.needs == strategy.needs, rule, (by_symbol or {})[symbol], f"strategy {name}, symbol {symbol}")
    return ActiveStrategy(
        strategy=strategy,
        own_name=name,
        max_age_candles=max_age_candles,
        on_opposite=on_opposite,
        by_symbol=special,
    )
