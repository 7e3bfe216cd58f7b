"""The server as a process of its own, and its control interface from outside."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from tests.support.telegram.faults import FaultRule, RateLimits
from tests.support.telegram.inspection import Inspection, StateView

_REPOSITORY = Path(__file__).resolve().parents[3]


class TelegramControl(Inspection):
    """Questions and orders to a running server, over /control. Same questions as the in-process server's."""

    poll_interval_s = 0.1  # a snapshot travels as JSON

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False)

    @property
    def base_url(self) -> str:
        """What the real client takes as `base_url`; the token follows without a slash."""
        return f"{self.url}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.url}/file/bot"

    def state(self) -> StateView:
        return msgspec.json.decode(self._client.get("/control/state").raise_for_status().content, type=StateView)

    def photo_bytes(self, sha256: str) -> bytes:
        answer = self._client.get(f"/control/photos/{sha256}")
        if answer.status_code == 404:
            raise KeyError(sha256)
        return answer.raise_for_status().content

    def add_fault(self, rule: FaultRule) -> None:
        self._order("faults", rule)

    def clear_faults(self, seed: int | None = None) -> None:
        parameters = {} if seed is None else {"seed": seed}
        self._client.delete("/control/faults", params=parameters).raise_for_status()

    def set_rate_limits(self, limits: RateLimits | None) -> None:
        self._order("rate-limits", limits)

    def add_chat(self, chat_id: int, *, username: str = "", title: str = "", channel: bool = False) -> None:
        self._order("chats", {"chat_id": chat_id, "username": username, "title": title, "channel": channel})

    def block(self, chat_id: int, *, blocked: bool = True) -> None:
        self._order("chats", {"chat_id": chat_id, "blocked": blocked})

    def press(self, chat_id: int, message_id: int, callback_data: str, user_id: int, *, stale: bool = False) -> str:
        """A user presses a button; returns the callback query's id. Raises ValueError where there is no such button."""
        order = {"chat_id": chat_id, "message_id": message_id, "callback_data": callback_data, "user_id": user_id}
        return str(self._order("press", {**order, "stale": stale})["callback_query_id"])

    def send_text(self, chat_id: int, text: str, user_id: int) -> int:
        """A user writes to the bot; returns the message id."""
        return int(self._order("text", {"chat_id": chat_id, "text": text, "user_id": user_id})["message_id"])

    def _order(self, path: str, content: Any) -> dict[str, Any]:
        answer = self._client.post(f"/control/{path}", content=msgspec.json.encode(content))
        if answer.status_code == 400:
            raise ValueError(answer.json()["error"])
        return dict(answer.raise_for_status().json())

    def close(self) -> None:
        self._client.close()


class TelegramServerProcess(TelegramControl):
    """Starts `python -m tests.support.telegram_server` on `port` (0: a free one); ends it on exit.

    Raises RuntimeError with the process's last words where it does not come up.
    """

    def __init__(self, state_path: Path, *, chats: tuple[int, ...], token: str, port: int = 0, seed: int = 0) -> None:
        arguments = ["--port", str(port), "--state", str(state_path), "--token", token, "--seed", str(seed)]
        arguments += [f"--chat={chat_id}" for chat_id in chats]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.telegram_server", *arguments],
            cwd=_REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first_line = self.process.stdout.readline().strip()
        if not first_line.startswith("http://"):
            raise RuntimeError(f"the Telegram server did not start (exit {self.process.wait(5)}): {first_line!r}")
        super().__init__(first_line)
        self.token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 5 s."""
        self.close()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
