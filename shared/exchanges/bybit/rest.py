"""Bybit v5 public REST: deadlines, retries with jitter on what may pass, a request budget. Implements VenueRest."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.domain.decimals import EXACT
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import Timeframe
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.bybit.instruments import BYBIT_RULES, CATEGORY, REST_URL
from shared.exchanges.bybit.wire import parse_instruments, parse_klines, parse_recent_trades, parse_server_time_ms
from shared.exchanges.venue import Kline, VenueRules

_INTERVALS: Final = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.M30: "30",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "D",
    Timeframe.W1: "W",
}
# Bybit says 403 when an IP calls too often; 408, 429 and 5xx pass as well.
_TRANSIENT_STATUS: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PAGES_MAX: Final = 100
_Result = TypeVar("_Result")


class RestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Per request: a deadline, attempts on transient errors with a random pause up to pause_seconds_max between.

    requests_per_second: spread evenly over all callers (the venue allows 120 per IP).
    """

    timeout_seconds: float = 5.0
    attempts: int = 4
    pause_seconds_max: float = 4.0
    requests_per_second: float = 20.0


class BybitRest:
    """The venue's public REST over one pooled client."""

    rules: VenueRules = BYBIT_RULES

    def __init__(self, base_url: str = REST_URL, *, limits: RestLimits | None = None) -> None:
        self._limits = limits or RestLimits()
        self._client = httpx.AsyncClient(base_url=base_url.rstrip("/"), timeout=self._limits.timeout_seconds)
        self._next_start = 0.0

    async def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """Those of the symbols the venue trades, by symbol: one listing of all markets, paged by cursor."""
        wanted = set(symbols)
        found: dict[str, Instrument] = {}
        cursor = ""
        for _ in range(_PAGES_MAX):
            parameters = {"category": CATEGORY, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            page = await self._get("/v5/market/instruments-info", parameters, parse_instruments)
            infos = [info for info in page.list if info.symbol in wanted and info.is_trading]
            found |= {info.symbol: info.instrument() for info in infos}
            cursor = page.cursor
            if not cursor or len(found) == len(wanted):
                return found
        raise PermanentError(f"at most {_PAGES_MAX} pages are read, the cursor never ended (instruments-info)")

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        """The newest trades the venue gives (at most 1,000), oldest first."""
        parameters = {"category": CATEGORY, "symbol": symbol, "limit": str(self.rules.recent_trades_max)}
        return await self._get("/v5/market/recent-trade", parameters, lambda body: parse_recent_trades(body, symbol))

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        """Closed candles with start <= open time < end, oldest first, paging as needed; the forming one is left out."""
        found: dict[int, Kline] = {}
        page_ms = self.rules.klines_max * timeframe.duration_ms
        page_start_ms = timeframe.open_time_ms(start_ms)
        while page_start_ms < end_ms:
            page_end_ms = min(page_start_ms + page_ms, end_ms)
            parameters = {
                "category": CATEGORY,
                "symbol": symbol,
                "interval": _INTERVALS[timeframe],
                "start": str(page_start_ms),
                "end": str(page_end_ms - 1),  # inclusive at the venue
                "limit": str(self.rules.klines_max),
            }
            rows, server_time_ms = await self._get(
                "/v5/market/kline", parameters, lambda body: parse_klines(body, symbol)
            )
            for open_time_ms, texts in rows:
                closed = open_time_ms + timeframe.duration_ms <= server_time_ms
                if closed and start_ms <= open_time_ms < end_ms:
                    found[open_time_ms] = _kline(open_time_ms, texts, f"kline {symbol} {timeframe}")
            if server_time_ms < page_end_ms:  # what follows has not happened yet
                break
            page_start_ms = page_end_ms
        return [found[open_time_ms] for open_time_ms in sorted(found)]

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        return await self._get("/v5/market/time", {}, parse_server_time_ms)

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _get(self, path: str, parameters: dict[str, str], parse: Callable[[bytes], _Result]) -> _Result:
        """The parsed answer. Parsing is part of an attempt: the venue says "too many visits" in the body of a 200."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_random_exponential(multiplier=0.25, max=self._limits.pause_seconds_max),
            stop=stop_after_attempt(self._limits.attempts),
            reraise=True,
        )

        async def attempt() -> _Result:
            return parse(await self._get_once(path, parameters))

        return await retrying(attempt)

    async def _get_once(self, path: str, parameters: dict[str, str]) -> bytes:
        await self._wait_for_budget()
        place = f"GET {path} {parameters}"
        try:
            response = await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise TransientError(f"{type(error).__name__}: {error} ({place})") from error
        status = response.status_code
        if status in _TRANSIENT_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(f"HTTP status must be 200, was {status} ({place})")
        if status != HTTPStatus.OK:
            raise PermanentError(f"HTTP status must be 200, was {status}: {response.text[:200]} ({place})")
        return response.content

    async def _wait_for_budget(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self._limits.requests_per_second
        if start > now:
            await asyncio.sleep(start - now)


def bybit_rest(base_url: str = REST_URL) -> BybitRest:
    """The venue's REST at this address, with the usual limits."""
    return BybitRest(base_url)


def _kline(open_time_ms: int, texts: tuple[str, ...], place: str) -> Kline:
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
        trade_count=None,
    )


def _volume(text: str) -> Decimal:
    value = EXACT.create_decimal(text)
    if not value.is_finite():
        raise ValueError(text)
    return value
