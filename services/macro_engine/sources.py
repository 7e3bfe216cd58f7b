"""The regime's sources: DXY and BTC dominance over HTTP with a memory of their own, the FOMC calendar from its file."""

import asyncio
from pathlib import Path
from typing import Final

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from services.macro_engine.calendar_file import load_calendar
from services.macro_engine.core.daily import DailyRow, DailySeries
from services.macro_engine.core.fomc import FomcCalendar
from services.macro_engine.core.regime import Sources
from services.macro_engine.daily_rows import parse_daily
from services.macro_engine.memory import Memory
from shared.domain.errors import PermanentError, TransientError

ROWS_KEPT: Final = 60
_ATTEMPTS: Final = 2
NOT_CONFIGURED: Final = "no address is configured"
_ROWS: Final = msgspec.json.Decoder(list[DailyRow])


class RegimeSources:
    """Asks every source. urls: by source name (dxy, dominance); None where it is not configured."""

    def __init__(self, memory: Memory, *, urls: dict[str, str | None], calendar: Path, timeout_seconds: float) -> None:
        self._memory = memory
        self._urls = urls
        self._calendar = calendar
        self._timeout_seconds = timeout_seconds

    async def read(self) -> tuple[Sources, dict[str, str]]:
        """What is known now, and what failed on the way, by source. A source that is down counts by its last rows."""
        problems: dict[str, str] = {}
        async with httpx.AsyncClient(timeout=self._timeout_seconds, follow_redirects=True) as client:
            found = await asyncio.gather(
                *(self._daily(client, name, url, problems) for name, url in self._urls.items())
            )
        series = dict(zip(self._urls, found, strict=True))
        fomc = await self._fomc(problems)
        reasons = {name: NOT_CONFIGURED for name, url in self._urls.items() if url is None} | problems
        missing = {
            name: reasons[name] for name, one in {**series, "fomc": fomc}.items() if one is None and name in reasons
        }
        return Sources(dxy=series["dxy"], dominance=series["dominance"], fomc=fomc, missing=missing), problems

    async def _fomc(self, problems: dict[str, str]) -> FomcCalendar | None:
        try:
            return await asyncio.to_thread(load_calendar, self._calendar)
        except PermanentError as error:
            problems["fomc"] = str(error)
            return None

    async def _daily(
        self, client: httpx.AsyncClient, name: str, url: str | None, problems: dict[str, str]
    ) -> DailySeries | None:
        """The source's rows with those remembered; None where there has never been any, or no address is configured."""
        if url is None:
            return None
        key = f"source#{name}"
        known = await self._memory.get(key, _ROWS) or []
        rows = known
        try:
            rows = list(DailySeries([*known, *await _fetch(client, name, url)], name).rows[-ROWS_KEPT:])
        except (TransientError, PermanentError) as error:
            problems[name] = str(error)
        if rows != known:
            await self._memory.put(key, rows)
        return DailySeries(rows, name) if rows else None


async def _fetch(client: httpx.AsyncClient, name: str, url: str) -> list[DailyRow]:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_random_exponential(multiplier=0.25, max=2.0),
        stop=stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )

    async def attempt() -> list[DailyRow]:
        try:
            response = await client.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Neither the address nor its parameters are shown: they may hold a key.
            raise TransientError(f"{type(error).__name__} ({name})") from error
        if response.status_code != httpx.codes.OK:
            raise TransientError(f"HTTP status must be 200, was {response.status_code} ({name})")
        return parse_daily(response.content, name)

    return await retrying(attempt)
