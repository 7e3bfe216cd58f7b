"""Versions of the macro bias on the store: base#quote#<version>, written once each."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.bias import MacroBias
from shared.domain.errors import FencedError
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of, prefix_range

TABLE: Final = "macro-bias"
PUBLISHED_TABLE: Final = "macro-published"  # as the macro engine made them
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MacroBias)


class BiasStore:
    """Reads and writes versions of the bias by (base, quote), in the table of what was received or of what was made."""

    def __init__(self, store: Store, table: str = TABLE) -> None:
        self._store = store
        self._table = table

    async def save(self, versions: Sequence[MacroBias], *, fence: int | None) -> list[bool]:
        """Store each version unless it is there already; whether each was stored now. Raises FencedError behind a newer owner."""
        writes = [
            Write(
                table=self._table,
                key=key_of(bias.base, bias.quote, bias.version),
                value=LAYOUT + _ENCODER.encode(bias),
                expected_revision=0,
                fence=fence,
            )
            for bias in versions
        ]
        outcomes = await self._store.write(writes)
        if Outcome.FENCED in outcomes:
            raise FencedError(f"a newer owner wrote {self._table} (fence {fence} is stale)")
        return [outcome is Outcome.WRITTEN for outcome in outcomes]

    async def versions(self, base: str, quote: str, *, from_version: int = 0) -> list[MacroBias]:
        """The versions of the pair's bias from this one on, lowest version first."""
        _, end = prefix_range(base, quote)
        return [_decode(row) for row in await self._store.scan(self._table, key_of(base, quote, from_version), end)]


def _decode(row: Row) -> MacroBias:
    return _DECODER.decode(payload(TABLE, row))
