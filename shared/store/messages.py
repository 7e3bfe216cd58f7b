"""The living messages on the store: one row per (chat, signal) with the message id, so that an exit finds its entry."""

from typing import Final

import msgspec

from shared.domain.outbox import MessageRecord
from shared.store.layout import LAYOUT, payload
from shared.store.port import Row, Store, Write, key_of

TABLE: Final = "messages"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MessageRecord)


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the revision of its row; revision 0 and no record where nothing was sent yet."""

    record: MessageRecord | None
    revision: int


class MessageStore:
    """Reads messages by (chat, signal); the sender writes them together with the outbox rows they answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, chat: str, signal_id: str) -> StoredMessage:
        """The message of a signal in a chat."""
        row = await self._store.get(TABLE, key_of(chat, signal_id))
        return StoredMessage(record=_decode(row), revision=row.revision) if row else _NOTHING


_NOTHING: Final = StoredMessage(record=None, revision=0)


def message_write(record: MessageRecord, *, expected_revision: int, fence: int) -> Write:
    """The write of a message over the revision given."""
    value = LAYOUT + _ENCODER.encode(record)
    key = key_of(record.chat, record.signal.signal_id)
    return Write(table=TABLE, key=key, value=value, expected_revision=expected_revision, fence=fence)


def _decode(row: Row) -> MessageRecord:
    return _DECODER.decode(payload(TABLE, row))
