"""Pictures that messages still owe: marked with the message, removed once shown, found again by the next active sender."""

from typing import Final

import msgspec

from services.notifier.chats import Chats
from services.notifier.core.living_message import stage_of
from services.notifier.core.outbox import Group
from services.notifier.state import TABLE
from shared.domain.outbox import MessageRecord, OutboxRow
from shared.store.messages import MessageStore
from shared.store.port import Store, Write, key_of, prefix_range

_PREFIX: Final = "picture"
_BIAS_PREFIX: Final = "macro-picture"


class _OwedBias(msgspec.Struct, frozen=True):
    """What the message told, since no record keeps it. at_ms: wall clock."""

    at_ms: int
    rows: tuple[OutboxRow, ...]


class OwedPictures:
    """One mark per message that went out as text and whose picture is still to come.

    A mark without need is harmless: the message's record says which picture it carries. kept_ms: how long a picture is
    still worth joining; 0 keeps no marks. A mark that has no message yet belongs to a send that was interrupted, and the
    repeated send writes it again.
    """

    def __init__(self, store: Store, chats: Chats, *, kept_ms: int) -> None:
        self._store = store
        self._messages = MessageStore(store)
        self._chats = chats
        self._kept_ms = kept_ms

    def mark(self, record: MessageRecord, now_ms: int) -> list[Write]:
        """To be written before the message is recorded; nothing for a chat that wants no pictures. now_ms: wall clock."""
        if not self._kept_ms or not self._chats.profile(record.chat).pictures:
            return []
        value = msgspec.msgpack.encode(now_ms)
        return [Write(table=TABLE, key=key_of(_PREFIX, record.chat, record.signal.signal_id), value=value)]

    async def paid(self, chat: str, signal_id: str) -> None:
        """The message shows its picture, or never will."""
        await self._store.delete(TABLE, [key_of(_PREFIX, chat, signal_id)])

    def mark_bias(self, group: Group, message_id: int, now_ms: int) -> list[Write]:
        """The same for a message that tells the bias: the mark keeps what it told."""
        if not self._kept_ms or not self._chats.profile(group.chat).pictures:
            return []
        value = msgspec.msgpack.encode(_OwedBias(now_ms, group.rows))
        return [Write(table=TABLE, key=key_of(_BIAS_PREFIX, group.chat, message_id), value=value)]

    async def paid_bias(self, chat: str, message_id: int) -> None:
        """The message shows its picture, or never will."""
        await self._store.delete(TABLE, [key_of(_BIAS_PREFIX, chat, message_id)])

    async def due_biases(self, now_ms: int) -> list[tuple[Group, int]]:
        """What the messages told that owe a picture of the bias, and their ids; marks that are old are removed."""
        found, old = list[tuple[Group, int]](), list[str]()
        for chat in self._chats.names:
            for row in await self._store.scan(TABLE, *prefix_range(_BIAS_PREFIX, chat)):
                owed = msgspec.msgpack.decode(row.value, type=_OwedBias)
                if now_ms - owed.at_ms > self._kept_ms:
                    old.append(row.key)
                else:
                    group = Group(chat=chat, subject=owed.rows[0].subject, rows=owed.rows)
                    found.append((group, int(row.key.rpartition("#")[2])))
        if old:
            await self._store.delete(TABLE, old)
        return found

    async def due(self, now_ms: int) -> list[MessageRecord]:
        """Messages of the chats served that owe a picture, newest first; marks that are old or paid are removed."""
        marked: dict[str, int] = {}
        for chat in self._chats.names:
            rows = await self._store.scan(TABLE, *prefix_range(_PREFIX, chat))
            marked |= {row.key: msgspec.msgpack.decode(row.value, type=int) for row in rows}
        found: list[MessageRecord] = []
        needless: list[str] = []
        for key in sorted(marked, key=lambda one: -marked[one]):
            chat, _, signal_id = key.removeprefix(f"{_PREFIX}#").rpartition("#")
            record = (await self._messages.get(chat, signal_id)).record
            shown = record is None or record.picture == stage_of(closed=record.signal.exit is not None)
            if record is None or shown or now_ms - marked[key] > self._kept_ms:
                needless.append(key)
            else:
                found.append(record)
        if needless:
            await self._store.delete(TABLE, needless)
        return found
