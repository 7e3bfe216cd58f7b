"""How many messages may go: Telegram's published limits as sliding windows. Reads no clock."""

from collections import defaultdict, deque
from typing import Final

import msgspec

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60_000


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Telegram's limits (core.telegram.org/bots/faq, "My bot is hitting limits"); edits count as messages do.

    margin_ms: added to each window, since messages do not travel equally fast.
    factor:    how much faster than Telegram the server counts, retry_after included; 1 but for tests.
    """

    per_chat_per_second: int = 1
    per_group_per_minute: int = 20
    global_per_second: int = 30
    margin_ms: float = 50.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        counts = (self.per_chat_per_second, self.per_group_per_minute, self.global_per_second)
        if min(counts) < 1 or self.factor <= 0 or self.margin_ms < 0:
            raise ValueError(f"rates must be >= 1, factor > 0 and margin >= 0, was {self}")

    def wait_ms(self, retry_after_seconds: float) -> int:
        """What a `retry_after` means here."""
        return round(retry_after_seconds * _SECOND_MS / self.factor)


class Slot(msgspec.Struct):
    """One message on its way or told. at_ms: when it was answered; the server counted it a little earlier.

    Before the answer it is a second after it left: a request that hangs holds up its chat by two seconds, not for ever.
    """

    at_ms: int


class _Window:
    """The latest `limit` messages; another may follow once the oldest of them is `span_ms` old."""

    def __init__(self, limit: int, span_ms: float) -> None:
        self._span_ms = span_ms
        self._limit = limit
        self._slots: deque[Slot] = deque(maxlen=limit)

    def next_ms(self) -> float:
        """When the next one may go; 0 while there is room."""
        return self._slots[0].at_ms + self._span_ms if len(self._slots) == self._limit else 0

    def take(self, slot: Slot) -> None:
        self._slots.append(slot)

    def room(self, now_ms: int) -> int:
        """How many may go now."""
        return self._limit - sum(slot.at_ms + self._span_ms > now_ms for slot in self._slots)


class RateBudget:
    """What has been spent, by chat and in all. Chats that share an id (forum topics) share its budget."""

    def __init__(self, limits: RateLimits | None) -> None:
        """limits: None for a messenger without any (console, replay)."""
        self.limits = limits
        self._chats: dict[str, list[_Window]] = defaultdict(list)
        self._all = _Window(limits.global_per_second, self._span_ms(_SECOND_MS)) if limits else None

    def room(self, chat: str, now_ms: int) -> int | None:
        """How many messages the chat may get now; None without limits."""
        windows = self._windows(chat)
        return min((window.room(now_ms) for window in windows), default=None)

    def room_of_all(self, now_ms: int) -> int | None:
        """How many may go to all chats together now; None without limits."""
        return None if self._all is None else self._all.room(now_ms)

    def next_ms(self, chat: str) -> int:
        """When the chat's next message may go; 0 while there is room."""
        windows = [*self._windows(chat), *([self._all] if self._all else [])]
        return -int(-max((window.next_ms() for window in windows), default=0.0) // 1)

    def take(self, chat: str, now_ms: int, *, in_flight: bool = False) -> Slot:
        """One message goes. in_flight: its slot's time is set when it is answered; until then it counts a second more."""
        later_ms = self._span_ms(_SECOND_MS) if in_flight and self.limits else 0
        slot = Slot(now_ms + round(later_ms))
        for window in self._windows(chat):
            window.take(slot)
        if self._all is not None:
            self._all.take(slot)
        return slot

    def _windows(self, chat: str) -> list[_Window]:
        if self.limits is None:
            return []
        address = chat.partition("/")[0]
        if address not in self._chats:
            windows = [_Window(self.limits.per_chat_per_second, self._span_ms(_SECOND_MS))]
            if address.startswith(("-", "@")):  # groups and channels
                windows.append(_Window(self.limits.per_group_per_minute, self._span_ms(_MINUTE_MS)))
            self._chats[address] = windows
        return self._chats[address]

    def _span_ms(self, span_ms: int) -> float:
        assert self.limits is not None  # noqa: S101 - asked for only with limits
        return (span_ms + self.limits.margin_ms) / self.limits.factor
