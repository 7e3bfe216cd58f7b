"""Clients of the WebSocket: who is connected, what they subscribed, and a bounded queue in front of each."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

from fastapi import WebSocket, WebSocketDisconnect

_CLOSE_GOING_AWAY = 1001


class Connection:
    """One client. Frames are queued and written by a task of its own, so that a slow one holds up nobody."""

    def __init__(self, socket: WebSocket, queued_max: int) -> None:
        self.connection_id = f"sim{secrets.token_hex(8)}-{secrets.token_hex(3)}"
        self.topics: set[str] = set()
        self.silent = False
        self.last_ping_s = time.monotonic()
        self.socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue(queued_max)

    def send(self, text: str) -> bool:
        """Queues a frame; False when the queue is full. A silent connection swallows it."""
        if self.silent:
            return True
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            return False
        return True

    async def write(self) -> None:
        """Writes queued frames until the client is gone."""
        try:
            while True:
                text = await self._queue.get()
                if not self.silent:
                    await self.socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError):
            # The reading side sees the same end and removes the connection.
            return


class Hub:
    """All connections by topic."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.slow_clients_dropped = 0
        # Breaks the socket of one client, or of all for None; the server that owns the sockets sets it.
        self.abort: Callable[[Connection | None], None] = self._close_instead
        self._by_topic: dict[str, set[Connection]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, connection: Connection) -> None:
        """Registers a client."""
        self.connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forgets a client and its subscriptions."""
        self.connections.discard(connection)
        self.unsubscribe(connection, list(connection.topics))

    def subscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Adds topics; a topic that is already there stays."""
        for topic in topics:
            connection.topics.add(topic)
            self._by_topic.setdefault(topic, set()).add(connection)

    def unsubscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Removes topics."""
        for topic in topics:
            connection.topics.discard(topic)
            members = self._by_topic.get(topic)
            if members is not None:
                members.discard(connection)
                if not members:
                    del self._by_topic[topic]

    def topics(self, prefix: str) -> list[str]:
        """Topics with at least one subscriber that begin with the prefix."""
        return [topic for topic in self._by_topic if topic.startswith(prefix)]

    def topics_ending(self, suffix: str) -> list[str]:
        """Topics with at least one subscriber that end with the suffix."""
        return [topic for topic in self._by_topic if topic.endswith(suffix)]

    def publish(self, topic: str, text: str) -> int:
        """Queues a frame for every subscriber; returns how many there are."""
        members = self._by_topic.get(topic, set())
        for connection in list(members):
            if not connection.send(text):
                self.slow_clients_dropped += 1
                self.remove(connection)
                # A close frame would wait behind all that it has not read.
                self.abort(connection)
        return len(members)

    def _close_instead(self, connection: Connection | None) -> None:
        for each in [connection] if connection else list(self.connections):
            self.close(each)

    def close(self, connection: Connection) -> None:
        """Closes with a close frame, in the background."""
        task = asyncio.get_running_loop().create_task(_close(connection.socket))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close_all(self) -> None:
        """Closes every client with a close frame."""
        for connection in list(self.connections):
            self.close(connection)


async def _close(socket: WebSocket) -> None:
    try:
        await socket.close(_CLOSE_GOING_AWAY)
    except (RuntimeError, WebSocketDisconnect):
        return  # it had closed itself
