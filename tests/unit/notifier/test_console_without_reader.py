"""A console whose terminal is gone: the notifier ends as on SIGTERM, and the message is certainly not delivered."""

import os
import signal
from pathlib import Path

import pytest

from services.notifier.messengers.console import ConsoleMessenger
from services.notifier.messengers.port import NotDeliveredError, Post


async def test_nobody_reads_any_more(tmp_path: Path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    told: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with os.fdopen(write_end, "w") as output:
            messenger = ConsoleMessenger(folder=tmp_path, now_ms=lambda: 1, output_format="text", output=output)
            with pytest.raises(NotDeliveredError, match="terminal is gone"):
                await messenger.send(Post(chat="console", text="hello", signal=None))
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # so that closing has somewhere to flush to
    finally:
        signal.signal(signal.SIGTERM, former)

    assert told == [signal.SIGTERM]
