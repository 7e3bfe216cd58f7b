"""How large a position would be: by what its stop may cost."""

import math
from typing import Final

from shared.domain.decisions import Sizing

_SIGNIFICANT_DIGITS: Final = 12


def risk_sizing(
    *,
    equity: float,
    risk_pct: float,
    entry: float,
    stop: float,
    open_risk_pct: float | None = None,
    open_risk_pct_max: float | None = None,
    quantity_decimals: int | None = None,
) -> Sizing:
    """Such that the stop costs risk_pct of equity, within what open risk leaves, and at most the whole equity.

    10,000 at 0.5 % with a stop 0.7 % away gives a notional of 7,142.86. The risk stated is that of the size taken.
    open_risk_pct: of the strategy's open signals, where the caller knows them; None leaves the limit to others. quantity_decimals: rounds down.
    """
    distance = abs(entry - stop) / entry
    allowed = risk_pct
    if open_risk_pct is not None and open_risk_pct_max is not None:
        allowed = max(0.0, min(risk_pct, open_risk_pct_max - open_risk_pct))
    notional = min(equity * allowed / 100 / distance, equity)
    quantity = notional / entry
    if quantity_decimals is not None:
        steps = 10**quantity_decimals
        quantity = math.floor(round(quantity * steps, 6)) / steps  # down: the risk asked for is the most
        notional = quantity * entry
    return Sizing(
        equity=equity,
        fraction=_rounded(notional / equity),
        notional=_rounded(notional),
        quantity=_rounded(quantity),
        risk_pct=_rounded(notional * distance / equity * 100),
        open_risk_pct=None if open_risk_pct is None else _rounded(open_risk_pct + notional * distance / equity * 100),
        open_risk_pct_max=open_risk_pct_max,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
