"""What the notifier keeps besides outbox and messages: chats changed by commands, the bias and the starts told, choices, the audit."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from services.notifier.core.bias_changes import KnownBias
from services.notifier.core.chats import ChatState
from services.notifier.core.platform_notices import PlatformState
from shared.domain.errors import TransientError
from shared.store.port import Outcome, Store, Write, key_of, prefix_range

TABLE: Final = "notifier-state"
AUDIT_TABLE: Final = "audit"
UPDATES_TABLE: Final = "telegram-updates"
_TRIES_MAX: Final = 5
_AFTER_EVERY_KEY: Final = "\U0010ffff"
_LAYOUT: Final = b"\x01"
_CHAT: Final = msgspec.msgpack.Decoder(ChatState)
_BIAS: Final = msgspec.msgpack.Decoder(KnownBias)
_PLATFORM: Final = msgspec.msgpack.Decoder(PlatformState)
_ENCODER: Final = msgspec.msgpack.Encoder()


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who wanted to change what, and whether it was done. before, after: the state as JSON."""

    at_ms: int
    update_id: int
    chat: str
    user_id: int
    user_name: str
    role: str
    command: str
    outcome: str
    before: str = ""
    after: str = ""


class NotifierState:
    """Small rows by key; every change is conditional on what was read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def chats(self) -> dict[str, ChatState]:
        """Every chat that a command changed."""
        rows = await self._store.scan(TABLE, *prefix_range("chat"))
        return {row.key.partition("#")[2]: _CHAT.decode(row.value[1:]) for row in rows}

    async def change_chat(self, chat: str, change: Callable[[ChatState], ChatState]) -> tuple[ChatState, ChatState]:
        """Apply the change to what is stored now; returns before and after. Raises TransientError under contention."""
        key = key_of("chat", chat)
        for _ in range(_TRIES_MAX):
            row = await self._store.get(TABLE, key)
            before = _CHAT.decode(row.value[1:]) if row else ChatState()
            after = change(before)
            if after == before or await self._put(key, after, row.revision if row else 0):
                return before, after
        raise TransientError(f"another writer changes the state of chat {chat} all the time")

    async def biases(self) -> list[KnownBias]:
        """What is known of every pair."""
        return [_BIAS.decode(row.value[1:]) for row in await self._store.scan(TABLE, *prefix_range("bias"))]

    async def bias(self, base: str, quote: str) -> tuple[KnownBias | None, int]:
        """What is known of a pair, with the revision of its row."""
        row = await self._store.get(TABLE, key_of("bias", base, quote))
        return (_BIAS.decode(row.value[1:]), row.revision) if row else (None, 0)

    async def keep_bias(self, known: KnownBias, revision: int) -> None:
        """Store it over the revision read; where another instance was faster, it knows as much."""
        await self._put(key_of("bias", known.bias.base, known.bias.quote), known, revision)

    async def moved(self) -> dict[str, str]:
        """Groups that became supergroups: former id -> new id."""
        rows = await self._store.scan(TABLE, *prefix_range("moved"))
        return {row.key.partition("#")[2]: row.value[1:].decode() for row in rows}

    async def keep_moved(self, former: str, new: str) -> None:
        """From now on messages to the former id go to the new one."""
        await self._store.write([Write(table=TABLE, key=key_of("moved", former), value=_LAYOUT + new.encode())])

    async def platform(self) -> tuple[PlatformState, int]:
        """What chats know of the platform, with the revision of its row."""
        row = await self._store.get(TABLE, key_of("platform"))
        return (_PLATFORM.decode(row.value[1:]), row.revision) if row else (PlatformState(), 0)

    async def keep_platform(self, known: PlatformState, revision: int) -> None:
        """Store it over the revision read; where another instance was faster, its word stands."""
        await self._put(key_of("platform"), known, revision)

    async def choose(self, signal_id: str, user_id: int, choice: str) -> str:
        """Remember took or skip; returns what was chosen before (empty: nothing)."""
        key = key_of("choice", signal_id, str(user_id))
        row = await self._store.get(TABLE, key)
        before = row.value[1:].decode() if row else ""
        if before != choice:
            await self._store.write([Write(table=TABLE, key=key, value=_LAYOUT + choice.encode())])
        return before

    async def choices(self, signal_id: str) -> dict[str, int]:
        """How many people chose what about a signal, each their last choice."""
        rows = await self._store.scan(TABLE, *prefix_range("choice", signal_id))
        return Counter(row.value[1:].decode() for row in rows)

    async def append_audit(self, entry: AuditEntry) -> None:
        """Add one line; what is there is never written again."""
        key = key_of(entry.at_ms, entry.chat, entry.update_id)
        await self._store.write([Write(table=AUDIT_TABLE, key=key, value=_LAYOUT + _ENCODER.encode(entry))])

    async def audit(self) -> list[AuditEntry]:
        """Every line, oldest first."""
        rows = await self._store.scan(AUDIT_TABLE, "", _AFTER_EVERY_KEY)
        return [msgspec.msgpack.decode(row.value[1:], type=AuditEntry) for row in rows]

    async def _put(self, key: str, value: object, revision: int) -> bool:
        write = Write(table=TABLE, key=key, value=_LAYOUT + _ENCODER.encode(value), expected_revision=revision)
        return (await self._store.write([write]))[0] is Outcome.WRITTEN


class UpdateLog:
    """Updates of one bot that were received: each is handled once, however often and wherever it arrives.

    Durable before Telegram is told that it was received; what was not finished is found again after a kill.
    """

    def __init__(self, store: Store, bot_id: str) -> None:
        self._store = store
        self._bot_id = bot_id

    async def begin(self, update_id: int, content: bytes) -> bool:
        """Keep it; False where it was received before."""
        write = Write(table=UPDATES_TABLE, key=self._key(update_id), value=b"\x01" + content, expected_revision=0)
        return (await self._store.write([write]))[0] is Outcome.WRITTEN

    async def finish(self, update_id: int) -> None:
        """It was answered."""
        await self._store.write([Write(table=UPDATES_TABLE, key=self._key(update_id), value=b"\x00")])

    async def unfinished(self) -> list[bytes]:
        """What was received and not answered, oldest first."""
        rows = await self._store.scan(UPDATES_TABLE, *prefix_range(self._bot_id))
        return [row.value[1:] for row in rows if row.value[:1] == b"\x01"]

    def _key(self, update_id: int) -> str:
        return key_of(self._bot_id, update_id)
