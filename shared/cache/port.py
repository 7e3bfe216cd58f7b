"""The cache contract: claims, small maps and blobs with a time to live. Everything in it can be made again."""

from typing import Protocol


class Cache(Protocol):
    """Values of bytes under text keys; an expired entry is absent. Errors of the backend raise TransientError."""

    async def get(self, key: str) -> bytes | None:
        """The value, None when absent or expired."""

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Store or replace the value."""

    async def delete(self, key: str) -> None:
        """Remove it; absent is no error."""

    async def claim(self, key: str, owner: str, *, ttl_ms: int) -> bool:
        """True for the first owner until the time to live ends or the claim is deleted; the same owner gets True again."""

    async def get_map(self, key: str) -> dict[str, bytes]:
        """All fields of a small map; empty when absent."""

    async def set_field(self, key: str, field: str, value: bytes, *, ttl_ms: int) -> None:
        """Set one field; the map's time to live starts anew."""

    async def prune(self) -> int:
        """Drop expired entries; returns how many."""

    async def close(self) -> None:
        """Release connections."""
