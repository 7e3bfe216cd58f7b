"""A slow obvious model of the store contract, and any sequence of operations to compare an adapter with it."""

from hypothesis import strategies as st

from shared.runtime.clock import EventClock
from shared.store.port import Outcome, Row, Store, Write
from tests.contract.harness import START_MS, TOPOLOGY

HOUR_MS = 3_600_000
tables = st.sampled_from(["single", "versioned", "aging"])
keys = st.sampled_from(["a", "a#1", "a#2", "b", "ä", "z"])
writes = st.builds(
    Write,
    table=tables,
    key=keys,
    value=st.binary(max_size=4),
    expected_revision=st.none() | st.integers(0, 4),
    fence=st.none() | st.integers(0, 3),
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(writes, max_size=6)),
        st.tuples(st.just("fill"), st.sampled_from(["single", "versioned"]), st.lists(keys, max_size=4)),
        st.tuples(st.just("delete"), tables, st.lists(keys, max_size=3)),
        st.tuples(st.just("delete_range"), tables, keys, keys, st.integers(0, 3)),
        st.tuples(st.just("pass"), st.integers(1, 40)),
        st.tuples(st.just("prune")),
    ),
    max_size=25,
)


class Model:
    """Every kept revision of every row in a dict, oldest first, beside its write time."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[tuple[Row, int]]] = {}
        self.now_ms = START_MS

    def write(self, write: Write) -> Outcome:
        kept = self.rows.get((write.table, write.key), [])
        revision, fence = (kept[-1][0].revision, kept[-1][0].fence) if kept else (0, 0)
        if write.fence is not None and write.fence < fence:
            return Outcome.FENCED
        if write.expected_revision not in {None, revision}:
            return Outcome.CONFLICT
        row = Row(key=write.key, value=write.value, revision=revision + 1, fence=max(fence, write.fence or 0))
        versions = TOPOLOGY.table(write.table).max_versions
        self.rows[write.table, write.key] = [*kept, (row, self.now_ms)][-versions:]
        return Outcome.WRITTEN

    def fill(self, write: Write) -> None:
        if (write.table, write.key) not in self.rows:
            self.write(write)

    def delete(self, table: str, doomed: list[str]) -> None:
        for key in doomed:
            self.rows.pop((table, key), None)

    def keys(self, table: str, start: str = "", end: str = "\U0010ffff") -> list[str]:
        return sorted(key for of, key in self.rows if of == table and start <= key < end)

    def prune(self) -> int:
        old = [key for key in self.keys("aging") if self.rows["aging", key][-1][1] < self.now_ms - 72 * HOUR_MS]
        self.delete("aging", old)
        return len(old)


async def compare(steps, store: Store, clock: EventClock) -> None:
    """Do the steps on both; outcomes and everything that is left must be equal."""
    model = Model()
    for name, *arguments in steps:
        if name == "write":
            assert await store.write(*arguments) == [model.write(write) for write in arguments[0]]
        elif name == "fill":
            table, some = arguments
            fills = [Write(table=table, key=key, value=b"filled", expected_revision=0) for key in some]
            await store.fill(fills)
            for fill in fills:
                model.fill(fill)
        elif name == "delete":
            await store.delete(*arguments)
            model.delete(*arguments)
        elif name == "delete_range":
            table, start, end, limit = arguments
            doomed = model.keys(table, start, end)[:limit]
            model.delete(table, doomed)
            assert await store.delete_range(table, start, end, limit=limit) == len(doomed)
        elif name == "pass":
            clock.now_ms = model.now_ms = model.now_ms + arguments[0] * HOUR_MS
        else:
            assert await store.prune() == model.prune()
    for table in ("single", "versioned", "aging"):
        newest = [model.rows[table, key][-1][0] for key in model.keys(table)]
        assert await store.scan(table, "", "\U0010ffff") == newest
        assert await store.get_many(table, model.keys(table)) == {row.key: row for row in newest}
        for key in model.keys(table):
            assert await store.history(table, key) == [row for row, _ in model.rows[table, key]]
