"""The store contract, the same for every adapter."""

import asyncio

import pytest

from shared.domain.errors import InvalidValueError
from shared.store.leases import owner_of
from shared.store.port import Lease, Outcome, Row, Store, Write, key_of, prefix_range
from tests.contract.harness import StoreCase

HOUR_SECONDS = 3600


async def put(store: Store, table: str, key: str, value: bytes, expected: int | None = None, fence: int | None = None):
    [outcome] = await store.write([Write(table=table, key=key, value=value, expected_revision=expected, fence=fence)])
    return outcome


async def test_a_row_is_read_as_it_was_written(store_case: StoreCase):
    value = bytes(range(256)) * 200

    assert await store_case.store.get("single", "k") is None
    assert await put(store_case.store, "single", "k", value, fence=7) is Outcome.WRITTEN

    assert await store_case.store.get("single", "k") == Row(key="k", value=value, revision=1, fence=7)
    assert await store_case.store.get("versioned", "k") is None
    assert await put(store_case.store, "synchronous", "k", b"on disk") is Outcome.WRITTEN


async def test_revisions_count_writes_and_unconditional_writes_always_succeed(store_case: StoreCase):
    for number in range(1, 5):
        assert await put(store_case.store, "single", "k", b"%d" % number) is Outcome.WRITTEN

    row = await store_case.store.get("single", "k")
    assert row == Row(key="k", value=b"4", revision=4, fence=0)


async def test_a_conditional_write_wants_exactly_the_expected_revision(store_case: StoreCase):
    store = store_case.store
    assert await put(store, "single", "k", b"a", expected=1) is Outcome.CONFLICT
    assert await put(store, "single", "k", b"a", expected=0) is Outcome.WRITTEN
    assert await put(store, "single", "k", b"b", expected=0) is Outcome.CONFLICT
    assert await put(store, "single", "k", b"b", expected=1) is Outcome.WRITTEN
    assert await put(store, "single", "k", b"c", expected=1) is Outcome.CONFLICT

    assert await store.get("single", "k") == Row(key="k", value=b"b", revision=2, fence=0)


async def test_a_stale_fence_is_refused_and_the_highest_is_kept(store_case: StoreCase):
    store = store_case.store
    assert await put(store, "single", "k", b"new", fence=5) is Outcome.WRITTEN

    assert await put(store, "single", "k", b"old", fence=4) is Outcome.FENCED
    assert await put(store, "single", "k", b"old", expected=0, fence=4) is Outcome.FENCED
    assert await put(store, "single", "k", b"same", fence=5) is Outcome.WRITTEN
    assert await put(store, "single", "k", b"unfenced") is Outcome.WRITTEN

    assert await store.get("single", "k") == Row(key="k", value=b"unfenced", revision=3, fence=5)
    assert await put(store, "single", "k", b"old", fence=4) is Outcome.FENCED


async def test_each_row_of_a_write_has_its_own_outcome(store_case: StoreCase):
    await put(store_case.store, "single", "taken", b"x", fence=9)
    writes = [
        Write(table="single", key="a", value=b"1", expected_revision=0),
        Write(table="single", key="taken", value=b"2", expected_revision=0),
        Write(table="versioned", key="taken", value=b"3", expected_revision=0),
        Write(table="single", key="taken", value=b"4", expected_revision=1, fence=8),
        Write(table="single", key="a", value=b"5", expected_revision=1),
        Write(table="single", key="a", value=b"6", expected_revision=1),
    ]

    outcomes = await store_case.store.write(writes)

    assert outcomes == [
        Outcome.WRITTEN,
        Outcome.CONFLICT,
        Outcome.WRITTEN,
        Outcome.FENCED,
        Outcome.WRITTEN,
        Outcome.CONFLICT,
    ]
    assert (await store_case.store.get("single", "a")) == Row(key="a", value=b"5", revision=2, fence=0)
    assert await store_case.store.write([]) == []


