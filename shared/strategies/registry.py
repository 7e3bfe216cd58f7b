"""Every strategy by its name in the configuration."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.domain.checks import require
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Strategy
from shared.strategies.rsi_divergence import RsiDivergence

STRATEGIES: Final[dict[str, Callable[[Timeframe, Mapping[str, Any]], Strategy]]] = {
    RsiDivergence.NAME: RsiDivergence,
}


def build_strategy(name: str, timeframe: Timeframe, parameters: Mapping[str, Any]) -> Strategy:
    """The strategy with checked parameters; raises InvalidValueError for an unknown name or a bad parameter."""
    require(name in STRATEGIES, f"strategy must be one of {', '.join(STRATEGIES)}", name, "strategies")
    return STRATEGIES[name](timeframe, parameters)


def warm_up() -> list[str]:
    """Load (or compile into the cache) every kernel a strategy or indicator uses; returns their names."""
    from shared.indicators import warm_up as warm_up_indicators
    from shared.indicators.compiled import kernel_names
    from shared.strategies import rsi_divergence_kernel  # noqa: F401 - importing compiles

    warm_up_indicators()
    return kernel_names()
