"""A chat as a picture: the messages a server holds, drawn as SVG bubbles with their pictures and buttons."""

import base64
import html
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec

WIDTH = 460
_BUBBLE = 400
_PADDING = 12
_LINE = 19
_TOKEN = re.compile(r"(<[^>]+>)")
_STYLES = {"b": 'font-weight="700"', "i": 'font-style="italic"', "code": 'font-family="monospace" fill="#9fd0ff"'}


class Bubble(msgspec.Struct, frozen=True, kw_only=True):
    """One message. source: Telegram HTML; buttons: their texts by row; quoted: the first line of what it answers."""

    source: str
    buttons: Sequence[Sequence[str]] = ()
    photo: bytes = b""
    photo_ratio: float = 1.0
    quoted: str = ""
    from_user: bool = False
    label: str = ""


class _Piece(msgspec.Struct, frozen=True):
    text: str
    style: str


def chat_svg(bubbles: Sequence[Bubble]) -> str:
    """The bubbles below one another, on a dark ground as the app has it."""
    parts: list[str] = []
    y = 14.0
    for bubble in bubbles:
        if bubble.label:
            parts.append(
                f'<text x="{WIDTH / 2}" y="{y + 12}" text-anchor="middle" class="label">{_safe(bubble.label)}</text>'
            )
            y += 24
        drawn, height = _bubble(bubble, y)
        parts.append(drawn)
        y += height + 12
    style = "text{font:14px -apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#f0f3f6}"
    style += ".label{font-size:12px;fill:#7f91a4}.quote{font-size:12px;fill:#8fc3ff}.button{font-size:13px}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{WIDTH}" height="{y:.0f}">'
    ground = f'<rect width="100%" height="100%" rx="10" fill="#0e1621"/><style>{style}</style>'
    return f"{head}{ground}{''.join(parts)}</svg>\n"


def bubbles_of(messages: Sequence[Any], photo_of: Any, versions: dict[int, int] | None = None) -> list[Bubble]:
    """Bubbles of a server's messages; versions: which version of a message to show, by its id, instead of the newest."""
    by_id = {message.message_id: message for message in messages}
    found = []
    for message in messages:
        version = message.history[(versions or {}).get(message.message_id, -1)]
        rows = (version.reply_markup or {}).get("inline_keyboard", [])
        quoted = by_id.get(message.reply_to_message_id or 0)
        photo = version.photo
        found.append(
            Bubble(
                source=version.source,
                buttons=[[button["text"] for button in row] for row in rows],
                photo=photo_of(photo.sha256) if photo else b"",
                photo_ratio=photo.height / photo.width if photo else 1.0,
                quoted=quoted.text.splitlines()[0] if quoted else "",
                from_user=version.method == "user",
            )
        )
    return found


def _bubble(bubble: Bubble, top: float) -> tuple[str, float]:
    lines = [line for text in bubble.source.split("\n") for line in _wrapped(text, _BUBBLE - 2 * _PADDING)]
    left = WIDTH - 14 - _BUBBLE if bubble.from_user else 14
    y = top + _PADDING
    parts = []
    if bubble.quoted:
        parts.append(f'<rect x="{left + _PADDING}" y="{y}" width="3" height="18" fill="#5aa9ff"/>')
        parts.append(f'<text x="{left + _PADDING + 9}" y="{y + 13}" class="quote">{_safe(bubble.quoted[:52])}</text>')
        y += 26
    if bubble.photo:
        width, height = _BUBBLE - 8, (_BUBBLE - 8) * bubble.photo_ratio
        data = base64.b64encode(bubble.photo).decode()
        place = f'x="{left + 4}" y="{y - 8}" width="{width}" height="{height:.0f}"'
        parts.append(f'<image {place} href="data:image/png;base64,{data}"/>')
        y += height + 2
    for line in lines:
        y += _LINE
        spans = "".join(f"<tspan {piece.style}>{_safe(piece.text)}</tspan>" for piece in line)
        parts.append(f'<text x="{left + _PADDING}" y="{y - 5}" xml:space="preserve">{spans}</text>')
    bottom = y + _PADDING
    colour = "#2b5278" if bubble.from_user else "#182533"
    ground = f'<rect x="{left}" y="{top}" width="{_BUBBLE}" height="{bottom - top:.0f}" rx="12" fill="{colour}"/>'
    for row in bubble.buttons:
        width = (_BUBBLE - 4 * (len(row) - 1)) / len(row)
        for index, text in enumerate(row):
            x = left + index * (width + 4)
            parts.append(f'<rect x="{x:.0f}" y="{bottom + 4}" width="{width:.0f}" height="32" rx="8" fill="#24344a"/>')
            parts.append(
                f'<text x="{x + width / 2:.0f}" y="{bottom + 25}" text-anchor="middle" class="button">{_safe(text)}</text>'
            )
        bottom += 36
    return ground + "".join(parts), bottom - top


def _wrapped(text: str, width: float) -> list[list[_Piece]]:
    """The line in pieces of one style each, broken where it gets too long."""
    lines: list[list[_Piece]] = [[]]
    used, style = 0.0, ""
    for token in _TOKEN.split(text):
        if token.startswith("<"):
            style = "" if token.startswith("</") else _STYLES.get(token[1:-1], "")
            continue
        for word in re.findall(r"\s+|\S+", html.unescape(token)):
            size = _width(word)
            if used + size > width and not word.isspace() and lines[-1]:
                lines.append([])
                used = 0.0
            lines[-1].append(_Piece(word, style))
            used += size
    return lines


def _width(text: str) -> float:
    """About what a proportional font needs at 14 pixels."""
    return sum(
        15.0 if unicodedata.east_asian_width(one) in "WF" else 4.6 if one in " .,:;il|·'" else 8.5 for one in text
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=False)
