"""A Telegram Bot API server for tests, in this process or as one of its own.

In process:  with TelegramServer(chats=(1001, -1002000)) as server: Bot(server.token, base_url=server.base_url)
As process:  python -m tests.support.telegram_server --port N --state FILE.jsonl --chat 1001 --chat=-1002000
             prints its address on the first line; `TelegramServerProcess` starts and asks it.

It speaks HTML (no Markdown), photos as the only media, and edits without an age limit; the rest is what
core.telegram.org/bots/api documents for the methods in telegram/methods.py, refusals in Telegram's words.
"""

import argparse
import signal
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from tests.support.telegram.client import TelegramControl, TelegramServerProcess
from tests.support.telegram.faults import FaultKind, FaultPlan, FaultRule, RateLimiter, RateLimits
from tests.support.telegram.hub import Hub
from tests.support.telegram.inspection import Inspection, StateView
from tests.support.telegram.records import Call, Photo, StoredMessage, Version
from tests.support.telegram.web import BotApiServer, Connection

TOKEN = "1000001:token-of-the-test-server"
_START_TIMEOUT_S = 10.0


class TelegramServer(Inspection):
    """The server on a free (or given) loopback port, in a thread of its own. Use as a context manager.

    Every method may be called from any thread. Unknown chats are refused, so name the chats a test writes to.
    """

    def __init__(
        self,
        *,
        chats: tuple[int, ...] = (),
        token: str = TOKEN,
        port: int = 0,
        state_path: Path | None = None,
        seed: int = 0,
        username: str = "tracker_test_bot",
    ) -> None:
        self.token = token
        self._hub = Hub(token=token, username=username, seed=seed, journal_path=state_path)
        for chat_id in chats:
            self._hub.world.add_chat(chat_id)
        self._api = BotApiServer(self._hub)
        # asyncio turns Nagle's delay off only where the protocol is named; without it every answer takes 40 ms more.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.base_url = f"{self.url}/bot"  # the real client appends the token without a slash
        self.base_file_url = f"{self.url}/file/bot"
        config = uvicorn.Config(
            self._api.app,
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="telegram-server")

    def start(self) -> None:
        """Returns once the server accepts calls. Raises TimeoutError after 10 s."""
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError(f"the Telegram server did not start on {self.url} within {_START_TIMEOUT_S} s")
            time.sleep(0.005)

    def stop(self) -> None:
        """Ends waiting polls, closes connections and the journal."""
        self._api.close()
        self._server.should_exit = True
        self._thread.join(_START_TIMEOUT_S)
        self._socket.close()
        self._hub.journal.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- orders

    def revoke_token(self, new: str) -> None:
        """As @BotFather does: the former token is refused from now on."""
        self.token = self._hub.token = new

    def add_fault(self, rule: FaultRule) -> None:
        """Rules are asked in the order they were added; the first that hits decides."""
        self._hub.faults.add(rule)

    def clear_faults(self, seed: int | None = None) -> None:
        self._hub.faults.clear(seed)

    def set_rate_limits(self, limits: RateLimits | None) -> None:
        """Enforces Telegram's limits from now on, with empty windows; None lifts them (the default)."""
        self._hub.set_rate_limits(limits)

    def add_chat(self, chat_id: int, *, username: str = "", title: str = "", channel: bool = False) -> None:
        self._hub.world.add_chat(chat_id, username=username, title=title, channel=channel)

    def block(self, chat_id: int, *, blocked: bool = True) -> None:
        """The user blocks the bot, or the group removes it: 403 from now on."""
        self._hub.world.set_blocked(chat_id, blocked=blocked)

    def migrate(self, chat_id: int, new_chat_id: int) -> None:
        """The group becomes a supergroup with another id."""
        self._hub.world.migrate(chat_id, new_chat_id)

    def press(self, chat_id: int, message_id: int, callback_data: str, user_id: int, *, stale: bool = False) -> str:
        """A user presses a button; returns the callback query's id. Raises ValueError where there is no such button."""
        return self._hub.world.press(chat_id, message_id, callback_data, user_id, stale=stale)

    def send_text(self, chat_id: int, text: str, user_id: int, *, thread_id: int | None = None) -> int:
        """A user writes to the bot, in a forum topic if one is named; returns the message id."""
        return self._hub.world.send_text(chat_id, text, user_id, thread_id=thread_id)

    # --- questions: the rest is in Inspection

    def state(self) -> StateView:
        return self._hub.state()

    def photo_bytes(self, sha256: str) -> bytes:
        photo = self._hub.world.photo_of(sha256)
        if photo is None:
            raise KeyError(sha256)
        return photo.content


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.telegram_server")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="JSON lines: every accepted call as it happens")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--chat", type=int, action="append", default=[], help="a chat that exists; repeat it")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' probabilities")
    options = parser.parse_args()
    chats = tuple(options.chat)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server = TelegramServer(
            chats=chats, token=options.token, port=options.port, state_path=options.state, seed=options.seed
        )
    except (OSError, ValueError) as error:
        parser.exit(2, f"cannot serve on port {options.port} with state {options.state}: {error}\n")
    with server:
        print(server.url, flush=True)  # noqa: T201 - the caller reads the address from this line
        stopped.wait()


__all__ = [
    "TOKEN",
    "Call",
    "FaultKind",
    "FaultPlan",
    "FaultRule",
    "Photo",
    "RateLimiter",
    "RateLimits",
    "StateView",
    "StoredMessage",
    "TelegramControl",
    "TelegramServer",
    "TelegramServerProcess",
    "Version",
]

if __name__ == "__main__":
    main()
