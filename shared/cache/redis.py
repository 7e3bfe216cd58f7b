"""The cache on Redis. Nothing in it is the only copy: a FLUSHALL costs work, never a fact."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.domain.checks import require
from shared.domain.errors import TransientError

_SCHEMES: Final = ("redis", "rediss", "unix")
_CONNECTIONS_MAX: Final = 32
_RETRIES: Final = 3  # of a broken connection; a claim asked twice by one owner is still one claim
_RETRY_SECONDS_MAX: Final = 0.25
_CLAIM: Final = """
local owner = redis.call('GET', KEYS[1])
if not owner then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
if owner == ARGV[1] then return 1 end
return 0"""
_SET_FIELD: Final = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])"""
ResultT = TypeVar("ResultT")


class RedisCache:
    """The cache port over one Redis. `prefix` keeps installations on one server apart. Expiry is the server's.

    Every call ends within `deadline_seconds`; a connection that broke is made anew on the way.
    """

    def __init__(self, url: str, *, prefix: str = "cst:", deadline_seconds: float = 3.0) -> None:
        rule = "REDIS_URL must begin with redis://, rediss:// or unix:// and name a server"
        require(_names_a_server(url), rule, _shown(url), "cache")
        self._place = _shown(url)
        self._prefix = prefix
        self._deadline_seconds = deadline_seconds
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS_MAX,
            timeout=deadline_seconds,
            socket_timeout=deadline_seconds,
            socket_connect_timeout=deadline_seconds,
            retry=Retry(ExponentialWithJitterBackoff(cap=_RETRY_SECONDS_MAX, base=0.02), _RETRIES),
            retry_on_error=[RedisConnectionError],
        )
        self._redis: Any = Redis(connection_pool=pool)
        self._claim = self._redis.register_script(_CLAIM)
        self._set_field = self._redis.register_script(_SET_FIELD)

    async def get(self, key: str) -> bytes | None:
        """One GET."""
        found: bytes | None = await self._ask(self._redis.get(self._value(key)))
        return found

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """One SET with its time to live."""
        await self._ask(self._redis.set(self._value(key), value, px=ttl_ms))

    async def delete(self, key: str) -> None:
        """Value, claim or map."""
        await self._ask(self._redis.delete(self._value(key), self._map(key)))

    async def claim(self, key: str, owner: str, *, ttl_ms: int) -> bool:
        """One script, hence atomic. A claim is a value that holds its owner; claiming again does not lengthen it."""
        return bool(await self._ask(self._claim(keys=[self._value(key)], args=[owner, ttl_ms])))

    async def get_map(self, key: str) -> dict[str, bytes]:
        """One HGETALL; sorted by field."""
        found: dict[bytes, bytes] = await self._ask(self._redis.hgetall(self._map(key)))
        return {field.decode(): value for field, value in sorted(found.items())}

    async def set_field(self, key: str, field: str, value: bytes, *, ttl_ms: int) -> None:
        """One script, so that no map is left without its end."""
        await self._ask(self._set_field(keys=[self._map(key)], args=[field, value, ttl_ms]))

    async def prune(self) -> int:
        """Redis drops what expired by itself."""
        return 0

    async def close(self) -> None:
        """Ends the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _value(self, key: str) -> str:
        return f"{self._prefix}value:{key}"

    def _map(self, key: str) -> str:
        return f"{self._prefix}map:{key}"

    async def _ask(self, answer: Awaitable[ResultT]) -> ResultT:
        # Waited for from outside: cancelled at the moment its own timeout ends, the client goes on as if it were not.
        task = asyncio.ensure_future(answer)
        try:
            await asyncio.wait({task}, timeout=self._deadline_seconds)
            if not task.done():
                raise TransientError(f"Redis did not answer in {self._deadline_seconds:g} s ({self._place})")
            return task.result()
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise TransientError(f"Redis did not do it: {text} ({self._place})") from error
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    """Takes note of the end of what nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _names_a_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and port_ok and bool(parts.hostname or parts.path)


def _shown(url: str) -> str:
    """The address without user, password and options."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2].partition('?')[0]}"
