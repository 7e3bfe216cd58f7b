"""What the aggregator wants fetched again: it notices that batches of a session never came, only ingestion can fetch them."""

from typing import Final

import msgspec

from shared.domain.errors import FencedError
from shared.store.port import Outcome, Store, Write, key_of, prefix_range

TABLE: Final = "refill-requests"
_LAYOUT: Final = b"\x01"


class RefillRequest(msgspec.Struct, frozen=True, array_like=True):
    """Trades of the session's symbols with from_ms <= T < to_ms, of which some never came. asked_at_ms: wall clock."""

    exchange: str
    session: str
    symbols: tuple[str, ...]
    from_ms: int
    to_ms: int
    asked_at_ms: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(RefillRequest)


class RefillRequestStore:
    """Rows exchange#session; a newer request of a session replaces the older one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(self, request: RefillRequest, *, fence: int | None) -> None:
        """Keep the request; raises FencedError where a newer owner asked."""
        value = _LAYOUT + _ENCODER.encode(request)
        write = Write(table=TABLE, key=key_of(request.exchange, request.session), value=value, fence=fence)
        if Outcome.FENCED in await self._store.write([write]):
            raise FencedError(f"a newer aggregator wrote {TABLE} (fence {fence} is stale)")

    async def open(self, exchange: str) -> list[RefillRequest]:
        """Those nobody has served."""
        rows = await self._store.scan(TABLE, *prefix_range(exchange))
        return [_DECODER.decode(row.value[1:]) for row in rows]

    async def done(self, request: RefillRequest) -> None:
        """It is served."""
        await self._store.delete(TABLE, [key_of(request.exchange, request.session)])
