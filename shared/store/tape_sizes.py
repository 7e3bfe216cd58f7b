"""How large the tape is, by hour, and where it begins: written by the active aggregator, so that nobody counts rows again."""

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.domain.errors import FencedError
from shared.store.batches import TABLE as BATCHES
from shared.store.port import Outcome, Store, Write, key_of
from shared.store.tape import TABLE as TRADES

TABLE: Final = "tape-sizes"
_BEGINNING: Final = "!begins"
_SIZE: Final = "size"
_ROWS_AT_ONCE: Final = 2_000
_LAYOUT: Final = b"\x01"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(int)


class TapeSizeStore:
    """Rows size#exchange#symbol#<hour>, bytes, and !begins#exchange, the first minute that is whole on the tape."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def sizes(self) -> list[tuple[str, str, int, int]]:
        """(exchange, symbol, hour, bytes); an empty symbol stands for what batches said of themselves."""
        rows = await self._store.scan(TABLE, f"{_SIZE}#", f"{_SIZE}$")
        found = []
        for row in rows:
            _, exchange, symbol, hour = row.key.split("#")
            found.append((exchange, symbol, int(hour), _number(row.value)))
        return found

    async def beginnings(self) -> dict[str, int]:
        """By exchange; one that never lost an hour is not there."""
        rows = await self._store.scan(TABLE, f"{_BEGINNING}#", f"{_BEGINNING}$")
        return {row.key.partition("#")[2]: _number(row.value) for row in rows}

    async def note(self, sizes: Iterable[tuple[str, str, int, int]], *, fence: int | None) -> None:
        """Keep the sizes; raises FencedError where a newer owner did."""
        await self._write(
            [(key_of(_SIZE, exchange, symbol, hour), count) for exchange, symbol, hour, count in sizes], fence
        )

    async def begin_at(self, exchange: str, minute_ms: int, *, fence: int | None) -> None:
        """Say it before rows go: from then on nobody folds an earlier minute, of which some rows may be missing."""
        await self._write([(key_of(_BEGINNING, exchange), minute_ms)], fence)

    async def drop_hour(self, exchange: str, symbols: Iterable[str], start_ms: int, end_ms: int) -> int:
        """Remove the rows of these series, then what is noted of them; returns how many. May be repeated."""
        removed = 0
        for symbol in symbols:
            table, series = (TRADES, (exchange, symbol)) if symbol else (BATCHES, (exchange,))
            some = _ROWS_AT_ONCE
            while some == _ROWS_AT_ONCE:
                some = await self._store.delete_range(
                    table, key_of(*series, start_ms), key_of(*series, end_ms), limit=_ROWS_AT_ONCE
                )
                removed += some
        await self._store.delete(TABLE, [key_of(_SIZE, exchange, symbol, start_ms) for symbol in symbols])
        return removed

    async def _write(self, rows: list[tuple[str, int]], fence: int | None) -> None:
        writes = [
            Write(table=TABLE, key=key, value=_LAYOUT + _ENCODER.encode(number), fence=fence) for key, number in rows
        ]
        if writes and Outcome.FENCED in await self._store.write(writes):
            raise FencedError(f"a newer aggregator wrote {TABLE} (fence {fence} is stale)")


def _number(value: bytes) -> int:
    return _DECODER.decode(value[1:])
