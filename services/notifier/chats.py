"""The chats as they are now: configured, and changed by commands. What the sender's book asks, answered from memory."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from services.notifier.core import chats as rules
from services.notifier.core.chats import EVERYWHERE, ChatProfile, ChatState, Digest
from services.notifier.core.voice import Voice
from services.notifier.state import NotifierState
from shared.domain.outbox import OutboxEvent, OutboxRow

_NO_STATE: Final = ChatState()
_REFRESH_MS: Final = 2_000


class Chats:
    """Profiles by the outbox's name of the chat. `refresh` brings what another process changed."""

    def __init__(self, profiles: Sequence[ChatProfile], state: NotifierState) -> None:
        self._profiles = {profile.chat: profile for profile in profiles}
        self._state = state
        self._changed: dict[str, ChatState] = {}
        self._read_at_ms: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every chat, as configured."""
        return tuple(self._profiles)

    @property
    def profiles(self) -> tuple[ChatProfile, ...]:
        """What is configured of every chat."""
        return tuple(self._profiles.values())

    @property
    def paused(self) -> bool:
        """Whether new signals are paused."""
        return self.state(EVERYWHERE).paused

    def state(self, chat: str) -> ChatState:
        """What commands made of it."""
        return self._changed.get(chat, _NO_STATE)

    def profile(self, chat: str) -> ChatProfile:
        """As configured; one with every default for a chat that is not."""
        return self._profiles.get(chat) or ChatProfile(chat=chat)

    def voice(self, chat: str) -> Voice:
        """Its language and time zone."""
        return rules.voice_of(self.profile(chat), self.state(chat))

    def wanting(self, event: OutboxEvent) -> list[str]:
        """The chats that are told such events."""
        return [chat for chat, profile in self._profiles.items() if rules.wants(profile, event)]

    def withheld_reason(self, chat: str, event: OutboxEvent, now_ms: int) -> str:
        """Why the chat is not told just now; empty where it is."""
        return rules.withheld_reason(event, self.state(chat), self.state(EVERYWHERE), now_ms)

    def exit_reply(self, chat: str) -> bool:
        """Whether a reply tells an exit, besides the edit that rings nowhere."""
        return bool(self.profile(chat).exit_reply)

    def settle_exit_reply(self, address: str, *, channel: bool) -> None:
        """Where nothing is configured for it: a reply in private chats and groups, the edit alone in channels."""
        for chat, profile in self._profiles.items():
            if profile.exit_reply is None and chat.partition("/")[0] == address:
                self._profiles[chat] = msgspec.structs.replace(profile, exit_reply=not channel)

    def quiet_until_ms(self, chat: str, now_ms: int) -> int | None:
        """When its quiet hours end; None while it is not quiet."""
        return rules.quiet_until_ms(self.profile(chat), self.state(chat), now_ms)

    def expires_at_ms(self, row: OutboxRow) -> int | None:
        """When an unsent row is too old for its chat."""
        return rules.expires_at_ms(self.profile(row.chat), row)

    def digest(self, chat: str) -> Digest | None:
        """When it wants digests."""
        return self.profile(chat).digest

    async def choices(self, signal_id: str) -> dict[str, int]:
        """How many people took or skip the signal."""
        return await self._state.choices(signal_id)

    async def refresh(self, now_ms: int) -> None:
        """Read what commands changed in another process (the webhook, another instance), if that is a while ago."""
        if self._read_at_ms is None or now_ms - self._read_at_ms >= _REFRESH_MS:
            self._changed = await self._state.chats()
            self._read_at_ms = now_ms

    async def change(self, chat: str, change: Callable[[ChatState], ChatState]) -> tuple[ChatState, ChatState]:
        """Change and remember it durably; returns before and after."""
        before, after = await self._state.change_chat(chat, change)
        self._changed[chat] = after
        return before, after
