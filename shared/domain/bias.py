"""The macro bias in force: strong from 80, kept until it falls below 70 (SYSTEMS 3.5), folded over versions."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from shared.domain.checks import check_name, check_time_ms, require

STRONG_FROM: Final = 80.0
KEPT_FROM: Final = 70.0


class Direction(StrEnum):
    """Where the market leans, or a signal's side."""

    LONG = "LONG"
    SHORT = "SHORT"
    NEUTRAL = "NEUTRAL"

    __hash__ = str.__hash__  # an Enum's own is written in Python


class MacroBias(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the bias for a (base, quote) pair.

    confidence: 0..100. effective_from_ms: candles that close at or after it are subject to it. expires_at_ms: exclusive.
    regime, size_multiplier: the market's risk regime (shared/domain/regime.py) and the share of a usual size it allows;
                             carried and shown, gating nothing.
    components: how score and regime came about, by name (services/macro_engine/README.md lists them).
    notes:      what was missing or stale when it was made, one line each.
    """

    base: str
    quote: str
    version: int
    direction: Direction
    confidence: float
    regime: str
    components: dict[str, float]
    published_at_ms: int
    effective_from_ms: int
    expires_at_ms: int
    size_multiplier: float = 1.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = f"macro bias {self.base}/{self.quote} version {self.version}"
        check_name(self.base, "base", place)
        check_name(self.quote, "quote", place)
        require(0 <= self.confidence <= 100, "confidence must be 0..100", self.confidence, place)  # noqa: PLR2004 - the rule names its bound
        check_time_ms(self.effective_from_ms, "effective_from_ms", place)
        lasts = self.expires_at_ms > self.effective_from_ms
        require(lasts, "expires_at_ms must lie after effective_from_ms", self.expires_at_ms, place)


class BiasInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a candle: `side` is None when nothing binds (absent, expired, weak or neutral)."""

    side: Direction | None
    text: str

    def allows(self, side: Direction) -> bool:
        """Whether an entry on the side may open."""
        return self.side is None or self.side is side


NO_BIAS: Final = BiasInForce(side=None, text="none")


def bias_in_force(versions: Iterable[MacroBias], close_time_ms: int) -> BiasInForce:
    """Fold every version effective at the candle's close, in order of version.

    A side becomes binding at confidence >= 80 and stays until its confidence falls below 70, the direction changes, or
    the last version has expired. A version that arrives late changes nothing for candles that closed before it.
    """
    side: Direction | None = None
    latest: MacroBias | None = None
    for bias in sorted(versions, key=lambda item: item.version):
        if bias.effective_from_ms > close_time_ms:
            continue
        lapsed = latest is not None and latest.expires_at_ms <= bias.effective_from_ms
        side = _next_side(None if lapsed else side, bias)
        latest = bias
    if latest is None:
        return NO_BIAS
    if latest.expires_at_ms <= close_time_ms:
        return BiasInForce(side=None, text=f"none (version {latest.version} expired)")
    force = "binding" if side is not None else "not binding"
    text = f"{latest.direction} {latest.confidence:g} ({force}, version {latest.version})"
    return BiasInForce(side=side, text=text)


def _next_side(side: Direction | None, bias: MacroBias) -> Direction | None:
    if bias.direction is Direction.NEUTRAL:
        return None
    if bias.confidence >= STRONG_FROM:
        return bias.direction
    if side is bias.direction and bias.confidence >= KEPT_FROM:
        return side
    return None
