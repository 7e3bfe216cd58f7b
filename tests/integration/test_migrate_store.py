"""`cst migrate-store` between the embedded file and the Bigtable emulator: both ways, cut in the middle, compared."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.infra import create_all
from cli.main import main
from shared.domain.errors import PermanentError
from shared.runtime.clock import ScaledClock
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.bigtable_moving import BigtableMoving
from shared.store.moving import Kept, Movable, MovingRow
from shared.store.port import Write
from shared.store.sqlite import SqliteStore
from shared.store.sqlite_moving import SqliteMoving
from tests.support.emulators_store import PROJECT, running_bigtable

ROOT = Path(__file__).resolve().parents[2]
INSTANCE = "moving"
REVISIONS = 13  # more than a candle keeps
TABLES = ("market-data-1m", "market-trades", "signals", "outbox", "decisions")


@pytest.fixture
def bigtable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with running_bigtable() as server:
        monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", server.address)
        monkeypatch.setenv("BIGTABLE_INSTANCE", INSTANCE)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        asyncio.run(create_all(ServiceSettings()))
        yield


async def fill(file: Path) -> None:
    """Rows as services leave them: revised, fenced, aging, of one byte and of many."""
    database = open_database(file)
    store = SqliteStore(database, load_topology(), ScaledClock())
    lease = None
    for boot in range(7):
        lease = await store.acquire_lease("aggregator", f"one/{boot}", ttl_ms=10_000)
    assert lease is not None
    for number in range(REVISIONS):
        keys = [f"bybit-linear#BTCUSDT#{place:015d}" for place in range(5)]
        await store.write(
            [Write(table="market-data-1m", key=key, value=b"%d" % number, fence=lease.fence) for key in keys]
        )
    names = ("a", "b#é", "b#\U0001f600", "c")
    await store.write(
        [
            Write(table="market-trades", key=f"{name}#{place:04d}", value=os.urandom(300))
            for name in names
            for place in range(60)
        ]
    )
    await store.write([Write(table="signals", key=f"{place:016x}", value=b"s" * place) for place in range(130)])
    await store.write([Write(table="outbox", key="chat#1", value=b"", fence=3)])
    await store.release_lease(lease)
    await database.close()


def bigtable_store() -> BigtableMoving:
    return BigtableMoving(PROJECT, INSTANCE, load_topology(), ScaledClock())


async def everything(store: Movable) -> dict[str, list[MovingRow]]:
    """Rows by table; write times only where rows age by them."""
    topology = load_topology()
    found = {}
    for name in TABLES:
        rows = await store.rows_after(name, "", limit=10_000)
        if topology.table(name).ttl_hours is None:
            rows = [MovingRow(key=row.key, kept=tuple(_timeless(kept) for kept in row.kept)) for row in rows]
        found[name] = rows
    return found


def _timeless(kept: Kept) -> Kept:
    return Kept(revision=kept.revision, fence=kept.fence, value=kept.value, written_at_ms=0)


async def everything_in(file: Path) -> dict[str, list[MovingRow]]:
    database = open_database(file)
    try:
        return await everything(SqliteMoving(database, load_topology()))
    finally:
        await database.close()


def move(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["migrate-store", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_there_and_back_with_a_kill_in_the_middle(
    bigtable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "data" / "tracker.db"
    asyncio.run(fill(file))
    before = asyncio.run(everything_in(file))
    assert [len(row.kept) for row in before["market-data-1m"]] == [10] * 5

    there = ["--from", "sqlite", "--to", "bigtable", "--step-rows", "50"]
    command = [sys.executable, "-W", "ignore", "-c", "from cli.main import main; main()", "migrate-store", *there]
    killed = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CRASH_AT": "migrate.adopted:4"}, check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "data" / "migration-to-bigtable.json").is_file()

    code, said, errors = move(capsys, *there)
    assert code == 0, errors
    assert f"{5 + 240 + 130 + 1:,} rows compared" in said
    assert not (tmp_path / "data" / "migration-to-bigtable.json").exists()

    async def look_there() -> dict[str, list[MovingRow]]:
        store = bigtable_store()
        found = await everything(store)
        [lease] = await store.leases()
        assert (lease.name, lease.owner, lease.fence) == ("aggregator", "", 7)
        await store.close()
        return found

    assert asyncio.run(look_there()) == before

    assert "holds rows already" in move(capsys, *there)[2]

    monkeypatch.setenv("DATA_DIR", str(tmp_path / "back"))
    code, _, errors = move(capsys, "--from", "bigtable", "--to", "sqlite", "--step-rows", "70")
    assert code == 0, errors
    assert asyncio.run(everything_in(tmp_path / "back" / "tracker.db")) == before

    async def lead_again() -> int:
        database = open_database(tmp_path / "back" / "tracker.db")
        lease = await SqliteStore(database, load_topology(), ScaledClock()).acquire_lease(
            "aggregator", "b/1", ttl_ms=10
        )
        await database.close()
        return lease.fence if lease else 0

    assert asyncio.run(lead_again()) == 8

    async def change() -> None:
        store = bigtable_store()
        [row] = await store.rows_after("signals", f"{9:016x}", limit=1)
        await store.adopt("signals", [MovingRow(key=row.key, kept=(*row.kept[:-1], _other(row.kept[-1])))])
        await store.close()

    asyncio.run(change())
    code, _, errors = move(capsys, "--from", "bigtable", "--to", "sqlite", "--verify-only")
    assert code == 2
    assert f"1 row(s) differ: table signals: row '{10:016x}' differs in revision 1" in errors


def _other(kept: Kept) -> Kept:
    return Kept(revision=kept.revision, fence=kept.fence, value=b"another", written_at_ms=kept.written_at_ms)


def test_what_stands_in_the_way_is_named(bigtable: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    there = ["--from", "sqlite", "--to", "bigtable"]
    assert "there is no" in move(capsys, *there)[2]
    assert "must be the two of" in move(capsys, "--from", "sqlite", "--to", "sqlite")[2]

    async def busy() -> None:
        from shared.bus.sqlite import SqliteBus
        from tests.contract.harness import a_fact

        database = open_database(tmp_path / "data" / "tracker.db")
        await SqliteBus(database, load_topology(), ScaledClock()).publish("system-events", [a_fact(1)])
        await SqliteStore(database, load_topology(), ScaledClock()).acquire_lease("logic_engine", "a/1", ttl_ms=2_000)
        await database.close()

    asyncio.run(busy())
    assert "logic_engine lead(s) in" in move(capsys, *there)[2]
    asyncio.run(asyncio.sleep(2.1))
    assert "1 for notifier--system-events" in move(capsys, *there)[2]
    code, said, errors = move(capsys, *there, "--leave-messages")
    assert code == 0, errors
    assert "0 rows copied" in said


def test_a_state_of_another_move_is_not_taken_up(tmp_path: Path):
    from cli.migrate.moving import Route, State

    file = tmp_path / "state.json"
    State(route=Route(source="a", target="b")).keep(file)

    with pytest.raises(PermanentError, match="belongs to a move from a to b"):
        State.read(file, Route(source="a", target="c"))
    file.write_text("{")
    with pytest.raises(PermanentError, match="is not readable"):
        State.read(file, Route(source="a", target="b"))
