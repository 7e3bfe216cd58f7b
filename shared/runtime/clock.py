"""Two clocks. Wall time is the machine's; market time is the venue's, which an accelerated simulator scales."""

import time
from typing import Protocol

import msgspec


class Clock(Protocol):
    """What services may ask about time; cores are handed values instead."""

    def wall_ms(self) -> int:
        """UTC epoch milliseconds of this machine."""

    def market_ms(self) -> int:
        """UTC epoch milliseconds of the market."""


class ScaledClock(msgspec.Struct, frozen=True, kw_only=True):
    """market = origin_market + (wall - origin_wall) * speed; with the defaults both clocks are one."""

    origin_wall_ms: int = 0
    origin_market_ms: int = 0
    speed: float = 1.0

    def wall_ms(self) -> int:
        """UTC epoch milliseconds of this machine."""
        return time.time_ns() // 1_000_000

    def market_ms(self) -> int:
        """UTC epoch milliseconds of the market."""
        return self.origin_market_ms + round((self.wall_ms() - self.origin_wall_ms) * self.speed)

    def wall_seconds(self, market_ms: float) -> float:
        """How many wall seconds a span of market time lasts."""
        return market_ms / 1000 / self.speed


class EventClock:
    """The clock of a replay: both times are what the driver last set."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        """The time set last."""
        return self.now_ms

    def market_ms(self) -> int:
        """The time set last."""
        return self.now_ms
