"""What config/tracker.yaml says about chats and people, as the notifier's own types."""

import re
from collections.abc import Sequence
from datetime import UTC
from typing import Final
from zoneinfo import ZoneInfo

from services.notifier.core.chats import ChatProfile, Digest, QuietHours
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.roles import Roles
from shared.runtime.config import ChatConfig, TrackerConfig
from shared.runtime.settings import SettingsError

_CHAT: Final = re.compile(r"-?[0-9]+|@[A-Za-z0-9_]+")
_NAMED_MAX: Final = 12
_MINUTE_MS: Final = 60_000


def chat_profiles(config: TrackerConfig, *, default_chat: str, language: str, place: str) -> tuple[ChatProfile, ...]:
    """One profile per chat (and forum topic); entries without an id mean `default_chat`, if there is one.

    place: the file, for errors. Raises SettingsError for anything that is no chat id, no language, or named twice.
    """
    profiles = [
        _profile(chat, default_chat.strip(), language, place)
        for chat in config.chats
        if (default_chat.strip() if chat.id is None else str(chat.id).strip())
    ]
    found: dict[str, ChatProfile] = {}
    for profile in profiles:
        found.setdefault(profile.chat, profile)  # the same place twice is told once, as its first entry wishes
    return tuple(found.values())


def roles_of(config: TrackerConfig, *, default_chat: str) -> Roles:
    """Who may do what. A private chat in TELEGRAM_CHAT_ID has its owner's id, and makes them admin."""
    owner = default_chat.strip()
    admins = {*config.roles.admin, *({int(owner)} if owner.isdigit() else ())}
    return Roles(viewer=frozenset(config.roles.viewer), trader=frozenset(config.roles.trader), admin=frozenset(admins))


def _profile(chat: ChatConfig, default_chat: str, language: str, place: str) -> ChatProfile:
    address = default_chat if chat.id is None else str(chat.id).strip()
    if not _CHAT.fullmatch(address):
        rule = "a chat id must be a number or an @name"
        raise SettingsError(f"{rule}, was {address!r} (TELEGRAM_CHAT_ID, or chats in {place})")
    spoken = chat.language or language
    if spoken not in LANGUAGES:
        raise SettingsError(
            f"language must be one of {', '.join(LANGUAGES)}, was {spoken!r} (chat {chat.name} in {place})"
        )
    quiet = chat.quiet_hours
    return ChatProfile(
        chat=address if chat.topic is None else f"{address}/{chat.topic}",
        kinds=frozenset(chat.kinds),
        strategies=frozenset(chat.strategies),
        symbols=frozenset(chat.symbols),
        timeframes=frozenset(chat.timeframes),
        score_min=chat.score_min,
        language=spoken,
        zone=UTC if chat.time_zone == "UTC" else ZoneInfo(chat.time_zone),
        exit_reply=None if chat.exit_notice is None else chat.exit_notice == "edit_and_reply",
        pictures=chat.pictures,
        quiet=None if quiet is None else QuietHours(_minute(quiet.start), _minute(quiet.end)),
        digest=Digest(more_than=chat.digest.more_than, window_ms=chat.digest.seconds * 1000) if chat.digest else None,
        entry_expires_ms=_span_ms(chat.entries_expire_minutes),
        other_expires_ms=_span_ms(chat.others_expire_minutes),
    )


def followed(config: TrackerConfig) -> str:
    """One line about what runs: markets by venue, strategies."""
    venues = [f"{exchange}: {', '.join(_few(venue.symbols))}" for exchange, venue in config.venues.items()]
    strategies = [f"{one.name} {one.timeframe.value}" for one in config.enabled_strategies]
    return " · ".join([*venues, ", ".join(_few(strategies))])


def _few(names: Sequence[str]) -> list[str]:
    shown = list(names[:_NAMED_MAX])
    return [*shown, f"+{len(names) - len(shown)}"] if len(names) > len(shown) else shown


def addresses(profiles: Sequence[ChatProfile]) -> tuple[str, ...]:
    """The chats themselves, without their forum topics."""
    return tuple(dict.fromkeys(profile.chat.partition("/")[0] for profile in profiles))


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _span_ms(minutes: float | None) -> int | None:
    return None if minutes is None else round(minutes * _MINUTE_MS)
