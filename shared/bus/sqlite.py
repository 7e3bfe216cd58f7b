"""The bus on SQLite: a message once, and one delivery row per subscription until it is acknowledged."""

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from shared.bus.port import DeadLetter, Delivery
from shared.domain.errors import PermanentError
from shared.domain.events import Event
from shared.domain.topology import Subscription, Topology
from shared.domain.wall_clock import WallClock
from shared.domain.wire import decode_event, encode_event, event_attributes
from shared.sqlite.bulk import insert_rows
from shared.sqlite.database import Database

_PRUNE_MESSAGES: Final = 1_000  # per transaction, so that other processes get their turn
_HOUR_MS: Final = 3_600_000
_LEASE_BITS: Final = 62
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, str]).decode

_Leased = tuple[int, int, int, bytes, bytes]  # delivery number, attempts, message id, attributes, data
_LEASE: Final = """
    UPDATE deliveries SET visible_at_ms = ?, attempts = attempts + 1, lease = ? WHERE number IN (
        SELECT number FROM deliveries WHERE subscription = ? AND visible_at_ms <= ?
        ORDER BY visible_at_ms, message LIMIT ?)"""
_LEASED: Final = """
    SELECT deliveries.number, attempts, messages.id, attributes, data
    FROM deliveries JOIN messages ON messages.id = deliveries.message
    WHERE subscription = ? AND visible_at_ms = ? AND lease = ? ORDER BY messages.id"""
_ACKNOWLEDGE: Final = "DELETE FROM deliveries WHERE lease = ? AND number IN (SELECT value FROM json_each(?))"
_RELEASE: Final = """
    UPDATE deliveries SET visible_at_ms = ?, lease = 0 WHERE lease = ? AND number IN (SELECT value FROM json_each(?))"""
_GIVE_BACK: Final = """
    UPDATE deliveries SET visible_at_ms = ?, attempts = attempts - 1, lease = 0
    WHERE subscription = ? AND visible_at_ms = ? AND lease = ?"""
_BURY: Final = """
    INSERT INTO dead_letters (subscription, message_id, data, attributes, reason, dead_at_ms, attempts)
    SELECT subscription, CAST(messages.id AS TEXT), data, attributes, ?, ?, attempts
    FROM deliveries JOIN messages ON messages.id = deliveries.message WHERE number = ? AND lease = ?"""


