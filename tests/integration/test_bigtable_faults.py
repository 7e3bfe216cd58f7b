"""The Bigtable store while its emulator is killed, stopped and started anew: bounded calls, one-line errors, recovery."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from google.api_core.exceptions import PermissionDenied
from google.auth.exceptions import RefreshError
from google.cloud.bigtable.data import SetCell

from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.runtime.clock import EventClock, ScaledClock
from shared.store.bigtable import BigtableStore
from shared.store.bigtable_admin import open_admin
from shared.store.port import Outcome, Write
from tests.contract.harness import START_MS, TOPOLOGY
from tests.support.emulators_store import PROJECT, ServerProcess, running_bigtable

DEADLINE_SECONDS = 2.0
INSTANCE = "faults"


@pytest.fixture(scope="module")
def emulator_process() -> Iterator[ServerProcess]:
    with running_bigtable() as server:
        yield server


@pytest.fixture
async def emulator(emulator_process: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """Its own emulator with fresh tables, running again whatever the test before did to it."""
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", emulator_process.address)
    emulator_process.kill()
    emulator_process.start()
    await create_tables()
    return emulator_process


@pytest.fixture
async def store(emulator: ServerProcess) -> AsyncIterator[BigtableStore]:
    opened = BigtableStore(PROJECT, INSTANCE, TOPOLOGY, ScaledClock(), deadline_seconds=DEADLINE_SECONDS)
    yield opened
    await opened.close()


async def create_tables() -> None:
    async with open_admin(PROJECT, INSTANCE) as admin:
        await admin.create_tables(TOPOLOGY)


def a_write(key: str, *, expected: int | None = 0, table: str = "single") -> Write:
    return Write(table=table, key=key, value=b"value", expected_revision=expected, fence=1)


async def fails_in_time(call) -> str:
    began = time.monotonic()
    with pytest.raises(TransientError) as raised:
        await call
    assert time.monotonic() - began < DEADLINE_SECONDS + 3
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_every_call_fails_in_time_with_one_line_while_the_emulator_is_gone(emulator, store):
    await store.write([a_write("row")])
    emulator.kill()

    texts = await asyncio.gather(
        fails_in_time(store.get("single", "row")),
        fails_in_time(store.get_many("single", ["row"])),
        fails_in_time(store.scan("single", "", "~")),
        fails_in_time(store.history("single", "row")),
        fails_in_time(store.write([a_write("other")])),
        fails_in_time(store.write([Write(table="once", key="tape", value=b"")])),
        fails_in_time(store.write([a_write(f"row {number}") for number in range(100)])),
        fails_in_time(store.delete("single", ["row"])),
        fails_in_time(store.delete_range("single", "", "~", limit=5)),
        fails_in_time(store.acquire_lease("aggregator", "a", ttl_ms=1000)),
        fails_in_time(store.prune()),
    )

    assert all(re.search(rf"Bigtable did not answer .*Bigtable {PROJECT}/{INSTANCE}, table", text) for text in texts)


async def test_an_emulator_started_anew_has_lost_its_tables_and_serves_once_they_are_made(emulator, store):
    assert await store.write([a_write("row")]) == [Outcome.WRITTEN]
    emulator.kill()
    await fails_in_time(store.get("single", "row"))
    emulator.start()

    # Not a permanent error: a message must not be given up because an emulator lost its memory.
    text = ""
    deadline = time.monotonic() + 10
    while "cst infra create" not in text and time.monotonic() < deadline:
        text = await fails_in_time(store.get("single", "row"))
    assert "the table is gone" in text

    await create_tables()
    assert await store.get("single", "row") is None
    assert await store.write([a_write("row")]) == [Outcome.WRITTEN]


async def test_it_is_back_soon_after_a_long_outage(emulator, store):
    await store.write([a_write("row")])
    emulator.kill()
    until = time.monotonic() + 12
    while time.monotonic() < until:
        await fails_in_time(store.get("single", "row"))
    emulator.start()
    await create_tables()

    began = time.monotonic()
    while True:
        try:
            await store.write([a_write("row", expected=None)])
            break
        except TransientError:
            await asyncio.sleep(0.1)
    assert time.monotonic() - began < 10  # bounded, also on a busy machine


async def test_a_kill_in_the_middle_of_writes_leaves_whole_outcomes_only(emulator, store):
    async def keep_writing(writer: int) -> list[str]:
        ended = []
        for number in range(2000):
            try:
                await store.write([a_write(f"{writer}#{number}#{part}") for part in range(5)])
            except TransientError as error:
                return [*ended, str(error)]
            ended.append("written")
        return ended

    writers = [asyncio.create_task(keep_writing(writer)) for writer in range(8)]
    await asyncio.sleep(0.5)
    emulator.kill()
    ends = await asyncio.gather(*writers)

    assert all(end[0] == "written" and end[-1] != "written" and "\n" not in end[-1] for end in ends)


async def test_a_server_that_hangs_costs_the_deadline_and_no_data(emulator, store):
    assert await store.write([a_write("row")]) == [Outcome.WRITTEN]
    emulator.signal(signal.SIGSTOP)
    try:
        await asyncio.gather(
            fails_in_time(store.get("single", "row")),
            fails_in_time(store.scan("single", "", "~")),
            fails_in_time(store.write([a_write("row", expected=1)])),
            fails_in_time(store.write([Write(table="once", key="tape", value=b"")])),
        )
    finally:
        emulator.signal(signal.SIGCONT)

    row = None
    deadline = time.monotonic() + 10
    while row is None and time.monotonic() < deadline:
        try:
            row = await store.get("single", "row")
        except TransientError:
            await asyncio.sleep(0.05)
    assert row is not None
    assert row.revision in {1, 2}  # the write that got no answer may have happened


async def test_a_table_that_nobody_created_is_a_permanent_error_with_the_remedy(emulator):
    store = BigtableStore(PROJECT, "nobody-made-this", TOPOLOGY, ScaledClock(), deadline_seconds=DEADLINE_SECONDS)
    for call in (
        store.get("versioned", "row"),
        store.scan("versioned", "", "~"),
        store.write([a_write("row", table="versioned")]),
        store.write([Write(table="once", key="row", value=b"")]),
        store.delete("versioned", ["row"]),
    ):
        with pytest.raises(
            PermanentError, match=r"no such table.*nobody-made-this, table (versioned|once).*infra create"
        ) as told:
            await call
        assert "\n" not in str(told.value)
    async with open_admin(PROJECT, "nobody-made-this") as admin:
        assert await admin.missing_tables(TOPOLOGY) == sorted(table.name for table in TOPOLOGY.tables)
    await store.close()


async def test_no_credentials_are_one_line_at_the_start(monkeypatch, tmp_path):
    monkeypatch.delenv("BIGTABLE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))

    with pytest.raises(PermanentError, match=r"no credentials for Bigtable: .*absent\.json") as told:
        BigtableStore(PROJECT, INSTANCE, TOPOLOGY, ScaledClock())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", [PermissionDenied("not yours"), RefreshError("token expired")])
async def test_refused_credentials_are_permanent_at_first_and_transient_once_they_worked(store, error):
    async def refuse(_table) -> None:
        raise error

    with pytest.raises(PermanentError, match="refuses these credentials"):
        await store._connection.call("single", refuse)
    await store.get("single", "row")
    with pytest.raises(TransientError, match="refuses these credentials"):
        await store._connection.call("single", refuse)


async def test_a_cell_of_another_layout_is_named(store):
    foreign = SetCell("r", b"v", b"\x07 not ours, but long enough", 1000)
    await store._connection.call("single", lambda table: table.mutate_row("foreign", foreign))

    with pytest.raises(InvalidValueError, match=r"layout must be 1, was 7 \(table single, row foreign\)"):
        await store.get("single", "foreign")
    with pytest.raises(InvalidValueError, match=r"layout must be 1, was 7"):
        await store.scan("single", "", "~")


async def test_a_clock_that_is_behind_hides_no_revision(emulator):
    clocks = EventClock(START_MS), EventClock(START_MS - 60_000)
    stores = [BigtableStore(PROJECT, INSTANCE, TOPOLOGY, clock) for clock in clocks]
    for number in range(6):
        writer = stores[number % 2]
        write = Write(table="aging", key="row", value=b"%d" % number, expected_revision=number, fence=7)
        assert await writer.write([write]) == [Outcome.WRITTEN]
        row = await stores[1 - number % 2].get("aging", "row")
        assert row is not None
        assert (row.value, row.revision) == (b"%d" % number, number + 1)
    for store in stores:
        await store.close()


async def test_nobody_but_the_emulator_is_dialled(emulator, store):
    await store.write([a_write("row")])
    await store.acquire_lease("aggregator", "a", ttl_ms=1000)

    dialled = {connection.raddr for connection in psutil.Process().net_connections("inet") if connection.raddr}

    assert emulator.port in {port for _, port in dialled}
    assert {address.removeprefix("::ffff:") for address, _ in dialled} <= {"127.0.0.1", "::1"}


async def test_deleting_the_tables_leaves_those_of_others(emulator):
    async with open_admin(PROJECT, INSTANCE) as admin:
        assert await admin.create_tables(TOPOLOGY) == []
        assert await admin.missing_tables(TOPOLOGY) == []
        assert await admin.delete_tables(TOPOLOGY) == sorted(table.name for table in TOPOLOGY.tables)
        assert await admin.delete_tables(TOPOLOGY) == []
    emulator.kill()
    with pytest.raises(TransientError, match="admin service") as told:
        async with open_admin(PROJECT, INSTANCE) as admin:
            await admin.missing_tables(TOPOLOGY)
    assert "\n" not in str(told.value)
