"""How a chat is spoken to: its language and its time zone."""

from datetime import UTC, datetime, tzinfo

import msgspec

from services.notifier.core.languages import LANGUAGES, Words


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a text needs besides what it tells."""

    words: Words = LANGUAGES["en"]
    zone: tzinfo = UTC

    def time(self, time_ms: int) -> str:
        """2026-11-20 13:53 UTC, or with the zone's own short name (+07 where it has none)."""
        return datetime.fromtimestamp(time_ms / 1000, self.zone).strftime("%Y-%m-%d %H:%M %Z")

    def clock(self, time_ms: int) -> str:
        """13:53, for a time whose day is plain."""
        return datetime.fromtimestamp(time_ms / 1000, self.zone).strftime("%H:%M")


ENGLISH = Voice()
