"""What people write to the bot: the commands, who may use them, and how their arguments read. Pure."""

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from services.notifier.core.chats import QuietHours
from services.notifier.core.roles import Role
from shared.domain.timeframe import Timeframe

ANYWHERE: Final = frozenset({"start", "help"})  # the rest only in configured chats
NEEDED_ROLE: Final[dict[str, Role]] = {
    "start": Role.NONE,
    "help": Role.NONE,
    "chart": Role.NONE,
    "why": Role.NONE,
    "status": Role.VIEWER,
    "health": Role.VIEWER,
    "signals": Role.VIEWER,
    "symbols": Role.VIEWER,
    "macro": Role.VIEWER,
    "mute": Role.TRADER,
    "unmute": Role.TRADER,
    "quiet": Role.ADMIN,
    "lang": Role.ADMIN,
    "pause": Role.ADMIN,
    "resume": Role.ADMIN,
}
STATE_CHANGING: Final = frozenset({"mute", "unmute", "quiet", "lang", "pause", "resume", "took", "skip"})
MUTE_HOURS: Final = 4.0
_MUTE_HOURS_MAX: Final = 24 * 30
_QUIET: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*[-–]\s*([01]?\d|2[0-3]):([0-5]\d)")  # noqa: RUF001 - phones write it
_WORD_MAX: Final = 64
_EPOCH_MS_MAX: Final = 4_102_444_800_000


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command as written: its name without slash, in lower case, and its arguments."""

    name: str
    arguments: tuple[str, ...]


class MalformedError(ValueError):
    """The arguments cannot be read; the text is what was not understood."""


class UnknownSymbolError(MalformedError):
    """No followed market has this name."""


class UnknownTimeframeError(MalformedError):
    """There is no such timeframe."""


def parse(text: str, bot_name: str) -> Command | None:
    """The command a message holds; None where it holds none, or one for another bot of the group.

    bot_name: empty while it is not known; then every command is taken.
    """
    words = text.split()
    if not words or not words[0].startswith("/") or len(words[0]) == 1:
        return None
    name, _, addressed = words[0][1:].partition("@")
    if addressed and bot_name and addressed.lower() != bot_name.lower():
        return None
    return Command(name=name.lower()[:_WORD_MAX], arguments=tuple(word[:_WORD_MAX] for word in words[1:]))


def nearest(name: str) -> str:
    """The known command that reads most like it."""
    return next(iter(difflib.get_close_matches(name, NEEDED_ROLE, n=1, cutoff=0.0)), "help")


def market_of(text: str, markets: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The (exchange, symbol) meant by BTCUSDT, btcusdt or bybit-linear/BTCUSDT. Raises UnknownSymbolError."""
    wanted = text.lower()
    for exchange, symbol in markets:
        if wanted in {symbol.lower(), f"{exchange}/{symbol}".lower()}:
            return exchange, symbol
    raise UnknownSymbolError(text)


def timeframe_of(text: str) -> Timeframe:
    """The timeframe meant by 15m or 15M. Raises UnknownTimeframeError."""
    for timeframe in Timeframe:
        if text.lower() == timeframe.value:
            return timeframe
    raise UnknownTimeframeError(text)


def time_of(text: str, zone: tzinfo, now_ms: int) -> int:
    """UTC milliseconds of 13:05 (the last one), 2026-11-20T13:05 (of the zone, unless it names another) or 1786300200000.

    Raises MalformedError.
    """
    if text.isdecimal() and len(text) == len(str(now_ms)):
        return int(text)
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", text):
            hour, minute = (int(part) for part in text.split(":"))
            today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            found = today if today <= now else today - timedelta(days=1)
        else:
            found = datetime.fromisoformat(text)
            found = found if found.tzinfo is not None else found.replace(tzinfo=zone)
        time_ms = int(found.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise MalformedError(text) from error
    if not 0 <= time_ms < _EPOCH_MS_MAX:
        raise MalformedError(text)
    return time_ms


def hours_of(text: str) -> float:
    """How long to mute: 4, 0.5 or 4h; at most 30 days. Raises MalformedError."""
    try:
        hours = float(text.lower().removesuffix("h"))
    except ValueError as error:
        raise MalformedError(text) from error
    if not 0 < hours <= _MUTE_HOURS_MAX:
        raise MalformedError(text)
    return hours


def quiet_of(text: str) -> QuietHours | None:
    """22:00-07:00, or None for off. Raises MalformedError."""
    if text.lower() == "off":
        return None
    match = _QUIET.fullmatch(text)
    if match is None:
        raise MalformedError(text)
    start, end = (int(match[first]) * 60 + int(match[first + 1]) for first in (1, 3))
    try:
        return QuietHours(start, end)
    except ValueError as error:
        raise MalformedError(text) from error
