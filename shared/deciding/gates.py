"""The gates an entry must pass besides its conditions. Each is recorded, passed or not; exits never see them."""

from functools import lru_cache
from typing import Final

from shared.domain.bias import BiasInForce
from shared.domain.decisions import Action, Gate

_QUALITY_PASSED: Final = Gate(name="quality", passed=True, detail="all candles of the window are usable")
# The text of a passed gate holds no measured time: a redelivery must not make another Decision.
_FRESH: Final = Gate(name="freshness", passed=True, detail="made in time after the close")


def quality_gate(unusable: int) -> Gate:
    """Fails while the windows hold a candle that says it is not good enough."""
    if not unusable:
        return _QUALITY_PASSED
    return Gate(name="quality", passed=False, detail=f"{unusable} candles of the window are partial")


def freshness_gate(close_time_ms: int, market_ms: int, entry_freshness_ms: int) -> Gate:
    """Fails for a Decision that is made too long after its candle closed."""
    late_ms = market_ms - close_time_ms
    if late_ms <= entry_freshness_ms:
        return _FRESH
    detail = f"stale: made {late_ms} ms after the close, at most {entry_freshness_ms} are allowed"
    return Gate(name="freshness", passed=False, detail=detail)


def bias_gate(bias: BiasInForce, action: Action) -> Gate:
    """Fails for an entry against a binding bias."""
    side = action.side
    return _bias_gate(bias.text, side is None or bias.allows(side))


@lru_cache(maxsize=1_000)  # the same few for every candle
def _bias_gate(text: str, passed: bool) -> Gate:  # noqa: FBT001 - a key of the cache
    return Gate(name="bias", passed=passed, detail=text)
