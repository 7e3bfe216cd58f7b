"""Decisions on the store: the first one made for a candle stays; shadow evaluations stand beside it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.decisions import Decision, DecisionKind
from shared.domain.errors import FencedError
from shared.domain.timeframe import Timeframe
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of, prefix_range

TABLE: Final = "decisions"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Decision)


class DecisionStore:
    """Reads and writes Decisions by (strategy, exchange, symbol, timeframe, candle)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save_first(self, decisions: Sequence[Decision], *, fence: int | None) -> list[Decision]:
        """Store each Decision unless its candle already has one; returns, in order, those that are stored now.

        Raises FencedError where a newer owner wrote a row.
        """
        return await self._save([(decision_key(decision), decision) for decision in decisions], fence)

    async def save_shadows(self, shadows: Sequence[tuple[Decision, int]], *, fence: int | None) -> list[Decision]:
        """Store each (shadow evaluation, number of corrections in its windows) once; returns those stored now."""
        keyed = []
        for decision, corrections in shadows:
            shadow = msgspec.structs.replace(decision, kind=DecisionKind.SHADOW)
            keyed.append((key_of(decision_key(decision), "shadow", corrections), shadow))
        return await self._save(keyed, fence)

    async def get(
        self, strategy: str, exchange: str, symbol: str, timeframe: Timeframe, open_time_ms: int
    ) -> Decision | None:
        """The Decision on that candle; None where there is none."""
        row = await self._store.get(TABLE, key_of(strategy, exchange, symbol, timeframe, open_time_ms))
        return _decode(row) if row else None

    async def stored(self, made: Sequence[Decision]) -> list[Decision | None]:
        """For each of these, in order, the first Decision that its candle has already; None where it has none."""
        keys = [decision_key(decision) for decision in made]
        rows = await self._store.get_many(TABLE, keys) if keys else {}
        return [_decode(rows[key]) if key in rows else None for key in keys]

    async def between(
        self, strategy: str, exchange: str, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> list[Decision]:
        """First Decisions and shadows with start <= open time < end, oldest first, shadows after their Decision."""
        series = (strategy, exchange, symbol, timeframe)
        rows = await self._store.scan(TABLE, key_of(*series, start_ms), key_of(*series, end_ms))
        return [_decode(row) for row in rows]

    async def shadows(
        self, strategy: str, exchange: str, symbol: str, timeframe: Timeframe, open_time_ms: int
    ) -> list[Decision]:
        """The shadow evaluations of one candle, in the order of the corrections."""
        start, end = prefix_range(strategy, exchange, symbol, timeframe, open_time_ms, "shadow")
        return [_decode(row) for row in await self._store.scan(TABLE, start, end)]

    async def _save(self, keyed: Sequence[tuple[str, Decision]], fence: int | None) -> list[Decision]:
        writes = [
            Write(table=TABLE, key=key, value=LAYOUT + _ENCODER.encode(decision), expected_revision=0, fence=fence)
            for key, decision in keyed
        ]
        outcomes = await self._store.write(writes)
        if Outcome.FENCED in outcomes:
            raise FencedError(f"a newer logic engine wrote {TABLE} (fence {fence} is stale)")
        taken = [key for (key, _), outcome in zip(keyed, outcomes, strict=True) if outcome is Outcome.CONFLICT]
        stored = await self._store.get_many(TABLE, taken) if taken else {}
        return [_decode(stored[key]) if key in stored else decision for key, decision in keyed]


def decision_key(decision: Decision) -> str:
    """strategy#exchange#symbol#timeframe#<open time>."""
    one = decision  # written out as `key_of` would: it is made for every candle and strategy
    return f"{one.strategy}#{one.exchange}#{one.symbol}#{one.timeframe}#{one.open_time_ms:015d}"


def _decode(row: Row) -> Decision:
    return _DECODER.decode(payload(TABLE, row))
