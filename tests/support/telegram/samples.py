"""What tests of the notifier keep needing: a real picture, and the real client pointed at a server."""

import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram import Bot
from telegram.request import HTTPXRequest

from tests.support.telegram_server import TOKEN, TelegramControl, TelegramServer


def a_png(width: int = 64, height: int = 48, shade: int = 0) -> bytes:
    """A real picture: every chunk with its checksum."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\x00" + bytes([shade]) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@asynccontextmanager
async def a_bot(
    at: TelegramServer | TelegramControl, token: str = TOKEN, read_timeout_s: float = 5
) -> AsyncIterator[Bot]:
    request = HTTPXRequest(read_timeout=read_timeout_s)
    bot = Bot(token, base_url=at.base_url, base_file_url=at.base_file_url, request=request)
    async with bot:
        yield bot
