"""The bot's world: chats, messages, photos, and the updates waiting for the bot. Thread-safe; opens no socket."""

import threading
import time
from typing import TYPE_CHECKING, Any

from tests.support.telegram.errors import ApiError, bad_request
from tests.support.telegram.records import Photo, StoredMessage, Version

if TYPE_CHECKING:
    from collections.abc import Callable

# Types a bot gets only when it asks for them by name (core.telegram.org/bots/api#getupdates).
_ONLY_ON_REQUEST = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


class World:
    """Everything behind the API. `on_update` is called, from any thread, whenever an update was queued."""

    def __init__(self, *, bot_id: int, username: str) -> None:
        self.lock = threading.RLock()
        self.bot_id = bot_id
        self.bot = {"id": bot_id, "is_bot": True, "first_name": "Tracker under test", "username": username}
        self.chats: dict[int, dict[str, Any]] = {}
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.commands: list[dict[str, Any]] = []
        self.webhook: dict[str, Any] = {"url": ""}
        self.photos: dict[str, Photo] = {}
        self.messages: dict[tuple[int, int], StoredMessage] = {}
        self.callbacks: dict[str, dict[str, Any]] = {}
        self.callback_answers: dict[str, dict[str, Any]] = {}
        self.chat_actions: list[tuple[int, str]] = []
        self.on_update: Callable[[], None] = lambda: None
        self._updates: list[dict[str, Any]] = []
        self._allowed: frozenset[str] = frozenset()
        self._last_update_id = 1_000_000
        self._last_message_id: dict[int, int] = {}

    # --- chats

    def add_chat(self, chat_id: int, *, username: str = "", title: str = "", channel: bool = False) -> None:
        """Makes a chat known: positive ids are private chats, -100… supergroups or channels, other negative ids groups."""
        if chat_id > 0:
            chat: dict[str, Any] = {"id": chat_id, "type": "private", "first_name": title or f"User {chat_id}"}
        else:
            kind = ("channel" if channel else "supergroup") if str(chat_id).startswith("-100") else "group"
            chat = {"id": chat_id, "type": kind, "title": title or f"Group {-chat_id}"}
        with self.lock:
            self.chats[chat_id] = {**chat, "username": username} if username else chat

    def set_blocked(self, chat_id: int, *, blocked: bool) -> None:
        """From now on every call that writes to the chat is refused with 403, or no longer."""
        with self.lock:
            (self.blocked.add if blocked else self.blocked.discard)(chat_id)

    def migrate(self, chat_id: int, new_chat_id: int) -> None:
        """The group becomes a supergroup: calls to the former id are refused and name the new one."""
        self.add_chat(new_chat_id)
        with self.lock:
            self.migrated[chat_id] = new_chat_id

    def find_chat(self, reference: str) -> dict[str, Any]:
        """The chat of an id or @username. Raises ApiError 400 `chat not found`."""
        if not reference:
            raise bad_request("chat_id is empty")
        with self.lock:
            known = list(self.chats.items())
        for chat_id, chat in known:
            if reference == str(chat_id) or (reference[0] == "@" and chat.get("username") == reference[1:]):
                return chat
        raise bad_request("chat not found")

    def writable_chat(self, reference: str) -> dict[str, Any]:
        """As find_chat; and 403 where the user blocked the bot or the group removed it."""
        chat = self.find_chat(reference)
        if chat["id"] in self.migrated:
            reason = "Bad Request: group chat was upgraded to a supergroup chat"
            raise ApiError(400, reason, migrate_to_chat_id=self.migrated[chat["id"]])
        if chat["id"] in self.blocked:
            private = chat["type"] == "private"
            reason = "bot was blocked by the user" if private else f"bot was kicked from the {chat['type']} chat"
            raise ApiError(403, f"Forbidden: {reason}")
        return chat

    # --- photos

    def photo_of(self, sha256: str) -> Photo | None:
        """The uploaded picture with this digest."""
        with self.lock:
            return next((photo for photo in self.photos.values() if photo.sha256 == sha256), None)

    # --- messages

    def post(
        self,
        chat_id: int,
        version: Version,
        *,
        from_user_id: int,
        reply_to: int | None = None,
        thread_id: int | None = None,
    ) -> StoredMessage:
        """Adds a message; thread_id: the forum topic it is in. Ids run per chat from 1, so that equal ids in two chats show whoever mixes them up."""
        with self.lock:
            message_id = self._last_message_id.get(chat_id, 0) + 1
            self._last_message_id[chat_id] = message_id
            message = StoredMessage(
                chat_id=chat_id,
                message_id=message_id,
                from_user_id=from_user_id,
                sent_at_wall_ns=version.at_wall_ns,
                history=[version],
                reply_to_message_id=reply_to,
                thread_id=thread_id,
            )
            self.messages[chat_id, message_id] = message
            return message

    def find_message(self, chat_id: int, message_id: int) -> StoredMessage | None:
        """The message unless it never existed or was deleted."""
        message = self.messages.get((chat_id, message_id))
        return None if message is None or message.deleted else message

    def as_json(self, message: StoredMessage) -> dict[str, Any]:
        """The Bot API's Message object of its current version."""
        version = message.current
        sender = self.bot if message.from_user_id == self.bot_id else user_json(message.from_user_id)
        answer: dict[str, Any] = {
            "message_id": message.message_id,
            "from": sender,
            "chat": self.chats[message.chat_id],
            "date": message.sent_at_wall_ns // 1_000_000_000,
        }
        if message.thread_id is not None:
            answer |= {"message_thread_id": message.thread_id, "is_topic_message": True}
        if message.edit_count:
            answer["edit_date"] = version.at_wall_ns // 1_000_000_000
        name, entities_name = ("caption", "caption_entities") if version.photo else ("text", "entities")
        if version.photo:
            answer["photo"] = version.photo.as_sizes()
        if version.text:
            answer[name] = version.text
        if version.entities:
            answer[entities_name] = list(version.entities)
        if version.reply_markup:
            answer["reply_markup"] = version.reply_markup
        replied = self.find_message(message.chat_id, message.reply_to_message_id or 0)
        if replied is not None:
            answer["reply_to_message"] = {k: v for k, v in self.as_json(replied).items() if k != "reply_to_message"}
        return answer

    # --- updates

    def push_update(self, kind: str, content: dict[str, Any]) -> int | None:
        """Queues one update; None where the bot's allowed_updates leave this kind out."""
        with self.lock:
            if kind not in self._allowed if self._allowed else kind in _ONLY_ON_REQUEST:
                return None
            self._last_update_id += 1
            update_id = self._last_update_id
            self._updates.append({"update_id": update_id, kind: content})
        self.on_update()
        return update_id

    def allow_updates(self, kinds: list[str] | None) -> None:
        """None keeps the former list, an empty list restores the default; past updates stay as they are."""
        if kinds is not None:
            self._allowed = frozenset(kinds)

    def pending_updates(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """getUpdates: ids below a positive offset are confirmed and forgotten; a negative one counts from the end."""
        with self.lock:
            if offset > 0:
                self._updates = [update for update in self._updates if update["update_id"] >= offset]
            elif offset < 0:
                self._updates = self._updates[offset:]
            return self._updates[:limit]

    def pending_update_count(self) -> int:
        return len(self._updates)

    def drop_updates(self) -> None:
        with self.lock:
            self._updates.clear()

    # --- what users do

    def press(self, chat_id: int, message_id: int, callback_data: str, user_id: int, *, stale: bool = False) -> str:
        """A user presses a button; returns the callback query's id.

        The button must be on the message as it is now; with `stale`, on any version it ever had (a client that has
        not seen the edit yet). Raises ValueError otherwise, since no user can do that.
        """
        with self.lock:
            message = self.find_message(chat_id, message_id)
            if message is None:
                raise ValueError(f"a button needs a message, none in chat {chat_id} with id {message_id}")
            versions = message.history if stale else message.history[-1:]
            buttons = [data for version in versions for data in version.buttons()]
            if callback_data not in buttons:
                raise ValueError(f"no button {callback_data!r} on message {message_id} of chat {chat_id}: {buttons}")
            query_id = str(4_000_000_000 + len(self.callbacks) + 1)
            query = {
                "id": query_id,
                "from": user_json(user_id),
                "message": self.as_json(message),
                "chat_instance": str(chat_id),
                "data": callback_data,
            }
            self.callbacks[query_id] = query
        self.push_update("callback_query", query)
        return query_id

    def send_text(self, chat_id: int, text: str, user_id: int, *, thread_id: int | None = None) -> int:
        """A user writes to the bot; returns the message id. A leading /command carries its entity, as clients add."""
        with self.lock:
            if chat_id not in self.chats:
                raise ValueError(f"chat {chat_id} is not known to the server; known are {sorted(self.chats)}")
            command_length = len(text.split(maxsplit=1)[0]) if text.startswith("/") else 0
            entities = ({"type": "bot_command", "offset": 0, "length": command_length},) if command_length else ()
            version = Version(
                text=text,
                source=text,
                entities=entities,
                reply_markup=None,
                photo=None,
                method="user",
                at_wall_ns=time.time_ns(),
            )
            message = self.post(chat_id, version, from_user_id=user_id, thread_id=thread_id)
            content = self.as_json(message)
        self.push_update("message", content)
        return message.message_id


def user_json(user_id: int) -> dict[str, Any]:
    """A person, as the Bot API shows one."""
    return {"id": user_id, "is_bot": False, "first_name": f"User {user_id}", "language_code": "en"}
