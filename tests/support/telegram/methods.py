"""The methods of the Bot API, as functions from parameters to a result or a refusal in Telegram's words."""

import time
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.telegram.content import Request, formatted, inline_keyboard
from tests.support.telegram.entities import Entity, utf16_length
from tests.support.telegram.errors import bad_request
from tests.support.telegram.records import Photo, StoredMessage, Version, read_photo
from tests.support.telegram.state import World

if TYPE_CHECKING:
    from collections.abc import Callable

CALLBACK_ANSWER_LENGTH_MAX = 200
_CHAT_ACTIONS = frozenset(
    {"typing", "upload_photo", "record_video", "upload_video", "upload_document", "find_location"}
)
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


class BotApi:
    """Dispatches one call; getUpdates is the transport's business, since it waits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._methods: dict[str, Callable[[Request], Any]] = {
            "getme": self._get_me,
            "sendmessage": self._send_message,
            "sendphoto": self._send_photo,
            "editmessagetext": self._edit_message_text,
            "editmessagecaption": self._edit_message_caption,
            "editmessagemedia": self._edit_message_media,
            "editmessagereplymarkup": self._edit_message_reply_markup,
            "deletemessage": self._delete_message,
            "answercallbackquery": self._answer_callback_query,
            "setmycommands": self._set_my_commands,
            "getmycommands": lambda _: self._world.commands,
            "getchat": self._get_chat,
            "sendchataction": self._send_chat_action,
            "getfile": self._get_file,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._get_webhook_info,
        }

    def knows(self, method: str) -> bool:
        return method.lower() in self._methods

    def call(self, method: str, request: Request) -> Any:
        """The `result` of the envelope. Raises ApiError; then nothing was changed."""
        with self._world.lock:
            return self._methods[method.lower()](request)

    # --- about the bot

    def _get_me(self, _: Request) -> dict[str, Any]:
        abilities = ("can_join_groups", "can_read_all_group_messages", "supports_inline_queries")
        return {**self._world.bot, **dict.fromkeys(abilities, False)}

    def _set_my_commands(self, request: Request) -> bool:
        commands = request.json("commands") or []
        for command in commands:
            name = command.get("command", "")
            if not 1 <= len(name) <= 32 or not name.replace("_", "").isalnum() or name != name.lower():
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command.get("description", "")) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self._world.commands = commands
        return True

    def _get_chat(self, request: Request) -> dict[str, Any]:
        chat = self._world.find_chat(request.text("chat_id"))
        gifts = dict.fromkeys(
            ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), True
        )
        return {**chat, "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}

    def _send_chat_action(self, request: Request) -> bool:
        chat = self._world.writable_chat(request.text("chat_id"))
        action = request.text("action")
        if action not in _CHAT_ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._world.chat_actions.append((chat["id"], action))
        return True

    def _get_file(self, request: Request) -> dict[str, Any]:
        photo = self._world.photos.get(request.text("file_id"))
        if photo is None:
            raise bad_request("invalid file_id")
        path = f"photos/{photo.file_id}.{photo.format}"
        size = photo.as_sizes()[0]
        return {key: size[key] for key in ("file_id", "file_unique_id", "file_size")} | {"file_path": path}

    # --- webhook

    def _set_webhook(self, request: Request) -> bool:
        self._world.webhook = {"url": request.text("url"), "secret_token": request.text("secret_token")}
        self._world.allow_updates(request.json("allowed_updates"))
        return self._drop_pending(request)

    def _delete_webhook(self, request: Request) -> bool:
        self._world.webhook = {"url": ""}
        return self._drop_pending(request)

    def _drop_pending(self, request: Request) -> bool:
        if request.text("drop_pending_updates").lower() == "true":
            self._world.drop_updates()
        self._world.on_update()
        return True

    def _get_webhook_info(self, _: Request) -> dict[str, Any]:
        pending = self._world.pending_update_count()
        return {"url": self._world.webhook["url"], "has_custom_certificate": False, "pending_update_count": pending}

    # --- sending

    def _send_message(self, request: Request) -> dict[str, Any]:
        chat = self._world.writable_chat(request.text("chat_id"))
        return self._post(chat["id"], request, self._text_version(request, "sendMessage"))

    def _send_photo(self, request: Request) -> dict[str, Any]:
        chat = self._world.writable_chat(request.text("chat_id"))
        photo = self._photo(request, request.text("photo"), "photo")
        text, entities = formatted(request, "caption")
        version = _version("sendPhoto", text, request.text("caption"), entities, inline_keyboard(request), photo)
        return self._post(chat["id"], request, version)

    def _post(self, chat_id: int, request: Request, version: Version) -> dict[str, Any]:
        reply = request.json("reply_parameters") or {}
        reply_to = int(reply.get("message_id", 0)) or request.integer("reply_to_message_id")
        if reply_to and self._world.find_message(chat_id, reply_to) is None:
            if not reply.get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
            reply_to = 0
        thread_id = request.integer("message_thread_id") or None
        message = self._world.post(
            chat_id, version, from_user_id=self._world.bot_id, reply_to=reply_to or None, thread_id=thread_id
        )
        return self._world.as_json(message)

    def _text_version(self, request: Request, method: str) -> Version:
        text, entities = formatted(request, "text")
        if not text:
            raise bad_request("message text is empty")
        return _version(method, text, request.text("text"), entities, inline_keyboard(request), None)

    def _photo(self, request: Request, reference: str, field: str) -> Photo:
        """The picture of an upload (`attach://name`, or the field itself) or of a file_id sent before."""
        name = reference.removeprefix("attach://") if reference.startswith("attach://") else field
        if name in request.files:
            photo = read_photo(request.files[name])
            self._world.photos[photo.file_id] = photo
            return photo
        if not reference:
            raise bad_request(f"there is no {field} in the request")
        if reference not in self._world.photos:
            raise bad_request("wrong file identifier/HTTP URL specified")
        return self._world.photos[reference]

    # --- editing: an edit without reply_markup takes the keyboard away, as on the real server

    def _edit_message_text(self, request: Request) -> dict[str, Any]:
        message = self._editable(request)
        if message.photo is not None:
            raise bad_request("there is no text in the message to edit")
        return self._edit(message, self._text_version(request, "editMessageText"))

    def _edit_message_caption(self, request: Request) -> dict[str, Any]:
        message = self._editable(request)
        if message.photo is None:
            raise bad_request("there is no caption in the message to edit")
        text, entities = formatted(request, "caption")
        source, markup = request.text("caption"), inline_keyboard(request)
        return self._edit(message, _version("editMessageCaption", text, source, entities, markup, message.photo))

    def _edit_message_media(self, request: Request) -> dict[str, Any]:
        """Replaces the picture, or adds one to a text message; the caption comes with the media."""
        message = self._editable(request)
        media = request.json("media")
        if not isinstance(media, dict) or media.get("type") != "photo":
            raise bad_request("can't parse InputMedia: only photos are spoken here")
        photo = self._photo(request, str(media.get("media", "")), "media")
        text, entities = formatted(request, "caption", media)
        source = str(media.get("caption", ""))
        return self._edit(
            message, _version("editMessageMedia", text, source, entities, inline_keyboard(request), photo)
        )

    def _edit_message_reply_markup(self, request: Request) -> dict[str, Any]:
        message = self._editable(request)
        version = msgspec.structs.replace(
            message.current,
            reply_markup=inline_keyboard(request),
            method="editMessageReplyMarkup",
            at_wall_ns=time.time_ns(),
        )
        return self._edit(message, version)

    def _editable(self, request: Request) -> StoredMessage:
        chat = self._world.writable_chat(request.text("chat_id"))
        if not request.text("message_id"):
            raise bad_request("message identifier is not specified")
        message = self._world.find_message(chat["id"], request.integer("message_id"))
        if message is None:
            raise bad_request("message to edit not found")
        if message.from_user_id != self._world.bot_id:
            raise bad_request("message can't be edited")
        return message

    def _edit(self, message: StoredMessage, version: Version) -> dict[str, Any]:
        if version.shows_the_same_as(message.current):
            raise bad_request(_NOT_MODIFIED)
        message.history.append(version)
        return self._world.as_json(message)

    def _delete_message(self, request: Request) -> bool:
        chat = self._world.writable_chat(request.text("chat_id"))
        message = self._world.find_message(chat["id"], request.integer("message_id"))
        if message is None:
            raise bad_request("message to delete not found")
        message.deleted = True
        return True

    def _answer_callback_query(self, request: Request) -> bool:
        query_id = request.text("callback_query_id")
        if query_id not in self._world.callbacks:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if utf16_length(request.text("text")) > CALLBACK_ANSWER_LENGTH_MAX:
            raise bad_request("MESSAGE_TOO_LONG")
        self._world.callback_answers[query_id] = {
            "text": request.text("text"),
            "show_alert": request.text("show_alert").lower() == "true",
        }
        return True


def _version(
    method: str,
    text: str,
    source: str,
    entities: list[Entity],
    reply_markup: dict[str, Any] | None,
    photo: Photo | None,
) -> Version:
    return Version(
        text=text,
        source=source,
        entities=tuple(entities),
        reply_markup=reply_markup,
        photo=photo,
        method=method,
        at_wall_ns=time.time_ns(),
    )