async def test_of_a_hundred_racers_one_wins(store_case: StoreCase):
    stores = [store_case.store, store_case.another()]

    outcomes = await asyncio.gather(
        *(put(stores[racer % 2], "single", "slot", b"%d" % racer, expected=0) for racer in range(100))
    )

    [winner] = [racer for racer, outcome in enumerate(outcomes) if outcome is Outcome.WRITTEN]
    assert outcomes.count(Outcome.CONFLICT) == 99
    assert await store_case.store.get("single", "slot") == Row(key="slot", value=b"%d" % winner, revision=1, fence=0)


async def test_scans_are_bounded_ordered_and_of_newest_values(store_case: StoreCase):
    store = store_case.store
    times = [120_000, 60_000, 9, 180_000, 1_000_000]
    for time_ms in times:
        await put(store, "versioned", key_of("bybit-linear", "BTCUSDT", time_ms), b"old")
        await put(store, "versioned", key_of("bybit-linear", "BTCUSDT", time_ms), b"%d" % time_ms)
    await put(store, "versioned", key_of("bybit-linear", "BTCUSDTX", 60_000), b"other symbol")
    await put(store, "single", key_of("bybit-linear", "BTCUSDT", 60_000), b"other table")

    whole = await store.scan("versioned", *prefix_range("bybit-linear", "BTCUSDT"))
    assert [int(row.value) for row in whole] == sorted(times)
    assert {row.revision for row in whole} == {2}

    start, end = (key_of("bybit-linear", "BTCUSDT", time_ms) for time_ms in (60_000, 180_000))
    assert [int(row.value) for row in await store.scan("versioned", start, end)] == [60_000, 120_000]
    assert [int(row.value) for row in await store.scan("versioned", start, end, limit=1)] == [60_000]
    assert await store.scan("versioned", start, end, limit=0) == []
    assert await store.scan("versioned", end, start) == []


async def test_many_rows_are_read_at_once(store_case: StoreCase):
    keys = [f"ключ {number}" for number in range(300)]
    await store_case.store.write([Write(table="single", key=key, value=key.encode()) for key in keys])

    found = await store_case.store.get_many("single", [*keys, "absent", keys[0]])

    assert {key: row.value for key, row in found.items()} == {key: key.encode() for key in keys}
    assert await store_case.store.get_many("single", []) == {}


async def test_history_keeps_the_tables_number_of_revisions(store_case: StoreCase):
    store = store_case.store
    for number in range(1, 6):
        await put(store, "versioned", "k", b"%d" % number, expected=number - 1, fence=number)
        await put(store, "single", "k", b"%d" % number)

    kept = await store.history("versioned", "k")

    assert kept == [Row(key="k", value=b"%d" % n, revision=n, fence=n) for n in (3, 4, 5)]
    assert [row.revision for row in await store.history("single", "k")] == [5]
    assert await store.history("versioned", "absent") == []


async def test_filling_makes_rows_where_there_are_none_and_touches_no_other(store_case: StoreCase):
    store = store_case.store
    await put(store, "versioned", "known", b"1", fence=5)
    await put(store, "versioned", "corrected", b"1", fence=5)
    await put(store, "versioned", "corrected", b"2", fence=5)
    keys = ["known", "corrected", *(f"new {number:04d}" for number in range(2_500))]
    writes = [Write(table="versioned", key=key, value=key.encode(), expected_revision=0, fence=2) for key in keys]

    for _ in range(2):  # once more changes nothing
        await store.fill([*writes, Write(table="single", key="a", value=b"a", expected_revision=0)])
        await store.fill([])

    assert await store.get("versioned", "known") == Row(key="known", value=b"1", revision=1, fence=5)
    assert [row.value for row in await store.history("versioned", "corrected")] == [b"1", b"2"]
    assert await store.history("versioned", "known") == [Row(key="known", value=b"1", revision=1, fence=5)]
    assert len(await store.scan("versioned", "new", "new~")) == 2_500
    filled = await store.get("versioned", "new 0007")
    assert filled == Row(key="new 0007", value=b"new 0007", revision=1, fence=2)
    assert await put(store, "versioned", "new 0007", b"no", expected=0, fence=6) is Outcome.CONFLICT
    assert await put(store, "versioned", "new 0007", b"no", expected=1, fence=1) is Outcome.FENCED
    assert await put(store, "versioned", "new 0007", b"yes", expected=1, fence=6) is Outcome.WRITTEN
    await store.fill(writes)
    assert await store.get("versioned", "new 0007") == Row(key="new 0007", value=b"yes", revision=2, fence=6)


