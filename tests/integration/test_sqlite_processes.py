"""Several real processes on one file: correct totals, and nothing lost or doubled when one is killed."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shared.bus.sqlite import SqliteBus
from shared.runtime.clock import EventClock, ScaledClock
from shared.sqlite.database import open_database
from shared.store.port import Write, key_of, prefix_range
from shared.store.sqlite import SqliteStore
from tests.contract.harness import TOPOLOGY

ROOT = Path(__file__).parents[2]


def start(path: Path, role: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.sqlite_process", str(path), role, name, str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def finished(process: subprocess.Popen[str]) -> str:
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0
    return output


def assert_intact(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_five_processes_start_at_once_and_reach_the_correct_total(tmp_path: Path):
    path = tmp_path / "new folder" / "tracker.db"
    processes = [start(path, "counter", f"writer-{number}", 60) for number in range(5)]
    await asyncio.gather(*(finished(process) for process in processes))

    database = open_database(path)
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    total = await store.get("single", "total")

    assert total is not None
    assert (total.value, total.revision) == (b"300", 300)
    for number in range(5):
        assert len(await store.scan("single", *prefix_range(f"writer-{number}"))) == 60
    await database.close()
    assert_intact(path)


async def test_consumers_in_several_processes_share_the_messages(tmp_path: Path):
    path = tmp_path / "tracker.db"
    database = open_database(path)
    SqliteBus(database, TOPOLOGY, ScaledClock())
    consumers = [start(path, "consume", "first", 2) for _ in range(2)]
    producers = [start(path, "pairs", f"producer-{number}", 100) for number in range(2)]

    outputs = await asyncio.gather(*(finished(process) for process in (*consumers, *producers)))

    handled = Counter("".join(outputs[:2]).splitlines())
    assert set(handled.values()) == {1}
    assert len(handled) == 200
    await database.close()


@pytest.mark.parametrize("round_number", range(3))
async def test_killed_writers_lose_nothing_acknowledged_and_double_nothing(tmp_path: Path, round_number: int):
    path = tmp_path / "tracker.db"
    names = ["a", "b", "c"]
    processes = [start(path, "pairs", name, 1_000_000) for name in names]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    await asyncio.sleep(random.Random(round_number).uniform(0.2, 0.6))
    for process in processes:
        process.kill()
    acknowledged = {}
    for name, process in zip(names, processes, strict=True):
        output, _ = process.communicate()
        complete_lines = output[: output.rfind("\n") + 1].splitlines()
        acknowledged[name] = int(complete_lines[-1]) if complete_lines else 0

    assert_intact(path)
    database = open_database(path)
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    bus = SqliteBus(database, TOPOLOGY, ScaledClock())
    for name, last in acknowledged.items():
        rows = await store.scan("single", *prefix_range(name))
        sides = Counter(row.key.rsplit("#", 1)[0] for row in rows)
        assert set(sides.values()) == {2}, "a write of two rows is there whole or not at all"
        assert {row.revision for row in rows} == {1}
        assert all(key_of(name, number) in sides for number in range(last + 1))
    events = Counter()
    while deliveries := await bus.pull("first--facts", max_messages=500, wait_seconds=0):
        events.update((delivery.event.subject, delivery.event.version) for delivery in deliveries)
        await bus.acknowledge(deliveries)
    assert set(events.values()) == {1}
    assert all((name, number) in events for name, last in acknowledged.items() for number in range(last + 1))
    await database.close()


async def test_killed_consumers_lose_no_message_and_see_none_again_that_they_acknowledged(tmp_path: Path):
    path = tmp_path / "tracker.db"
    database = open_database(path)
    SqliteBus(database, TOPOLOGY, ScaledClock())
    producers = [start(path, "pairs", name, 8_000) for name in ("a", "b")]
    acknowledged: list[tuple[str, int]] = []
    for round_number in range(3):
        consumers = [start(path, "consume", "first", 60) for _ in range(2)]
        for consumer in consumers:
            assert consumer.stdout is not None
            await asyncio.to_thread(consumer.stdout.readline)  # the first line is not counted: its event may come again
        await asyncio.sleep(random.Random(round_number).uniform(0.02, 0.15))
        for consumer in consumers:
            consumer.kill()
            output = consumer.communicate()[0]
            lines = (line.split() for line in output[: output.rfind("\n") + 1].splitlines())
            acknowledged += [(subject, int(version)) for subject, version in lines]
    published = set()
    for name, producer in zip(("a", "b"), producers, strict=True):
        producer.kill()
        output = producer.communicate()[0]
        published |= {(name, int(line)) for line in output[: output.rfind("\n") + 1].splitlines()}

    later = EventClock(ScaledClock().wall_ms() + 60_000)  # when every lease of the dead has ended
    bus = SqliteBus(database, TOPOLOGY, later)
    drained: list[tuple[str, int]] = []
    while deliveries := await bus.pull("first--facts", max_messages=100, wait_seconds=0):
        drained += [(delivery.event.subject, delivery.event.version) for delivery in deliveries]
        await bus.acknowledge(deliveries)

    assert len(acknowledged) == len(set(acknowledged))
    assert len(drained) == len(set(drained))
    assert not set(acknowledged) & set(drained)
    silent = published - set(acknowledged) - set(drained)
    assert len(silent) <= 6 * 8, "what was acknowledged but not printed: at most a pull of each killed process"
    await database.close()
    assert_intact(path)


async def test_a_writer_killed_inside_its_transaction_leaves_no_trace_and_no_lock(tmp_path: Path):
    path = tmp_path / "tracker.db"
    database = open_database(path)
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    process = start(path, "stuck", "half", 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    waiting = asyncio.create_task(store.write([Write(table="single", key="mine", value=b"whole")]))
    await asyncio.sleep(0.2)
    assert not waiting.done(), "it queues behind the other process"
    assert await store.get("single", "half") is None, "readers do not wait"

    process.kill()
    began = time.monotonic()
    await waiting

    assert time.monotonic() - began < 2
    assert await store.get("single", "half") is None
    assert await store.get("single", "mine") is not None
    process.communicate()
    await database.close()
    assert_intact(path)
