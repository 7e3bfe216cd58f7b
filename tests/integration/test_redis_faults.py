"""The cache while its Redis is emptied, killed, stopped and started anew: bounded calls, one-line errors, recovery."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.cache.redis import RedisCache
from shared.domain.errors import InvalidValueError, TransientError
from tests.support.emulators_store import ServerProcess, running_redis

DEADLINE_SECONDS = 1.0


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(server_process: ServerProcess) -> ServerProcess:
    """Fresh and empty, whatever the test before did to it."""
    server_process.kill()
    server_process.start()
    return server_process


@pytest.fixture
async def cache(server: ServerProcess) -> AsyncIterator[RedisCache]:
    opened = RedisCache(f"redis://{server.address}/0", deadline_seconds=DEADLINE_SECONDS)
    yield opened
    await opened.close()


async def fails_in_time(call) -> str:
    began = time.monotonic()
    with pytest.raises(TransientError) as raised:
        await call
    assert time.monotonic() - began < DEADLINE_SECONDS + 2
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_flushall_leaves_an_empty_cache_that_works(server, cache):
    assert await cache.claim("chart", "a", ttl_ms=60_000)
    await cache.set("chart", b"png", ttl_ms=60_000)
    await cache.set_field("map", "field", b"1", ttl_ms=60_000)

    async with Redis.from_url(f"redis://{server.address}/0") as redis:
        await redis.flushall()
        await redis.script_flush()

    assert await cache.get("chart") is None
    assert await cache.get_map("map") == {}
    assert await cache.claim("chart", "b", ttl_ms=60_000)
    await cache.set_field("map", "field", b"2", ttl_ms=60_000)
    assert await cache.get_map("map") == {"field": b"2"}


async def test_every_call_fails_in_time_with_one_line_while_redis_is_gone(server, cache):
    await cache.set("value", b"1", ttl_ms=60_000)
    server.kill()

    texts = await asyncio.gather(
        fails_in_time(cache.get("value")),
        fails_in_time(cache.set("value", b"2", ttl_ms=1)),
        fails_in_time(cache.delete("value")),
        fails_in_time(cache.claim("value", "a", ttl_ms=1)),
        fails_in_time(cache.get_map("map")),
        fails_in_time(cache.set_field("map", "field", b"", ttl_ms=1)),
    )

    assert all(text.startswith("Redis did not do it: ") and server.address in text for text in texts)


async def test_a_restart_is_not_even_noticed_when_nothing_was_asked_meanwhile(server, cache):
    await asyncio.gather(*(cache.set(f"{number}", b"1", ttl_ms=60_000) for number in range(20)))
    server.kill()
    server.start()

    assert await asyncio.gather(*(cache.get(f"{number}") for number in range(20))) == [None] * 20


async def test_it_is_back_at_once_after_an_outage(server, cache):
    server.kill()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        await fails_in_time(cache.get("value"))
    server.start()

    await cache.set("value", b"1", ttl_ms=60_000)
    assert await cache.get("value") == b"1"


async def test_a_server_that_hangs_costs_the_deadline(server, cache):
    await cache.set("value", b"1", ttl_ms=60_000)
    server.signal(signal.SIGSTOP)
    try:
        await asyncio.gather(*(fails_in_time(cache.get("value")) for _ in range(100)))
    finally:
        server.signal(signal.SIGCONT)

    assert await cache.get("value") == b"1"


async def test_a_thousand_calls_at_once_share_the_pool(cache):
    await asyncio.gather(*(cache.set(f"{number}", b"%d" % number, ttl_ms=60_000) for number in range(1000)))

    assert await asyncio.gather(*(cache.get(f"{number}") for number in range(1000))) == [b"%d" % n for n in range(1000)]


async def test_a_wrong_password_is_one_line_without_it(server):
    cache = RedisCache(f"redis://user:hush-hush@{server.address}/0", deadline_seconds=DEADLINE_SECONDS)
    text = await fails_in_time(cache.get("value"))
    assert "hush" not in text
    await cache.close()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:6379", "redis://", "redis://h:port/0"])
def test_what_is_no_redis_address_is_refused(url, tmp_path: Path):
    with pytest.raises(InvalidValueError, match="REDIS_URL"):
        RedisCache(url)