class SqliteBus:
    """The bus port over one Database; close() leaves the database to whoever opened it."""

    def __init__(self, database: Database, topology: Topology, clock: WallClock) -> None:
        self._database = database
        self._topology = topology
        self._clock = clock
        self._closed = False
        self._topics = database.name_ids("topic", [topic.name for topic in topology.topics])
        self._subscriptions = database.name_ids("subscription", [item.name for item in topology.subscriptions])

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """One transaction for the messages and all their deliveries."""
        readers = [self._subscriptions[item.name] for item in self._topology.subscriptions_of(topic)]
        if not events:
            return
        number = self._topics[topic]
        now_ms = self._clock.wall_ms()
        rows = [(number, now_ms, _ENCODE(event_attributes(event)), encode_event(event)) for event in events]
        await self._database.write(lambda connection: _insert(connection, rows, readers, now_ms))

    async def pull(self, subscription: str, *, max_messages: int, wait_seconds: float) -> list[Delivery]:
        """Looks without the write lock, leases with it, reads without it."""
        declared = self._topology.subscription(subscription)
        number = self._subscriptions[subscription]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds

        def due_at_ms(connection: sqlite3.Connection) -> int | None:
            statement = "SELECT min(visible_at_ms) FROM deliveries WHERE subscription = ?"
            earliest: int | None = connection.execute(statement, (number,)).fetchone()[0]
            return earliest

        while not self._closed:
            remaining = max(0.0, deadline - loop.time())
            if not await self._database.wait_until_due(due_at_ms, self._clock.wall_ms, remaining):
                return []
            deliveries = await self._lease(declared, number, max_messages)
            if deliveries:
                return deliveries
        return []

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Deletes the delivery rows that are still under the lease of their pull."""
        groups = _by_lease(deliveries)
        if groups:
            await self._database.write(
                lambda connection: [connection.execute(_ACKNOWLEDGE, group) for group in groups].clear()
            )

    async def release(self, deliveries: Sequence[Delivery], *, delay_seconds: float) -> None:
        """The attempt counts."""
        visible_at_ms = self._clock.wall_ms() + round(delay_seconds * 1000)
        groups = [(visible_at_ms, lease, numbers) for lease, numbers in _by_lease(deliveries)]
        if groups:
            await self._database.write(
                lambda connection: [connection.execute(_RELEASE, group) for group in groups].clear()
            )

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Moves the message as it came; a no-op when its lease is another's now."""
        lease, number = _parts(delivery.token)
        await self._bury([(number, reason)], lease)

    async def dead_letters(self, subscription: str, *, limit: int = 100) -> list[DeadLetter]:
        """In the order in which they died."""
        self._topology.subscription(subscription)
        statement = """
            SELECT message_id, data, attributes, reason, dead_at_ms, attempts FROM dead_letters WHERE subscription = ?
            ORDER BY id LIMIT ?"""
        parameters = (self._subscriptions[subscription], limit)
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return [
            DeadLetter(
                subscription=subscription,
                message_id=message_id,
                data=data,
                attributes=_DECODE_ATTRIBUTES(attributes),
                reason=reason,
                dead_at_ms=dead_at_ms,
                attempts=attempts,
            )
            for message_id, data, attributes, reason, dead_at_ms, attempts in found
        ]

    async def dead_count(self, subscription: str) -> int:
        """Exact."""
        return await self._count("dead_letters", subscription)

    async def requeue(self, subscription: str, message_ids: Sequence[str]) -> list[str]:
        """In one transaction: the message anew, its one delivery, the dead letter away."""
        declared = self._topology.subscription(subscription)
        reader, topic = self._subscriptions[subscription], self._topics[declared.topic]
        now_ms = self._clock.wall_ms()
        wanted = (reader, _ENCODE(list(message_ids)).decode())
        return await self._database.write(lambda connection: _revive(connection, wanted, topic, now_ms))

    async def backlog(self, subscription: str) -> int:
        """Exact."""
        return await self._count("deliveries", subscription)

    async def _count(self, table: str, subscription: str) -> int:
        self._topology.subscription(subscription)
        statement = f"SELECT count(*) FROM {table} WHERE subscription = ?"  # noqa: S608 - one of two names of ours
        parameters = (self._subscriptions[subscription],)
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchone())
        return int(found[0])

    async def refuse(self, subscription: str, data: bytes, attributes: dict[str, str], reason: str) -> None:
        """Its message id is "refused-<number>"."""
        self._topology.subscription(subscription)
        parameters = (self._subscriptions[subscription], data, _ENCODE(attributes), reason, self._clock.wall_ms())

        def insert(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "INSERT INTO dead_letters (subscription, message_id, data, attributes, reason, dead_at_ms)"
                " VALUES (?, '', ?, ?, ?, ?)",
                parameters,
            ).lastrowid
            connection.execute("UPDATE dead_letters SET message_id = ? WHERE id = ?", (f"refused-{row}", row))

        await self._database.write(insert)

    async def prune(self) -> int:
        """Bounded transactions, one after the other."""
        pruned = 0
        for topic in self._topology.topics:
            before_ms = self._clock.wall_ms() - round(topic.retention_hours * _HOUR_MS)
            removed = _PRUNE_MESSAGES
            while removed == _PRUNE_MESSAGES:
                removed = await self._prune_some(topic.name, before_ms)
                pruned += removed
        return pruned

    async def close(self) -> None:
        """Pending pulls return empty."""
        self._closed = True
        self._database.release_waiters()

    async def _lease(self, subscription: Subscription, number: int, max_messages: int) -> list[Delivery]:
        now_ms = self._clock.wall_ms()
        ends_at_ms = now_ms + subscription.ack_deadline_seconds * 1000
        lease = random.getrandbits(_LEASE_BITS)
        take = (ends_at_ms, lease, number, now_ms, max_messages)
        held = (number, ends_at_ms, lease)
        try:
            taken = await self._database.write(lambda connection: connection.execute(_LEASE, take).rowcount)
            if not taken:
                return []
            rows = await self._database.read(lambda connection: connection.execute(_LEASED, held).fetchall())
        except asyncio.CancelledError:
            # Whoever is stopped inside a pull gives back what it may have leased: its successor need not wait for it.
            back = (now_ms, *held)
            self._database.write_later(lambda connection: connection.execute(_GIVE_BACK, back))
            raise
        deliveries, dead = _sorted_out(rows, subscription, lease)
        if dead:
            await self._bury(dead, lease)
        return deliveries

    async def _bury(self, dead: Iterable[tuple[int, str]], lease: int) -> None:
        now_ms = self._clock.wall_ms()

        def bury(connection: sqlite3.Connection) -> None:
            for number, reason in dead:
                connection.execute(_BURY, (reason, now_ms, number, lease))
                connection.execute("DELETE FROM deliveries WHERE number = ? AND lease = ?", (number, lease))

        await self._database.write(bury)

    async def _prune_some(self, topic: str, before_ms: int) -> int:
        readers = [self._subscriptions[item.name] for item in self._topology.subscriptions_of(topic)]
        statement = f"""
            DELETE FROM messages WHERE id IN (
                SELECT id FROM messages WHERE topic = ? AND published_at_ms < ? AND id NOT IN (
                    SELECT message FROM deliveries WHERE subscription IN ({",".join("?" * len(readers))}))
                ORDER BY published_at_ms LIMIT ?)"""  # noqa: S608 - only question marks are put in
        parameters = (self._topics[topic], before_ms, *readers, _PRUNE_MESSAGES)
        return await self._database.write(lambda connection: connection.execute(statement, parameters).rowcount)


