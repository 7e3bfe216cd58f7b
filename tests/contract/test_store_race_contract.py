"""What a store promises to writers that meet, the same for every adapter."""

import asyncio

from shared.store.port import Outcome, Store, Write
from tests.contract.harness import StoreCase


async def put(store: Store, table: str, key: str, value: bytes, expected: int | None = None, fence: int | None = None):
    [outcome] = await store.write([Write(table=table, key=key, value=value, expected_revision=expected, fence=fence)])
    return outcome


async def test_of_fenced_racers_at_one_revision_one_wins(store_case: StoreCase):
    stores = [store_case.store, store_case.another()]
    for table in ("single", "versioned", "aging"):
        await put(stores[0], table, "row", b"first", expected=0, fence=3)

        outcomes = await asyncio.gather(
            *(
                put(stores[racer % 2], table, "row", b"%d" % racer, expected=1, fence=3 + racer % 2)
                for racer in range(40)
            )
        )

        [winner] = [racer for racer, outcome in enumerate(outcomes) if outcome is Outcome.WRITTEN]
        row = await stores[0].get(table, "row")
        assert row is not None
        assert (row.value, row.revision, row.fence) == (b"%d" % winner, 2, 3 + winner % 2)
        assert {outcomes[racer] for racer in range(40) if racer != winner} <= {Outcome.CONFLICT, Outcome.FENCED}


async def test_racing_unconditional_writes_all_count_and_none_is_lost(store_case: StoreCase):
    stores = [store_case.store, store_case.another()]

    await asyncio.gather(*(put(stores[racer % 2], "versioned", "row", b"%d" % racer) for racer in range(24)))

    kept = await stores[0].history("versioned", "row")
    assert [row.revision for row in kept] == [22, 23, 24]
    assert len({row.value for row in kept}) == 3


async def test_a_new_owner_shuts_the_old_one_out_in_the_middle_of_its_writes(store_case: StoreCase):
    old, new = store_case.store, store_case.another()

    async def grow(store: Store, fence: int) -> list[bytes]:
        written = []
        for number in range(30):
            row = await store.get("single", "row")
            value = b"%d by %d" % (number, fence)
            outcome = await put(store, "single", "row", value, expected=row.revision if row else 0, fence=fence)
            if outcome is Outcome.WRITTEN:
                written.append(value)
        return written

    by_old, by_new = await asyncio.gather(grow(old, 1), grow(new, 2))

    row = await new.get("single", "row")
    assert by_new
    assert row is not None
    assert (row.value, row.revision, row.fence) == (by_new[-1], len(by_old) + len(by_new), 2)
    assert await put(old, "single", "row", b"", expected=row.revision, fence=1) is Outcome.FENCED


async def test_rows_of_one_call_may_repeat_and_keep_their_order(store_case: StoreCase):
    writes = [
        Write(table=table, key=f"row {number % 3}", value=b"%d" % number)
        for table in ("versioned", "single", "versioned")
        for number in range(9)
    ]

    assert set(await store_case.store.write(writes)) == {Outcome.WRITTEN}

    for number in range(3):
        versions = await store_case.store.history("versioned", f"row {number}")
        assert [int(row.value) for row in versions] == [number, number + 3, number + 6]
        assert [row.revision for row in versions] == [4, 5, 6]


async def test_a_write_once_row_is_there_after_any_number_of_writes(store_case: StoreCase):
    row = Write(table="once", key="tape#1", value=b"trades")

    for _ in range(3):
        assert await store_case.store.write([row, row]) == [Outcome.WRITTEN, Outcome.WRITTEN]

    [stored] = await store_case.store.scan("once", "", "~")
    assert stored.value == b"trades"
    assert len(await store_case.store.history("once", "tape#1")) == 1
    await store_case.store.delete("once", ["tape#1"])
    assert await store_case.store.get("once", "tape#1") is None
    await store_case.store.write([row])
    await store_case.pass_time(73 * 3600)
    assert await store_case.store.prune() == 1


async def test_many_revisions_leave_the_newest(store_case: StoreCase):
    for table in ("single", "versioned", "aging"):
        for number in range(40):
            outcome = await put(store_case.store, table, "row", b"%d" % number, expected=number, fence=number // 10)
            assert outcome is Outcome.WRITTEN

        kept = await store_case.store.history(table, "row")
        assert [row.revision for row in kept] == {"single": [40], "versioned": [38, 39, 40], "aging": [39, 40]}[table]
        assert kept[-1].value == b"39"
