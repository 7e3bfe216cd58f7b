"""Versions of the macro bias on the store: base#quote#<version>, written once each."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.bias import MacroBias
from shared.domain.errors import FencedError
from shared.store.port import Outcome, Row, Store, Write, key_of, prefix_range

TABLE: Final = "macro-bias"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MacroBias)
_LAYOUT: Final = b"\x01"


class BiasStore:
    """Reads and writes versions of the bias by (base, quote)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, versions: Sequence[MacroBias], *, fence: int | None) -> None:
        """Store each version unless it is there already. Raises FencedError where a newer owner wrote a row."""
        writes = [
            Write(
                table=TABLE,
                key=key_of(bias.base, bias.quote, bias.version),
                value=_LAYOUT + _ENCODER.encode(bias),
                expected_revision=0,
                fence=fence,
            )
            for bias in versions
        ]
        if Outcome.FENCED in await self._store.write(writes):
            raise FencedError(f"a newer logic engine wrote {TABLE} (fence {fence} is stale)")

    async def versions(self, base: str, quote: str) -> list[MacroBias]:
        """Every version of the pair's bias, lowest version first."""
        return [_decode(row) for row in await self._store.scan(TABLE, *prefix_range(base, quote))]


def _decode(row: Row) -> MacroBias:
    return _DECODER.decode(row.value[1:])
