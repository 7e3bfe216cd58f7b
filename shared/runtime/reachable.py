"""Whether anybody serves an address: asked once at the start, so that an absent server ends it at once and by its setting's name."""

import asyncio
import contextlib
from typing import Final

from shared.runtime.settings import SettingsError

CONNECT_SECONDS_MAX: Final = 2.0
_PORT_MAX: Final = 65_535


async def require_server(variable: str, address: str, what: str) -> None:
    """Raise SettingsError where the variable's host:port is malformed, or nothing listens there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        raise SettingsError(f"{variable} must be host:port, was {address!r}")
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError as error:  # TimeoutError among them
        raise SettingsError(
            f"{variable}: {what} does not answer at {address} ({error or 'no connection in time'}); "
            f"start it, or unset {variable}"
        ) from error
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
