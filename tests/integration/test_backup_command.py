"""`cst backup` while services write, `cst restore` in a test that reads it back, and everything it refuses."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from shared.domain.errors import PermanentError
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.backup import check_database, copy_database, restore_database
from shared.sqlite.database import open_database
from shared.sqlite.file_lock import FileLock
from shared.store.port import Write
from shared.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
PAIRS = 20
# Another process that writes pairs of rows, each pair in one transaction, as fast as it can.
WRITER = """
import asyncio, sys
from pathlib import Path
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.port import Write
from shared.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(open_database(Path(sys.argv[1])), load_topology(), ScaledClock())
    number = 0
    while True:
        number += 1
        value = b"%d" % number + bytes(2_000)
        pair = number % 20
        await store.write([Write(table="signals", key=f"{half}-{pair:02d}", value=value) for half in ("left", "right")])
        if number == 100:
            print("writing", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def cst(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


async def written(file: Path, values: dict[str, bytes]) -> None:
    database = open_database(file)
    store = SqliteStore(database, load_topology(), ScaledClock())
    await store.write([Write(table="signals", key=key, value=value) for key, value in values.items()])
    await database.close()


async def stored(file: Path) -> dict[str, bytes]:
    database = open_database(file)
    rows = await SqliteStore(database, load_topology(), ScaledClock()).scan("signals", "", "~")
    await database.close()
    return {row.key: row.value for row in rows}


def test_a_copy_of_a_busy_file_is_one_moment_and_comes_back(folder: Path, capsys: pytest.CaptureFixture[str]):
    database = folder / "data" / "tracker.db"
    asyncio.run(written(database, {f"ballast-{number}": os.urandom(20_000) for number in range(1_000)}))
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database)], cwd=ROOT, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        code, said, errors = cst(capsys, "backup", str(folder / "copy.db"))
        assert (code, errors) == (0, "")
        assert "every page checked" in said
        refused = cst(capsys, "restore", str(folder / "copy.db"))
    finally:
        writer.kill()
        writer.communicate()

    assert refused[0] == 2
    assert "is in use: stop the services first" in refused[2]
    copied = asyncio.run(stored(folder / "copy.db"))
    for pair in range(PAIRS):
        assert copied[f"left-{pair:02d}"] == copied[f"right-{pair:02d}"]
    newest = asyncio.run(stored(database))

    code, said, _ = cst(capsys, "restore", str(folder / "copy.db"))

    assert code == 0
    assert asyncio.run(stored(database)) == copied
    [former] = (folder / "data").glob("tracker.db.before-restore-*Z")
    assert str(former) in said
    assert asyncio.run(stored(former)) == newest


def test_a_folder_gets_copies_named_by_time_and_keeps_the_newest(folder: Path, capsys: pytest.CaptureFixture[str]):
    asyncio.run(written(folder / "data" / "tracker.db", {"a": b"1"}))
    copies = folder / "data" / "backups"
    copies.mkdir()
    (copies / "tracker-20200101T000000Z.db").touch()
    (copies / "of-somebody-else.db").touch()

    said = cst(capsys, "backup", "--keep", "1")[1]

    left = sorted(file.name for file in copies.iterdir())
    assert len(left) == 2
    assert "of-somebody-else.db" in left
    assert "removed: " in said
    check_database(copies / next(name for name in left if name.startswith("tracker-")))


def test_what_cannot_be_copied_or_restored_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    database = folder / "data" / "tracker.db"
    assert "DATA_DIR names its folder" in cst(capsys, "backup", str(folder / "copy.db"))[2]
    asyncio.run(written(database, {f"row-{number}": os.urandom(5_000) for number in range(50)}))
    cst(capsys, "backup", str(folder / "copy.db"))
    assert "is there already" in cst(capsys, "backup", str(folder / "copy.db"))[2]

    content = bytearray((folder / "copy.db").read_bytes())
    content[8_192:40_960] = bytes(32_768)
    (folder / "damaged.db").write_bytes(content)
    (folder / "text.db").write_text("not a database, but long enough to be taken for one" * 100)
    with sqlite3.connect(folder / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE something (a)")
    for name, text in (
        ("damaged.db", "damaged"),
        ("text.db", "not a whole database"),
        ("foreign.db", "another program"),
        ("absent.db", "no such file"),
    ):
        code, _, errors = cst(capsys, "restore", str(folder / name))
        assert (code, errors.count("\n")) == (2, 1)
        assert text in errors, (name, errors)
    assert len(asyncio.run(stored(database))) == 50


def test_a_damaged_database_is_set_aside_and_replaced(folder: Path, capsys: pytest.CaptureFixture[str]):
    database = folder / "data" / "tracker.db"
    asyncio.run(written(database, {"a": b"1"}))
    cst(capsys, "backup", str(folder / "copy.db"))
    database.write_bytes(b"the disk has lost it" * 1_000)

    assert cst(capsys, "restore", str(folder / "copy.db"))[0] == 0

    assert asyncio.run(stored(database)) == {"a": b"1"}


def test_who_has_it_open_or_holds_its_lock_is_not_robbed(folder: Path):
    database = folder / "data" / "tracker.db"
    asyncio.run(written(database, {"a": b"1"}))
    copy_database(database, folder / "copy.db")
    lock = FileLock(f"{database}.lock")
    with lock.held(), pytest.raises(PermanentError, match="is in use"):
        restore_database(folder / "copy.db", database)
    lock.close()

    async def idle() -> None:
        opened = open_database(database)
        with pytest.raises(PermanentError, match="is in use"):
            restore_database(folder / "copy.db", database)
        await opened.close()

    asyncio.run(idle())
    assert restore_database(folder / "copy.db", database) is not None
