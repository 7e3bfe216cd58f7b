"""Messages as rows, for replay: what would have been sent, edited and drawn, at event time. No picture is drawn."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from services.notifier.messengers.port import Post
from shared.domain.decisions import Decision
from shared.domain.signals import Signal


class ChartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which candles the chart behind the button would show."""

    window_digest: str
    symbol: str
    timeframe: str
    first_open_time_ms: int
    length: int


class RecordedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One send or edit. at_ms: event time. buttons: callback data. chart: None where the message has no button."""

    at_ms: int
    action: Literal["new", "edit"]
    signal_id: str
    text: str
    buttons: tuple[str, ...]
    chart: ChartRequest | None


class RecordingMessenger:
    """Keeps every message in `messages`. now_ms: the clock of the replay; find_decision: the signal's Decision."""

    draws_charts = False

    def __init__(
        self, *, now_ms: Callable[[], int], find_decision: Callable[[Signal], Awaitable[Decision | None]]
    ) -> None:
        self.messages: list[RecordedMessage] = []
        self._now_ms = now_ms
        self._find_decision = find_decision

    async def send(self, post: Post) -> int:
        """Record a new message; returns its number from 1."""
        await self._record("new", post)
        return len(self.messages)

    async def edit(self, post: Post, message_id: int) -> None:
        """Record an edit."""
        del message_id
        await self._record("edit", post)

    async def show_chart(self, post: Post, picture: bytes, *, reply_to: int | None) -> int:
        """Never called: a replay draws nothing and presses no button."""
        raise NotImplementedError

    async def set_picture(self, post: Post, picture: bytes, message_id: int) -> None:
        """Never called: a replay draws nothing."""
        raise NotImplementedError

    async def set_keyboard(self, post: Post, message_id: int) -> None:
        """Never called: a replay presses no button."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to release."""

    def json_lines(self) -> bytes:
        """Every message as one JSON line, in order: the content of messages.jsonl."""
        encoder = msgspec.json.Encoder()
        return b"".join(encoder.encode(message) + b"\n" for message in self.messages)

    async def _record(self, action: Literal["new", "edit"], post: Post) -> None:
        signal = post.signal
        values: dict[str, Any] = {"signal_id": "", "buttons": (), "chart": None}
        if signal is not None:
            values = {
                "signal_id": signal.signal_id,
                "buttons": tuple(button.data for row in post.keyboard for button in row),
                "chart": _request(signal, await self._find_decision(signal)),
            }
        self.messages.append(RecordedMessage(at_ms=self._now_ms(), action=action, text=post.text, **values))


def _request(signal: Signal, decision: Decision | None) -> ChartRequest | None:
    windows = [] if decision is None else [item for item in decision.windows if item.timeframe is signal.timeframe]
    if not windows:
        return None
    return ChartRequest(
        window_digest=windows[0].digest,
        symbol=signal.symbol,
        timeframe=signal.timeframe.value,
        first_open_time_ms=windows[0].first_open_time_ms,
        length=windows[0].length,
    )
