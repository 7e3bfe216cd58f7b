"""A secret that changes while the process runs: its file is read again, so that a rotation needs no restart.

What counts is the content, not the file's time: a volume of Secret Manager answers every read with the newest version.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from shared.runtime.consumer import wait_or_stop
from shared.runtime.redaction import hide
from shared.runtime.settings import SettingsError, read_secret

OnChange = Callable[[str], Awaitable[None]]


async def watch_secret(
    name: str, value: str, on_change: OnChange, *, stopping: asyncio.Event, every_seconds: float, log: Any
) -> None:
    """Until stopping: call `on_change` with the new text whenever NAME_FILE or SECRETS_FILE holds another one.

    value: what is in use now. A file that cannot be read, or is empty for a moment while it is replaced, changes nothing;
    it is told once. Returns at once where the secret comes from no file.
    """
    if not (os.environ.get(f"{name}_FILE") or os.environ.get("SECRETS_FILE")):
        return
    told = False
    while not await wait_or_stop(stopping, every_seconds):
        try:
            found = await asyncio.to_thread(read_secret, name)
        except SettingsError as error:
            if not told:
                log.warning("secret_not_readable", setting=f"{name}_FILE", error=str(error))
            told = True
            continue
        told = False
        if found and found != value:
            hide(found)
            value = found
            await on_change(found)
