"""GET requests to a venue's public REST: deadlines, retries with jitter on what may pass, a request budget."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.domain.decimals import EXACT
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.klines import Kline

_TRANSIENT_STATUS: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PAUSE_ASKED_MAX: Final = 120.0
_Result = TypeVar("_Result")


class RestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Per request: a deadline, attempts on transient errors with a random pause up to pause_seconds_max between.

    requests_per_second: spread evenly over all callers; a costly request counts as several.
    """

    timeout_seconds: float = 5.0
    attempts: int = 4
    pause_seconds_max: float = 4.0
    requests_per_second: float = 20.0


class VenueHttp:
    """One pooled client of one venue.

    transient_status: answers beside 408, 429 and 5xx that pass when the request is repeated.
    transport:        another way to the server than sockets (tests in process).
    """

    def __init__(
        self,
        base_url: str,
        limits: RestLimits,
        *,
        transient_status: frozenset[int] = frozenset(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._limits = limits
        self._transient_status = _TRANSIENT_STATUS | transient_status
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/"), timeout=limits.timeout_seconds, transport=transport
        )
        self._next_start = 0.0

    async def get(
        self, path: str, parameters: dict[str, str], parse: Callable[[bytes], _Result], *, cost: float = 1.0
    ) -> _Result:
        """The parsed answer. Parsing is part of an attempt: a venue may say "too many visits" in the body of a 200.

        cost: how many usual requests it counts for. Raises TransientError after the last attempt, PermanentError at once.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_random_exponential(multiplier=0.25, max=self._limits.pause_seconds_max),
            stop=stop_after_attempt(self._limits.attempts),
            reraise=True,
        )

        async def attempt() -> _Result:
            return parse(await self._get_once(path, parameters, cost))

        return await retrying(attempt)

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _get_once(self, path: str, parameters: dict[str, str], cost: float) -> bytes:
        await self._wait_for_budget(cost)
        place = f"GET {path} {parameters}"
        try:
            response = await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise TransientError(f"{type(error).__name__}: {error} ({place})") from error
        status = response.status_code
        if status in self._transient_status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._pause_as_asked(response.headers.get("retry-after", ""))
            raise TransientError(f"HTTP status must be 200, was {status} ({place})")
        if status != HTTPStatus.OK:
            raise PermanentError(f"HTTP status must be 200, was {status}: {response.text[:200]} ({place})")
        return response.content

    def _pause_as_asked(self, retry_after: str) -> None:
        """A venue that names a pause gets it from every caller; it bans who goes on."""
        if retry_after.isdecimal():
            seconds = min(float(retry_after), _PAUSE_ASKED_MAX)
            self._next_start = max(self._next_start, asyncio.get_running_loop().time() + seconds)

    async def _wait_for_budget(self, cost: float) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + cost / self._limits.requests_per_second
        if start > now:
            await asyncio.sleep(start - now)


def kline_of_texts(open_time_ms: int, texts: tuple[str, ...], trade_count: int | None, place: str) -> Kline:
    """A kline of six decimal texts: open, high, low, close, volume, quote volume. Raises InvalidValueError."""
    try:
        open_, high, low, close = (float(text) for text in texts[:4])
        volume, quote_volume = (_volume(text) for text in texts[4:6])
    except (ValueError, ArithmeticError) as error:
        raise InvalidValueError(f"six decimal numbers are required, was {texts} ({place} {open_time_ms})") from error
    numbers_ok = 0 < low <= min(open_, close) and max(open_, close) <= high < float("inf")
    if not (numbers_ok and volume >= 0 and quote_volume >= 0):
        raise InvalidValueError(f"0 < low <= open, close <= high is required, was {texts} ({place} {open_time_ms})")
    return Kline(
        open_time_ms=open_time_ms,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        quote_volume=quote_volume,
        trade_count=trade_count,
    )


def _volume(text: str) -> Decimal:
    value = EXACT.create_decimal(text)
    if not value.is_finite():
        raise ValueError(text)
    return value
