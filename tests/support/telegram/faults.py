"""Faults on demand: what goes wrong, for which calls, how often; and Telegram's real rate limits."""

import math
import random
import threading
from collections import defaultdict, deque
from typing import Literal

import msgspec

from tests.support.telegram.errors import ApiError, too_many_requests

FaultKind = Literal[
    "too_many_requests",  # 429 with retry_after_s, nothing posted
    "refuse",  # `status` and `description` in Telegram's envelope, nothing posted
    "error_before",  # HTTP `status` (5xx), nothing posted
    "error_after",  # posted, and the client sees HTTP `status` (5xx)
    "reset_before",  # connection reset once the request was read, nothing posted
    "reset_after",  # posted, then the connection is reset
    "slow_before",  # waits delay_s, then posts and answers
    "slow",  # posts at once, answers after delay_s
]
AFTER_THE_EFFECT = frozenset({"error_after", "reset_after", "slow"})


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. Of the calls that match method and chat, the first `skip` pass, then `count` are hit.

    method: a Bot API method, any case; "*" for every method but getUpdates (name that one to break polling).
    count:  calls hit before the rule is spent; None for ever.
    probability: chance that a matching call is hit; drawn from the plan's seed, so a run repeats.
    """

    kind: FaultKind
    method: str = "*"
    chat_id: int | None = None
    count: int | None = 1
    skip: int = 0
    probability: float = 1.0
    retry_after_s: int = 1
    status: int = 502
    description: str = ""
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be within 0..1, was {self.probability} ({self.kind} {self.method})")
        if self.skip < 0 or (self.count is not None and self.count < 1) or self.delay_s < 0 or self.retry_after_s < 1:
            raise ValueError(f"skip, delay_s >= 0 and count, retry_after_s >= 1 must hold, was {self}")


class FaultPlan:
    """The rules in force, first match wins; thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._rules: list[tuple[FaultRule, list[int]]] = []
        self._lock = threading.Lock()

    def add(self, rule: FaultRule) -> None:
        with self._lock:
            self._rules.append((rule, [0, 0]))

    def clear(self, seed: int | None = None) -> None:
        """Removes every rule; with `seed` the draws start again."""
        with self._lock:
            self._rules.clear()
            if seed is not None:
                self._random = random.Random(seed)

    def rules(self) -> list[FaultRule]:
        """Rules that can still hit."""
        with self._lock:
            return [rule for rule, (_, hits) in self._rules if rule.count is None or hits < rule.count]

    def take(self, method: str, chat_id: int | None) -> FaultRule | None:
        """The fault of this call, counted against its rule, or None."""
        with self._lock:
            for rule, counters in self._rules:
                if not _matches(rule, method, chat_id) or (rule.count is not None and counters[1] >= rule.count):
                    continue
                counters[0] += 1
                if counters[0] <= rule.skip or self._random.random() >= rule.probability:
                    continue
                counters[1] += 1
                return rule
        return None


def _matches(rule: FaultRule, method: str, chat_id: int | None) -> bool:
    if rule.chat_id is not None and rule.chat_id != chat_id:
        return False
    return method.lower() != "getupdates" if rule.method == "*" else rule.method.lower() == method.lower()


class RateLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Telegram's published limits; `factor` shortens their windows: this server's seconds pass `factor` times faster, also
    those of the `retry_after` it answers.

    per_chat_per_second: messages to one chat in one second; Telegram lets short bursts pass, this is the strict side.
    per_group_per_minute: messages to one group, supergroup or channel (negative chat id) in a minute.
    """

    per_chat_per_second: int = 1
    per_group_per_minute: int = 20
    global_per_second: int = 30
    factor: float = 1.0

    def __post_init__(self) -> None:
        if min(self.per_chat_per_second, self.per_group_per_minute, self.global_per_second) < 1 or self.factor <= 0:
            raise ValueError(f"limits must be >= 1 and factor > 0, was {self}")


class RateLimiter:
    """Sliding windows over admitted messages; one refused for its rate does not count. Reads no clock."""

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self._accepted: dict[tuple[str, int], deque[int]] = defaultdict(deque)

    def admit(self, chat_id: int, now_ns: int) -> None:
        """Counts one message, or raises ApiError 429 with whole seconds to wait (at least 1, as Telegram answers)."""
        windows = [
            (("chat", chat_id), self.limits.per_chat_per_second, 1.0),
            (("all", 0), self.limits.global_per_second, 1.0),
        ]
        if chat_id < 0:
            windows.append((("group", chat_id), self.limits.per_group_per_minute, 60.0))
        wait_ns = max(self._wait_ns(key, limit, seconds, now_ns) for key, limit, seconds in windows)
        if wait_ns > 0:
            raise _flood(wait_ns * self.limits.factor)
        for key, _, _ in windows:
            self._accepted[key].append(now_ns)

    def _wait_ns(self, key: tuple[str, int], limit: int, window_s: float, now_ns: int) -> int:
        window_ns = int(window_s * 1e9 / self.limits.factor)
        accepted = self._accepted[key]
        while accepted and accepted[0] <= now_ns - window_ns:
            accepted.popleft()
        return accepted[-limit] + window_ns - now_ns if len(accepted) >= limit else 0


def _flood(wait_ns: float) -> ApiError:
    return too_many_requests(max(1, math.ceil(wait_ns / 1e9)))
