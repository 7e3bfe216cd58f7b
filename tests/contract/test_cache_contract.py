"""The cache contract, the same for every adapter."""

import asyncio

from tests.contract.harness import CacheCase


async def test_a_value_lives_until_its_time_ends(cache_case: CacheCase):
    await cache_case.cache.set("chart", b"\x89PNG\x00", ttl_ms=2_000)
    assert await cache_case.cache.get("chart") == b"\x89PNG\x00"

    await cache_case.pass_time(1)
    await cache_case.cache.set("chart", b"new", ttl_ms=2_000)
    await cache_case.pass_time(1.5)
    assert await cache_case.cache.get("chart") == b"new"

    await cache_case.pass_time(1)
    assert await cache_case.cache.get("chart") is None


async def test_deleted_keys_are_absent(cache_case: CacheCase):
    await cache_case.cache.set("value", b"1", ttl_ms=9_000)
    await cache_case.cache.set_field("map", "field", b"1", ttl_ms=9_000)

    for key in ("value", "map", "absent"):
        await cache_case.cache.delete(key)

    assert await cache_case.cache.get("value") is None
    assert await cache_case.cache.get_map("map") == {}


async def test_of_a_hundred_claimants_one_wins_and_may_ask_again(cache_case: CacheCase):
    caches = [cache_case.cache, cache_case.another()]

    answers = await asyncio.gather(
        *(caches[number % 2].claim("chart:1", f"owner-{number}", ttl_ms=5_000) for number in range(100))
    )

    [winner] = [number for number, answer in enumerate(answers) if answer]
    assert await cache_case.cache.claim("chart:1", f"owner-{winner}", ttl_ms=5_000)
    assert not await cache_case.cache.claim("chart:1", "somebody", ttl_ms=5_000)


async def test_a_claim_ends_with_its_time_or_its_deletion(cache_case: CacheCase):
    assert await cache_case.cache.claim("key", "a", ttl_ms=2_000)
    await cache_case.pass_time(2.5)
    assert await cache_case.cache.claim("key", "b", ttl_ms=2_000)

    await cache_case.cache.delete("key")

    assert await cache_case.cache.claim("key", "c", ttl_ms=2_000)


async def test_a_map_expires_as_a_whole_from_its_last_field_on(cache_case: CacheCase):
    await cache_case.cache.set_field("map", "a", b"1", ttl_ms=2_000)
    await cache_case.pass_time(1.5)
    await cache_case.cache.set_field("map", "b", b"2", ttl_ms=2_000)
    await cache_case.cache.set_field("map", "a", b"3", ttl_ms=2_000)
    await cache_case.pass_time(1.5)
    assert await cache_case.cache.get_map("map") == {"a": b"3", "b": b"2"}

    await cache_case.pass_time(1)
    assert await cache_case.cache.get_map("map") == {}
    await cache_case.cache.set_field("map", "c", b"4", ttl_ms=2_000)
    assert await cache_case.cache.get_map("map") == {"c": b"4"}


async def test_pruning_drops_what_expired_and_nothing_else(cache_case: CacheCase):
    for number in range(5):
        await cache_case.cache.set(f"short-{number}", b"", ttl_ms=1_000)
    await cache_case.cache.set("long", b"", ttl_ms=60_000)
    await cache_case.cache.set_field("map", "field", b"", ttl_ms=60_000)
    await cache_case.pass_time(2)

    await cache_case.cache.prune()

    assert await cache_case.cache.prune() == 0
    assert await cache_case.cache.get("long") == b""
    assert await cache_case.cache.get_map("map") == {"field": b""}
