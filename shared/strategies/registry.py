"""Every strategy by its name. A module is imported when its strategy is first built: kernels compile on import."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from shared.domain.checks import require
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Strategy
from shared.strategies.probe import check_causal

STRATEGIES: Final[dict[str, str]] = {  # name: module and class
    "rsi_divergence": "rsi_divergence:RsiDivergence",
    "macd_unified": "macd_unified:MacdUnified",
    "macd_adx": "macd_adx:MacdAdx",
    "continuation": "continuation:Continuation",
    "reversal": "reversal:Reversal",
    "ema_cross": "ema_cross:EmaCross",
    "rsi_momentum": "rsi_momentum:RsiMomentum",
    "bollinger": "bollinger:Bollinger",
    "ema_atr": "ema_atr:EmaAtr",
    "donchian": "donchian:Donchian",
    "supertrend": "supertrend:Supertrend",
    "mtf_score": "mtf_score:MtfScore",
    "manager": "manager:Manager",
}


def build_strategy(name: str, timeframe: Timeframe, parameters: Mapping[str, Any], *, probed: bool = True) -> Strategy:
    """The strategy with checked parameters; raises InvalidValueError for an unknown name, a bad parameter, a look ahead.

    probed: False for one of many sets of a strategy that was probed before; nothing that decides live.
    """
    require(name in STRATEGIES, f"strategy must be one of {', '.join(STRATEGIES)}", name, "strategies")
    strategy: Strategy = _class_of(name)(timeframe, parameters)
    if probed:
        check_causal(strategy)
    return strategy


def warm_up(*, every_indicator: bool = True) -> list[str]:
    """Load (or compile into the cache) every kernel a strategy or indicator uses; returns their names.

    every_indicator: also those that no strategy uses; a service that only decides starts sooner without them.
    """
    from shared.indicators import warm_up as warm_up_indicators
    from shared.indicators.compiled import kernel_names

    if every_indicator:
        warm_up_indicators()
    for name in STRATEGIES:
        _class_of(name)
        # Where the notifier reads a strategy's class, its kernel stands beside it and is imported by the first decision.
        kernel = f"shared.strategies.{STRATEGIES[name].partition(':')[0]}_kernel"
        if find_spec(kernel) is not None:
            import_module(kernel)
    return kernel_names()


def _class_of(name: str) -> Any:
    module, _, kind = STRATEGIES[name].partition(":")
    return getattr(import_module(f"shared.strategies.{module}"), kind)
