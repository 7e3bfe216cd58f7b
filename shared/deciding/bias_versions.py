"""Which versions of a pair's bias a candle depends on."""

from collections.abc import Sequence

from shared.domain.bias import KEPT_FROM, NO_BIAS, STRONG_FROM, BiasInForce, Direction, MacroBias, bias_in_force


def bias_at(versions: Sequence[MacroBias], close_time_ms: int) -> BiasInForce:
    """bias_in_force over the newest versions that can matter; versions: lowest first.

    A neutral version, one from 80 up and one below 70 settle the state whatever came before, so that the fold may begin
    at the newest of them: with a year of versions only the last few are read.
    """
    if not versions:
        return NO_BIAS
    needed: list[MacroBias] = []
    for bias in reversed(versions):
        if bias.effective_from_ms > close_time_ms:
            continue
        needed.append(bias)
        if bias.direction is Direction.NEUTRAL or not KEPT_FROM <= bias.confidence < STRONG_FROM:
            break
    return bias_in_force(needed, close_time_ms)
