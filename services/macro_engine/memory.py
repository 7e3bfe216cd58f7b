"""Small things the macro engine remembers between runs: one JSON value per key."""

from typing import Any, Final, TypeVar

import msgspec

from shared.store.port import Store, Write

TABLE: Final = "macro-state"
_Value = TypeVar("_Value")


class Memory:
    """Reads and writes them. Two runs at once may overwrite one another: nothing here is more than a memory of outside facts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: str, decoder: msgspec.json.Decoder[_Value]) -> _Value | None:
        """The value, None where there is none or where an older layout left something else."""
        row = await self._store.get(TABLE, key)
        try:
            return decoder.decode(row.value) if row else None
        except msgspec.MsgspecError:
            return None

    async def put(self, key: str, value: Any) -> None:
        """Write the value."""
        await self._store.write([Write(table=TABLE, key=key, value=msgspec.json.encode(value))])
