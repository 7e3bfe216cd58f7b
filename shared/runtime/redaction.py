"""Keeps secrets and personal data out of logs and error lines, whatever brought them there.

Three nets: the values of this process's own secrets, wherever they appear; texts that look like secrets; keys of log lines
that name some. Ids of chats and people are personal data: only their last four digits are shown, enough to tell one's own
chats apart.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "(hidden)"
DEPTH_MAX: Final = 8  # of nested values; what lies deeper is hidden
_SECRET_LENGTH_MIN: Final = 6  # a shorter one is no secret, and would tear other words apart
_SHOWN_DIGITS: Final = 4

_PATTERNS: Final = (
    # Blocks of private keys, also with their line ends written as \n.
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), "(key)"),
    # A Telegram bot token, also inside a URL.
    (re.compile(r"(?<!\d)\d{5,}:[A-Za-z0-9_-]{20,}"), "(token)"),
    # Credentials in a URL: user:password@, :password@, token@.
    (re.compile(r"(?<=://)[^/?#@\s'\"]+(?=@)"), "(credentials)"),
    # Parameters of a URL.
    (
        re.compile(
            r"(?i)(?<=[?&])((?:[a-z_-]*(?:key|token|secret|signature|password|passwd|credential)|sig|auth)=)[^&\s'\"#]+"
        ),
        rf"\1{HIDDEN}",
    ),
    # Headers and assignments: Authorization: Bearer x, api_key = x, "password": "x", TELEGRAM_BOT_TOKEN=x.
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"(?i)\b([a-z0-9_-]*(?:api[_-]?key|private[_-]?key|secret|password|passwd|access[_-]?token|bot[_-]?token|api[_-]?sign))"
            r"([\"']?\s*[=:]\s*[\"']?)(?!\(hidden\))[^\s\"',;&}\]]{4,}"
        ),
        rf"\1\2{HIDDEN}",
    ),
    # Keys of Google, Amazon, GitHub; JSON web tokens.
    (
        re.compile(r"AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{20,}|AKIA[0-9A-Z]{16}|gh[opsu]_[0-9A-Za-z]{30,}"),
        "(key)",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,}"), "(token)"),
    # Supergroups and channels are recognised by their number; "chat_id": 123 by its name.
    (re.compile(r"(?<![\w.-])-100\d{6,}(?=(\d{4})(?!\d))\d{4}"), r"(id …\1)"),
    (re.compile(r"(?i)\b((?:chat|user|from)_?id[\"']?\s*[=:]\s*[\"']?)-?\d+(?=(\d{4})(?!\d))\d{4}"), r"\1(id …\2)"),
)
_SECRET_KEY: Final = re.compile(
    r"(?i)(?:^|_)(?:token|secret|password|passwd|credentials?|authorization|cookie|api_?key|private_?key|signature)$"
)
_PERSONAL_KEY: Final = re.compile(
    r"(?i)^(?:chats?|users?|chat_id|user_id|former|moved_to|username|first_name|last_name|phone)$"
)
_NUMBER: Final = re.compile(r"-?\d+")

_known: dict[str, str] = {}  # this process's own secrets and chats -> what stands in their place


def hide(value: str, replacement: str = HIDDEN) -> None:
    """From now on this very text is replaced wherever it appears; for the secrets and chats a process knows."""
    text = value.strip()
    if len(text) >= _SECRET_LENGTH_MIN:
        _known[text] = replacement


def hide_chat(chat: str) -> None:
    """From now on this chat's id is shortened wherever it appears. chat: an id, with its topic or without, or a name."""
    number = chat.partition("/")[0]
    if _NUMBER.fullmatch(number):
        hide(number, shortened(number))


def shortened(identifier: str) -> str:
    """The id of a chat or a person as logs may show it: `-1001234567890/5` -> `(id …7890)/5`. Other texts as they are."""
    number, slash, topic = identifier.partition("/")
    if not _NUMBER.fullmatch(number) or len(number) <= _SHOWN_DIGITS:
        return identifier
    return f"(id …{number[-_SHOWN_DIGITS:]}){slash}{topic}"


def redact(text: str) -> str:
    """The text without secrets, credentials and ids of chats."""
    for value, replacement in _known.items():
        if value in text:
            text = text.replace(value, replacement)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_value(value: Any, *, key: str = "", depth: int = 0) -> Any:
    """The value as a log may show it: texts redacted, also inside maps and lists; what a telling key names is hidden."""
    if key and _SECRET_KEY.search(key) and value is not None:
        return HIDDEN
    if key and _PERSONAL_KEY.match(key) and isinstance(value, str | int) and not isinstance(value, bool):
        return redact(shortened(str(value)))
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return HIDDEN if depth >= DEPTH_MAX else _redact_inside(value, key, depth + 1)
    return _redact_single(value)


def _redact_inside(value: Any, key: str, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {redact(str(name)): redact_value(item, key=str(name), depth=depth) for name, item in value.items()}
    return [redact_value(item, key=key, depth=depth) for item in value]


def _redact_single(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _known.get(str(value), value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    return redact(str(value))  # texts; exceptions, paths, structs as the renderer would write them
