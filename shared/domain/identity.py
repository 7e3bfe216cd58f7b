"""Deterministic identities: the same fact has the same id wherever and whenever it is made."""

import hashlib
from collections.abc import Iterable

_SEPARATOR = "\x1f"  # cannot occur in names, so that ("a", "bc") and ("ab", "c") differ


def digest_text(parts: Iterable[object], length: int = 32) -> str:
    """First `length` hex digits of the SHA-256 over the parts' texts."""
    return hashlib.sha256(_SEPARATOR.join(str(part) for part in parts).encode()).hexdigest()[:length]


def event_id(event_type: str, subject: str, version: int) -> str:
    """Id of an event: one per (type, subject, version)."""
    return digest_text((event_type, subject, version))


def signal_id(
    *, strategy: str, trigger: str, exchange: str, symbol: str, timeframe: str, candle_open_time_ms: int, side: str
) -> str:
    """Id of a signal: 16 hex digits, short enough for Telegram's 64-byte button data."""
    return digest_text((strategy, trigger, exchange, symbol, timeframe, candle_open_time_ms, side), length=16)
