"""Messages on standard output and charts as PNG files: the mode without a token."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

from services.notifier.core.texts import plain_text
from services.notifier.messengers.port import NotDeliveredError, Post, RefusedError

Format = Literal["text", "json"]
CONSOLE_CHAT = "console"


class ConsoleMessenger:
    """Prints each message; saves a chart on entry and another on exit. Message ids count from `first_id`.

    format "text": readable blocks; "json": one line {"kind": "new" | "edit" | "chart", "signal_id", "text",
    "chart_path", "at_ms"} each, for a screen that shows them. now_ms: what `at_ms` says (market time).
    """

    draws_charts = True

    def __init__(
        self,
        *,
        folder: Path,
        now_ms: Callable[[], int],
        output_format: Format = "text",
        output: TextIO | None = None,
        first_id: int = 1,
    ) -> None:
        self._folder = folder
        self._now_ms = now_ms
        self._format = output_format
        self._output = output or sys.stdout
        self._next_id = first_id

    async def send(self, post: Post) -> int:
        """Print a new message; returns its number."""
        number = self._next_id
        self._next_id += 1
        self._print("new", post)
        return number

    async def edit(self, post: Post, message_id: int) -> None:
        """Print the message as it reads now."""
        del message_id
        self._print("edit", post)

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int | None) -> int:
        """Save the picture and print where. Raises RefusedError where the folder cannot be written."""
        if post.signal is None:
            raise RefusedError("a chart belongs to a signal, was None (console)")
        stage = "entry" if post.signal.exit is None else "exit"
        path = self._folder / f"{post.signal.symbol}_{post.signal.signal_id}_{stage}.png"
        try:
            await asyncio.to_thread(_save, path, picture)
        except OSError as error:
            raise RefusedError(f"{path} cannot be written: {error.strerror} (OUTBOX_DIR)") from error
        self._print("chart", post, path=path)
        return reply_to or 0

    async def set_picture(self, post: Post, picture: bytes, message_id: int) -> None:
        """Never called: `draws_charts` is True, so that pictures are shown as files."""
        raise NotImplementedError

    async def set_keyboard(self, post: Post, message_id: int) -> None:
        """Never called: a console has no buttons to press."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to release."""

    def _print(self, kind: str, post: Post, *, path: Path | None = None) -> None:
        text = plain_text(post.text)
        if self._format == "json":
            line: dict[str, Any] = {
                "kind": kind,
                "signal_id": post.signal.signal_id if post.signal else "",
                "text": text,
                "chart_path": str(path) if path else "",
                "at_ms": self._now_ms(),
            }
            self._write(msgspec.json.encode(line).decode())
        elif path:
            self._write(f"📊 CHART {path}\n")
        else:
            mark = "✉ NEW " if kind == "new" else "✎ EDIT"
            name = f" {post.signal.symbol} {post.signal.signal_id}" if post.signal else ""
            body = "\n".join(f"  {line}" if line else "" for line in text.splitlines())
            self._write(f"{mark}{name}\n{body}\n")

    def _write(self, text: str) -> None:
        try:
            self._output.write(text + "\n")
            self._output.flush()
        except BrokenPipeError as error:
            # Nobody reads any more (the terminal is gone): end as on SIGTERM; what is queued stays for the next start.
            os.kill(os.getpid(), signal.SIGTERM)
            raise NotDeliveredError("the terminal is gone") from error


def _save(path: Path, picture: bytes) -> None:
    """Whole or not at all: a reader never finds half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(picture)
    part.replace(path)
