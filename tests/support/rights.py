"""Bus and store that note who asked them for what, and refuse nothing."""

from collections.abc import Sequence
from typing import Any

from shared.domain.events import Event
from shared.store.port import Write


class Witness:
    """What each service did, by its name: published topics and pulled subscriptions, tables read and written."""

    def __init__(self) -> None:
        self.published: dict[str, set[str]] = {}
        self.pulled: dict[str, set[str]] = {}
        self.read: dict[str, set[str]] = {}
        self.written: dict[str, set[str]] = {}

    def store(self, inner: Any, service: str) -> "WatchedStore":
        return WatchedStore(inner, self.read.setdefault(service, set()), self.written.setdefault(service, set()))

    def bus(self, inner: Any, service: str) -> "WatchedBus":
        return WatchedBus(inner, self.published.setdefault(service, set()), self.pulled.setdefault(service, set()))


class WatchedStore:
    """The store port by delegation."""

    def __init__(self, inner: Any, read: set[str], written: set[str]) -> None:
        self._inner = inner
        self._read = read
        self._written = written

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name in {"get", "get_many", "scan", "history"}:
            return self._noting(method, self._read)
        if name in {"delete", "delete_range"}:
            return self._noting(method, self._written)
        if name.endswith("_lease"):
            self._written.add("leases")
        return method

    def _noting(self, method: Any, tables: set[str]) -> Any:
        def call(table: str, *arguments: Any, **keywords: Any) -> Any:
            tables.add(table)
            return method(table, *arguments, **keywords)

        return call

    async def write(self, writes: Sequence[Write]) -> Any:
        self._written.update(write.table for write in writes)
        return await self._inner.write(writes)

    async def fill(self, writes: Sequence[Write]) -> Any:
        self._written.update(write.table for write in writes)
        return await self._inner.fill(writes)


class WatchedBus:
    """The bus port by delegation."""

    def __init__(self, inner: Any, published: set[str], pulled: set[str]) -> None:
        self._inner = inner
        self._published = published
        self._pulled = pulled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        self._published.add(topic)
        await self._inner.publish(topic, events)

    async def pull(self, subscription: str, **keywords: Any) -> Any:
        self._pulled.add(subscription)
        return await self._inner.pull(subscription, **keywords)

    async def refuse(self, subscription: str, *arguments: Any, **keywords: Any) -> Any:
        self._published.add(f"{subscription}--dead")
        return await self._inner.refuse(subscription, *arguments, **keywords)
