"""Copying and comparing the rows of two stores, table by table; where it stopped is known."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shared.domain.errors import PermanentError
from shared.domain.topology import Table
from shared.runtime.crash import crash_point
from shared.store.moving import Movable, MovingRow

LEASES: Final = "leases"
FAULTS_SHOWN_MAX: Final = 5
_WRITTEN_TOLERANCE_MS: Final = 1_000  # revisions of one millisecond need different cell times on Bigtable
OnRows = Callable[[str, int], None]  # table, rows done now


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows come from and where they go, in words that tell two places apart."""

    source: str
    target: str


class State(msgspec.Struct, kw_only=True):
    """How far the copying is. last: the last key copied of each table."""

    route: Route
    last: dict[str, str] = msgspec.field(default_factory=dict)
    rows: int = 0

    @classmethod
    def read(cls, file: Path, route: Route) -> "State | None":
        """What an interrupted run left. Raises PermanentError where it was another route's."""
        if not file.is_file():
            return None
        try:
            state = msgspec.json.decode(file.read_bytes(), type=cls)
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{file} is not readable ({error}): remove it to begin anew") from error
        if state.route != route:
            was = f"{state.route.source} to {state.route.target}"
            raise PermanentError(f"{file} belongs to a move from {was}: finish that, or remove the file")
        return state

    def keep(self, file: Path) -> None:
        """Replaced as a whole, so that a kill leaves the former one."""
        beside = file.with_name(f"{file.name}.new")
        beside.write_bytes(msgspec.json.encode(self))
        beside.replace(file)


class Compared(msgspec.Struct, kw_only=True):
    """What comparing found: rows that are the same, and the first faults in words."""

    rows: int = 0
    faults: int = 0
    texts: list[str] = msgspec.field(default_factory=list)

    def fault(self, text: str) -> None:
        """One more."""
        self.faults += 1
        if len(self.texts) < FAULTS_SHOWN_MAX:
            self.texts.append(text)


def moved_tables(tables: Sequence[Table]) -> list[Table]:
    """All but the leases, of which only the fences go along."""
    return [table for table in tables if table.name != LEASES]


async def refuse_filled(target: Movable, tables: Sequence[Table]) -> None:
    """Raise PermanentError where a table of the target holds rows: they would be mixed with what comes."""
    for table in tables:
        if await target.rows_after(table.name, "", limit=1):
            raise PermanentError(f"the target holds rows already (table {table.name}): move into an empty store")


async def copy(
    source: Movable,
    target: Movable,
    tables: Sequence[Table],
    state: State,
    file: Path,
    *,
    step_rows: int,
    on_rows: OnRows,
) -> None:
    """Everything behind what was copied before; the state is kept after each step, so that a kill repeats one at most."""
    for table in tables:
        while rows := await source.rows_after(table.name, state.last.get(table.name, ""), limit=step_rows):
            await target.adopt(table.name, rows)
            crash_point("migrate.adopted")
            state.last[table.name] = rows[-1].key
            state.rows += len(rows)
            state.keep(file)
            on_rows(table.name, len(rows))
    for lease in await source.leases():
        await target.adopt_fence(lease.name, lease.fence)


async def compare(
    source: Movable, target: Movable, tables: Sequence[Table], *, step_rows: int, now_ms: int, on_rows: OnRows
) -> Compared:
    """Every row of both sides, every kept revision: value, revision, fence; write times where rows age by them.

    A row whose time to live is over may be gone on either side.
    """
    found = Compared()
    for table in tables:
        ours, theirs = _rows(source, table, step_rows), _rows(target, table, step_rows)
        mine, other = await anext(ours, None), await anext(theirs, None)
        while mine is not None or other is not None:
            on_rows(table.name, 1)
            if other is None or (mine is not None and mine.key.encode() < other.key.encode()):
                assert mine is not None  # noqa: S101 - for the type checker
                _lone(found, table, mine, now_ms, "is missing in the target")
                mine = await anext(ours, None)
            elif mine is None or other.key.encode() < mine.key.encode():
                _lone(found, table, other, now_ms, "is only in the target")
                other = await anext(theirs, None)
            else:
                _same(found, table, mine, other)
                mine, other = await anext(ours, None), await anext(theirs, None)
    await _compare_fences(source, target, found)
    return found


async def _rows(store: Movable, table: Table, step_rows: int) -> AsyncIterator[MovingRow]:
    after = ""
    while rows := await store.rows_after(table.name, after, limit=step_rows):
        for row in rows:
            yield row
        after = rows[-1].key


def _lone(found: Compared, table: Table, row: MovingRow, now_ms: int, what: str) -> None:
    written_ms = row.kept[-1].written_at_ms
    if table.ttl_hours is None or written_ms > now_ms - table.ttl_hours * 3_600_000:
        found.fault(f"table {table.name}: row {row.key!r} {what}")


def _same(found: Compared, table: Table, mine: MovingRow, other: MovingRow) -> None:
    place = f"table {table.name}: row {mine.key!r}"
    if len(mine.kept) != len(other.kept):
        found.fault(f"{place} has {len(mine.kept)} revisions, in the target {len(other.kept)}")
        return
    for ours, theirs in zip(mine.kept, other.kept, strict=True):
        said, answered = (ours.revision, ours.fence, ours.value), (theirs.revision, theirs.fence, theirs.value)
        late = table.ttl_hours is not None and abs(ours.written_at_ms - theirs.written_at_ms) > _WRITTEN_TOLERANCE_MS
        if said != answered or late:
            found.fault(f"{place} differs in revision {ours.revision}")
            return
    found.rows += 1


async def _compare_fences(source: Movable, target: Movable, found: Compared) -> None:
    there = {lease.name: lease.fence for lease in await target.leases()}
    for lease in await source.leases():
        if there.get(lease.name, 0) < lease.fence:
            found.fault(f"lease {lease.name}: its fence must be at least {lease.fence}, was {there.get(lease.name, 0)}")
