"""From a score and a regime to the version of a pair's bias that is published."""

from collections.abc import Mapping
from typing import Final

import msgspec

from services.macro_engine.core.bias_score import BiasScore
from services.macro_engine.core.regime import RegimeReading
from shared.domain.bias import Direction, MacroBias
from shared.domain.timeframe import MINUTE_MS

LEAD_MS: Final = 5_000
TTL_MS: Final = 4 * 3_600_000


class Pair(msgspec.Struct, frozen=True, order=True):
    """What a bias is about."""

    base: str
    quote: str

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


def effective_from_ms(published_at_ms: int) -> int:
    """The next minute at least 5 s later: whoever decides on a candle that closes then has the version."""
    return -(-(published_at_ms + LEAD_MS) // MINUTE_MS) * MINUTE_MS


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """When versions are made: the as-of time is their number, so that a repeated run makes the same ones. notes: of every version."""

    as_of_ms: int
    published_at_ms: int
    ttl_ms: int = TTL_MS
    notes: tuple[str, ...] = ()


def scored_version(pair: Pair, score: BiasScore, reading: RegimeReading, moment: Moment) -> MacroBias:
    """The version of a pair that has a score now."""
    return _version(
        pair,
        reading,
        moment,
        direction=score.direction,
        confidence=score.confidence,
        components=score.components,
        expires_at_ms=moment.published_at_ms + moment.ttl_ms,
        notes=moment.notes,
    )


def carried_version(
    pair: Pair, previous: MacroBias | None, reading: RegimeReading, reason: str, moment: Moment
) -> MacroBias | None:
    """A pair that cannot be scored now: its last direction with its own expiry under a new regime; None under the same.

    Without a last direction (or where it ends before the version would begin) the pair is NEUTRAL.
    """
    if previous is not None and previous.regime == reading.regime:
        return None
    kept = previous
    if kept is not None and kept.expires_at_ms <= effective_from_ms(moment.published_at_ms):
        kept = None
    components = kept.components if kept else {}
    return _version(
        pair,
        reading,
        moment,
        direction=kept.direction if kept else Direction.NEUTRAL,
        confidence=kept.confidence if kept else 0.0,
        components={name: value for name, value in components.items() if not name.startswith("regime.")},
        expires_at_ms=kept.expires_at_ms if kept else moment.published_at_ms + moment.ttl_ms,
        notes=(f"{pair}: {reason}", *moment.notes),
    )


def _version(
    pair: Pair,
    reading: RegimeReading,
    moment: Moment,
    *,
    direction: Direction,
    confidence: float,
    components: Mapping[str, float],
    expires_at_ms: int,
    notes: tuple[str, ...],
) -> MacroBias:
    return MacroBias(
        base=pair.base,
        quote=pair.quote,
        version=moment.as_of_ms,
        direction=direction,
        confidence=confidence,
        regime=reading.regime,
        components={**reading.components, **components},
        published_at_ms=moment.published_at_ms,
        effective_from_ms=effective_from_ms(moment.published_at_ms),
        expires_at_ms=expires_at_ms,
        size_multiplier=reading.regime.size_multiplier,
        notes=notes,
    )
