"""A process that writes one SQLite file the way a service does; tests start it and kill it.

    python -m tests.support.sqlite_process FILE ROLE NAME COUNT

Roles: `pairs`   writes two rows in one write and publishes one event, then prints the number, COUNT times.
       `counter` adds one to a shared row COUNT times by conditional writes, between rows of its own.
       `consume` pulls and acknowledges until nothing comes for COUNT seconds; prints what it has acknowledged.
       `stuck`   writes a row inside a transaction that never ends; prints `inside` there.
"""

import asyncio
import sys
import time

from shared.bus.sqlite import SqliteBus
from shared.domain.events import SystemEvent
from shared.runtime.clock import ScaledClock
from shared.sqlite.database import Database, open_database
from shared.store.port import Outcome, Write, key_of
from shared.store.sqlite import SqliteStore
from tests.contract.harness import TOPOLOGY, a_fact


def say(text: object) -> None:
    """One line, at once: the parent may kill us after it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def pairs(database: Database, name: str, count: int) -> None:
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    bus = SqliteBus(database, TOPOLOGY, ScaledClock())
    for number in range(count):
        rows = [Write(table="single", key=key_of(name, number, side), value=b"x" * 500) for side in ("left", "right")]
        await asyncio.gather(store.write(rows), bus.publish("facts", [a_fact(number, subject=name)]))
        say(number)


async def counter(database: Database, name: str, count: int) -> None:
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    for number in range(count):
        await store.write([Write(table="single", key=key_of(name, number), value=b"own")])
        outcome = Outcome.CONFLICT
        while outcome is not Outcome.WRITTEN:
            row = await store.get("single", "total")
            value, revision = (int(row.value), row.revision) if row else (0, 0)
            write = Write(table="single", key="total", value=b"%d" % (value + 1), expected_revision=revision)
            [outcome] = await store.write([write])
    say("done")


async def consume(database: Database, name: str, count: int) -> None:
    bus = SqliteBus(database, TOPOLOGY, ScaledClock())
    while deliveries := await bus.pull(f"{name}--facts", max_messages=7, wait_seconds=count):
        await bus.acknowledge(deliveries)
        for delivery in deliveries:
            if isinstance(delivery.event, SystemEvent):
                say(f"{delivery.event.subject} {delivery.event.version}")


async def stuck(database: Database, name: str, count: int) -> None:
    def never_end(connection) -> None:
        number = connection.execute("SELECT id FROM names WHERE kind = 'table' AND name = 'single'").fetchone()[0]
        row = (number, name, 1, b"half", 0, 0, 0)
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        say("inside")
        time.sleep(count)

    SqliteStore(database, TOPOLOGY, ScaledClock())
    await database.write(never_end)


async def main() -> None:
    path, role, name, count = sys.argv[1:]
    database = open_database(path)
    roles = {"pairs": pairs, "counter": counter, "consume": consume, "stuck": stuck}
    await roles[role](database, name, int(count))
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
