"""The database over a real file: group commits, faults, versions, the size of its log."""

import asyncio
import resource
import sqlite3
from pathlib import Path

import pytest

from shared.bus.sqlite import SqliteBus
from shared.domain.errors import PermanentError, TransientError
from shared.runtime.clock import ScaledClock
from shared.sqlite import file_database
from shared.sqlite.database import Database, open_database
from shared.sqlite.file_lock import FileLock
from shared.sqlite.schema import APPLICATION_ID, VERSION
from shared.store.port import Write
from shared.store.sqlite import SqliteStore
from tests.contract.harness import TOPOLOGY, facts


@pytest.fixture
async def database(tmp_path: Path):
    opened = open_database(tmp_path / "tracker.db")
    yield opened
    await opened.close()


def insert_name(name: str):
    return lambda connection: connection.execute("INSERT INTO names (kind, name) VALUES ('test', ?)", (name,)).rowcount


async def names(database: Database) -> list[str]:
    statement = "SELECT name FROM names WHERE kind = 'test' ORDER BY name"
    return [name for (name,) in await database.read(lambda connection: connection.execute(statement).fetchall())]


async def read_all(path: Path) -> list[str]:
    database = open_database(path)
    try:
        return await names(database)
    finally:
        await database.close()


async def test_one_failing_operation_spoils_no_other_of_its_group(database: Database):
    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO names (kind, name) VALUES ('test', 'undone')")
        raise PermanentError("price must be > 0")

    outcomes = await asyncio.gather(
        database.write(insert_name("a")),
        database.write(fails),
        database.write(insert_name("b")),
        database.write(insert_name("a")),  # breaks the unique rule
        database.write(insert_name("c"), fully_synchronous=True),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [int, PermanentError, int, sqlite3.IntegrityError, int]
    assert await names(database) == ["a", "b", "c"]


async def test_queued_operations_share_commits(database: Database):
    before = await database.read(lambda connection: connection.execute("PRAGMA data_version").fetchone()[0])

    await asyncio.gather(*(database.write(insert_name(f"{number:04d}")) for number in range(500)))

    after = await database.read(lambda connection: connection.execute("PRAGMA data_version").fetchone()[0])
    assert len(await names(database)) == 500
    assert after - before < 50


async def test_a_cancelled_caller_disturbs_nobody(database: Database):
    cancelled = asyncio.create_task(database.write(insert_name("a")))
    other = asyncio.create_task(database.write(insert_name("b")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other

    assert "b" in await names(database)


async def test_a_closed_database_says_so(tmp_path: Path):
    for path in (":memory:", tmp_path / "tracker.db"):
        database = open_database(path)
        await database.close()
        await database.close()
        with pytest.raises(TransientError, match="is closed"):
            await database.write(insert_name("a"))
        with pytest.raises(TransientError, match="is closed"):
            await database.read(lambda connection: connection.execute("SELECT 1").fetchone())


async def test_everything_is_in_one_file_after_closing_and_opens_again(tmp_path: Path):
    database = open_database(tmp_path / "tracker.db")
    await database.write(insert_name("kept"))
    await database.close()
    assert not (tmp_path / "tracker.db-wal").exists()

    database = open_database(tmp_path / "tracker.db")
    assert await names(database) == ["kept"]
    await database.close()


def test_a_damaged_file_is_refused_and_named(tmp_path: Path):
    path = tmp_path / "tracker.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(PermanentError, match=r"tracker\.db is damaged or no SQLite file .*move it away"):
        open_database(path)


async def test_damage_inside_the_file_is_reported_by_the_operation(tmp_path: Path):
    path = tmp_path / "tracker.db"
    database = open_database(path)
    await asyncio.gather(*(database.write(insert_name(f"{number:04d}" * 50)) for number in range(500)))
    await database.close()
    content = bytearray(path.read_bytes())
    content[4096 * 4 :] = b"\x55" * (len(content) - 4096 * 4)
    path.write_bytes(content)

    with pytest.raises(PermanentError, match=r"tracker\.db is damaged"):
        await read_all(path)


def test_a_newer_schema_is_refused(tmp_path: Path):
    path = tmp_path / "tracker.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(PermanentError, match=rf"schema version {VERSION + 1}, this program knows {VERSION}"):
        open_database(path)


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "tracker.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="a database of another program"):
        open_database(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PermanentError, match=r"cannot use .*file/tracker\.db .*make its folder writable"):
        open_database(tmp_path / "file" / "tracker.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(PermanentError, match=r"folder\.db"):
        open_database(tmp_path / "folder.db")


async def test_a_full_disk_is_a_transient_error_and_passes(database: Database):
    """The operating system refuses to let a file grow: what a full disk looks like without filling one."""
    await database.write(insert_name("before"))
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 40").fetchall())

    with pytest.raises(TransientError, match=r"no space left for .*free disk space"):
        await database.write(
            lambda connection: (
                connection.execute("INSERT INTO names (kind, name) SELECT 'test', hex(randomblob(100000))").rowcount
            )
        )

    await database.write(insert_name("after"))
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
    assert await names(database) == ["after", "before"]


async def test_a_stopped_process_with_the_lock_makes_writers_report_not_hang(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(file_database, "_WRITE_SECONDS_MAX", 0.3)
    lock = FileLock(str(tmp_path / "tracker.db.lock"))
    assert lock.try_acquire()

    with pytest.raises(TransientError, match=r"could not be written for 0\.3 s"):
        await database.write(insert_name("late"))

    lock.release()
    lock.close()
    await database.write(insert_name("later"))
    assert "later" in await names(database)


async def test_the_log_stays_bounded_under_steady_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.sqlite.checkpointer._INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr("shared.sqlite.checkpointer.WAL_BYTES_WORTH_IT", 200_000)
    monkeypatch.setattr("shared.sqlite.checkpointer.WAL_BYTES_MAX", 2_000_000)
    database = open_database(tmp_path / "tracker.db")
    store = SqliteStore(database, TOPOLOGY, ScaledClock())
    sizes = []
    for number in range(600):
        await store.write([Write(table="single", key=f"{number % 50}-{row}", value=b"x" * 3000) for row in range(20)])
        await asyncio.sleep(0.002)
        sizes.append((tmp_path / "tracker.db-wal").stat().st_size)
    await database.close()

    assert max(sizes) < 15_000_000, "unbounded it would be some 40 MB"


async def test_an_idle_process_hardly_uses_the_processor(database: Database):
    bus = SqliteBus(database, TOPOLOGY, ScaledClock())
    pulls = [
        asyncio.create_task(bus.pull(name, max_messages=1, wait_seconds=2))
        for name in ("first--facts", "second--facts")
    ]
    await asyncio.sleep(0.2)
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*pulls)
    after = resource.getrusage(resource.RUSAGE_SELF)

    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.04 * 1.8, "4 % of a core at the busy interval, twice the goal to be safe on a loaded machine"


async def test_two_databases_of_one_file_see_each_others_messages_within_milliseconds(tmp_path: Path):
    databases = [open_database(tmp_path / "tracker.db") for _ in range(2)]
    sender, receiver = (SqliteBus(database, TOPOLOGY, ScaledClock()) for database in databases)
    loop = asyncio.get_running_loop()
    delays = []
    for number in range(20):
        pulling = asyncio.create_task(receiver.pull("first--facts", max_messages=1, wait_seconds=5))
        await asyncio.sleep(0.02)
        began = loop.time()
        await sender.publish("facts", facts(1, start=number))
        await receiver.acknowledge(await pulling)
        delays.append(loop.time() - began)
    for database in databases:
        await database.close()

    assert sorted(delays)[10] < 0.05, "milliseconds on a free machine"