@pytest.mark.parametrize(("table", "expected"), [("single", None), ("single", 1), ("aging", 0), ("once", 0)])
async def test_what_could_not_be_filled_safely_is_refused(store_case: StoreCase, table: str, expected: int | None):
    with pytest.raises(InvalidValueError, match=r"fill, table (single|aging|once), row k"):
        await store_case.store.fill([Write(table=table, key="k", value=b"", expected_revision=expected)])


async def test_deleted_rows_are_forgotten_with_revisions_and_fence(store_case: StoreCase):
    store = store_case.store
    for key in ("a", "b"):
        await put(store, "versioned", key, b"1", fence=9)
        await put(store, "versioned", key, b"2", fence=9)

    await store.delete("versioned", ["a", "absent"])
    await store.delete("versioned", [])

    assert await store.get("versioned", "a") is None
    assert await store.history("versioned", "a") == []
    assert len(await store.history("versioned", "b")) == 2
    assert await put(store, "versioned", "a", b"again", expected=0, fence=1) is Outcome.WRITTEN


async def test_a_range_is_deleted_in_key_order_up_to_the_limit(store_case: StoreCase):
    store = store_case.store
    await store.write([Write(table="single", key=key_of("x", number), value=b"") for number in range(10)])
    start, end = key_of("x", 2), key_of("x", 9)

    assert await store.delete_range("single", start, end, limit=4) == 4
    assert [row.key for row in await store.scan("single", *prefix_range("x"))] == [
        key_of("x", number) for number in (0, 1, 6, 7, 8, 9)
    ]
    assert await store.delete_range("single", start, end, limit=100) == 3
    assert await store.delete_range("single", start, end, limit=100) == 0


async def test_a_lease_has_one_owner_at_a_time(store_case: StoreCase):
    stores = [store_case.store, store_case.another()]
    leases = await asyncio.gather(
        *(stores[racer % 2].acquire_lease("aggregator", f"owner-{racer}", ttl_ms=10_000) for racer in range(20))
    )

    [lease] = [lease for lease in leases if lease is not None]
    assert lease.fence == 1
    renewed = await store_case.store.acquire_lease("aggregator", lease.owner, ttl_ms=60_000)
    assert renewed is not None
    assert renewed.fence == 1
    assert renewed.expires_at_ms > lease.expires_at_ms
    assert await store_case.store.acquire_lease("logic-engine", "another", ttl_ms=1) is not None


async def test_an_expired_lease_is_taken_over_and_the_old_owner_is_fenced_off(store_case: StoreCase):
    store = store_case.store
    old = await store.acquire_lease("aggregator", "old", ttl_ms=5_000)
    await store_case.pass_time(4)
    assert await store.acquire_lease("aggregator", "new", ttl_ms=5_000) is None
    await store_case.pass_time(1.5)

    new = await store.acquire_lease("aggregator", "new", ttl_ms=5_000)

    assert old is not None
    assert new is not None
    assert new.fence > old.fence
    assert await store.acquire_lease("aggregator", "old", ttl_ms=5_000) is None
    assert await put(store, "single", "candle", b"new", fence=new.fence) is Outcome.WRITTEN
    assert await put(store, "single", "candle", b"old", fence=old.fence) is Outcome.FENCED
    await store.release_lease(old)
    assert await store.acquire_lease("aggregator", "third", ttl_ms=5_000) is None


