"""Polls Telegram for what people press and write. The webhook (webhook.py) is the other way to get it."""

import asyncio
import contextlib
from typing import Any, Final

from telegram import Bot, Update
from telegram.error import Conflict, TelegramError

from services.notifier.core.outbox import backoff_ms
from services.notifier.updates import ALLOWED_UPDATES, Updates
from shared.cache.port import Cache
from shared.domain.errors import TransientError
from shared.runtime.consumer import wait_or_stop

_OFFSET_TTL_MS: Final = 30 * 86_400_000
_BACKOFF_MS_MAX: Final = 30_000
_SETTLE_SECONDS_MAX: Final = 5.0


class Polling:
    """Long polls. An update is durable before the next poll tells Telegram to forget it, so that a kill loses none."""

    def __init__(self, *, bot: Bot, updates: Updates, cache: Cache, poll_seconds: float, log: Any) -> None:
        self._bot = bot
        self._updates = updates
        self._cache = cache
        self._poll_seconds = poll_seconds
        self._log = log
        # One bot's updates say nothing about another's.
        self._offset_key = f"telegram-offset:{bot.token.partition(':')[0]}"

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll until told to stop; failures of the connection or the store are tried again with backoff."""
        offset = await self._known_offset()
        failures = 0
        resumed = False
        while not stopping.is_set():
            try:
                if not resumed:
                    await self._updates.resume()
                    resumed = True
                for update in await self._poll(offset, stopping):
                    await self._updates.receive(update)
                    offset = update.update_id + 1
                failures = 0
                await self._keep_offset(offset)
            except (TelegramError, TransientError) as error:
                failures += 1
                seconds = min(backoff_ms(failures), _BACKOFF_MS_MAX) / 1000
                hint = "a webhook is set, or another instance polls" if isinstance(error, Conflict) else ""
                self._log.warning("poll_failed", reason=str(error), delay_seconds=seconds, hint=hint)
                await wait_or_stop(stopping, seconds)
        await self._updates.settle(_SETTLE_SECONDS_MAX)

    async def _poll(self, offset: int | None, stopping: asyncio.Event) -> tuple[Update, ...]:
        seconds = int(self._poll_seconds)
        poll = asyncio.create_task(
            self._bot.get_updates(offset=offset, timeout=seconds, allowed_updates=list(ALLOWED_UPDATES))
        )
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({poll, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if poll.done():
            return poll.result()
        poll.cancel()
        with contextlib.suppress(asyncio.CancelledError, TelegramError):
            await poll
        return ()

    async def _known_offset(self) -> int | None:
        try:
            value = await self._cache.get(self._offset_key)
        except TransientError:
            return None
        return int(value) if value else None

    async def _keep_offset(self, offset: int | None) -> None:
        if offset is None:
            return
        try:
            await self._cache.set(self._offset_key, str(offset).encode(), ttl_ms=_OFFSET_TTL_MS)
        except TransientError as error:  # Telegram itself confirms with the next poll
            self._log.warning("cache_write_failed", error=str(error))