def _insert(
    connection: sqlite3.Connection, rows: Sequence[tuple[int, int, bytes, bytes]], readers: Sequence[int], now_ms: int
) -> None:
    insert_rows(connection, "INSERT INTO messages (topic, published_at_ms, attributes, data) VALUES", rows)
    last = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
    first = last - len(rows) + 1  # ids are handed out without gaps inside a transaction
    for reader in readers:
        connection.execute(
            "INSERT INTO deliveries (subscription, visible_at_ms, message, attempts, lease)"
            " SELECT ?, ?, id, 0, 0 FROM messages WHERE id BETWEEN ? AND ?",
            (reader, now_ms, first, last),
        )


def _revive(connection: sqlite3.Connection, wanted: tuple[int, str], topic: int, now_ms: int) -> list[str]:
    """The message ids of the dead letters that wait again."""
    dead = connection.execute(
        "SELECT id, message_id, attributes, data FROM dead_letters"
        " WHERE subscription = ? AND message_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        wanted,
    ).fetchall()
    revived = []
    for number, message_id, attributes, data in dead:
        if "schema_version" not in _DECODE_ATTRIBUTES(attributes):
            continue
        _insert(connection, [(topic, now_ms, attributes, data)], [wanted[0]], now_ms)
        connection.execute("DELETE FROM dead_letters WHERE id = ?", (number,))
        revived.append(message_id)
    return revived


def _sorted_out(
    rows: Iterable[_Leased], subscription: Subscription, lease: int
) -> tuple[list[Delivery], list[tuple[int, str]]]:
    """What a handler may see, and (delivery number, reason) of what it may not."""
    deliveries = []
    dead = []
    for number, attempt, message_id, packed_attributes, data in rows:
        if attempt > subscription.max_delivery_attempts:
            dead.append((number, f"not acknowledged in {subscription.max_delivery_attempts} attempts"))
            continue
        try:
            attributes = _DECODE_ATTRIBUTES(packed_attributes)
            event = decode_event(data, attributes)
        except (PermanentError, msgspec.MsgspecError) as error:
            dead.append((number, str(error)))
            continue
        deliveries.append(
            Delivery(
                subscription=subscription.name,
                message_id=str(message_id),
                event=event,
                attributes=attributes,
                attempt=attempt,
                token=f"{lease}:{number}",
            )
        )
    return deliveries, dead


def _parts(token: str) -> tuple[int, int]:
    lease, number = token.split(":")
    return int(lease), int(number)


def _by_lease(deliveries: Iterable[Delivery]) -> list[tuple[int, str]]:
    """(lease, its delivery numbers as JSON): few statements, however many deliveries."""
    groups: dict[int, list[int]] = {}
    for delivery in deliveries:
        lease, number = _parts(delivery.token)
        groups.setdefault(lease, []).append(number)
    return [(lease, _ENCODE(numbers).decode()) for lease, numbers in groups.items()]