async def test_a_released_lease_is_free_at_once_and_its_fence_keeps_rising(store_case: StoreCase):
    fences = []
    for owner in ("a", "b", "b", "a"):
        lease = await store_case.store.acquire_lease("aggregator", owner, ttl_ms=60_000)
        assert lease is not None
        fences.append(lease.fence)
        await store_case.store.release_lease(lease)

    assert fences == [1, 2, 3, 4]
    await store_case.store.release_lease(Lease(name="aggregator", owner="a", fence=1, expires_at_ms=0))


async def test_pruning_goes_by_write_time_and_by_table(store_case: StoreCase):
    store = store_case.store
    await put(store, "aging", key_of("x", 1_559_000_000_000), b"replayed old data")
    await put(store, "aging", "rewritten", b"1")
    await put(store, "single", "kept for ever", b"1")
    await store_case.pass_time(71 * HOUR_SECONDS)
    assert await store.prune() == 0
    await put(store, "aging", "rewritten", b"2")
    await store_case.pass_time(2 * HOUR_SECONDS)

    assert await store.prune() == 1

    assert [row.value for row in await store.scan("aging", "", "~")] == [b"2"]
    assert await store.get("single", "kept for ever") is not None
    await store_case.pass_time(80 * HOUR_SECONDS)
    assert await store.prune() == 1
    assert await store.history("aging", "rewritten") == []


async def test_pruning_many_rows_takes_several_steps(store_case: StoreCase):
    writes = [Write(table="aging", key=key_of("x", number), value=b"") for number in range(4_500)]
    await store_case.store.write(writes)
    await store_case.pass_time(73 * HOUR_SECONDS)

    assert await store_case.store.prune() == 4_500


async def test_undeclared_tables_are_refused(store_case: StoreCase):
    for refused in (
        store_case.store.get("nowhere", "k"),
        store_case.store.scan("nowhere", "a", "b"),
        store_case.store.delete("nowhere", ["k"]),
        put(store_case.store, "nowhere", "k", b""),
    ):
        with pytest.raises(InvalidValueError, match=r"tables are declared.*'nowhere'"):
            await refused


async def test_a_later_boot_of_the_same_instance_takes_over_at_once_and_the_earlier_one_is_fenced_off(
    store_case: StoreCase,
):
    store = store_case.store
    paused = await store.acquire_lease("aggregator", owner_of("a@host", "001"), ttl_ms=60_000)
    assert await store.acquire_lease("aggregator", owner_of("b@host", "002"), ttl_ms=60_000) is None

    restarted = await store_case.another().acquire_lease("aggregator", owner_of("a@host", "002"), ttl_ms=60_000)

    assert paused is not None
    assert restarted is not None
    assert restarted.fence > paused.fence
    assert await store.acquire_lease("aggregator", paused.owner, ttl_ms=60_000) is None
    assert await put(store, "single", "candle", b"new", fence=restarted.fence) is Outcome.WRITTEN
    assert await put(store, "single", "candle", b"old", fence=paused.fence) is Outcome.FENCED
    renewed = await store.acquire_lease("aggregator", restarted.owner, ttl_ms=60_000)
    assert renewed is not None
    assert renewed.fence == restarted.fence


async def test_a_new_boot_gets_a_new_fence_also_when_the_lease_has_expired(store_case: StoreCase):
    first = await store_case.store.acquire_lease("aggregator", owner_of("a", "1"), ttl_ms=1_000)
    await store_case.pass_time(1.5)
    second = await store_case.store.acquire_lease("aggregator", owner_of("a", "2"), ttl_ms=1_000)
    assert first is not None
    assert second is not None
    assert second.fence == first.fence + 1
