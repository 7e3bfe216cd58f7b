"""Faults a user can order, and their seeded schedule."""

from typing import Literal

import msgspec

from services.simulator.core.randomness import generator

FaultName = Literal[
    "cut", "silence", "rest_down", "duplicate", "lose", "conflict", "late_trade",
    "malformed", "unknown_symbol", "negative_price", "nan_price", "far_time",
]  # fmt: skip
BAD_FRAMES: tuple[FaultName, ...] = ("malformed", "unknown_symbol", "negative_price", "nan_price", "far_time")
_SECONDS_MAX = 86_400.0
_COUNT_MAX = 1000


class FaultOrderError(ValueError):
    """The order names no fault or a symbol that is not there; nothing was done."""


class FaultOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order of POST /control/faults.

    seconds: cut refuses, silence mutes new, rest_down answers 503 for so many seconds of wall time.
    symbol:  for faults of trade frames; empty means one that is subscribed.
    count:   how many frames, or late trades, 1 .. 1000.
    delay_s: late_trade only: how far behind now its time lies, in market seconds.
    graceful: cut only: with a close frame instead of an aborted socket.
    """

    fault: FaultName
    seconds: float = 0.0
    symbol: str = ""
    count: int = 1
    delay_s: float = 90.0
    graceful: bool = False

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("delay_s", self.delay_s)):
            if not 0 <= value <= _SECONDS_MAX:
                raise FaultOrderError(f"{name} must be 0 .. {_SECONDS_MAX:.0f}, was {value} (fault={self.fault})")
        if not 1 <= self.count <= _COUNT_MAX:
            raise FaultOrderError(f"count must be 1 .. {_COUNT_MAX}, was {self.count} (fault={self.fault})")


def decode_order(body: bytes, symbols: frozenset[str]) -> FaultOrder:
    """The order in a request body. Raises FaultOrderError with the reason."""
    try:
        order = msgspec.json.decode(body, type=FaultOrder)
    except (msgspec.DecodeError, FaultOrderError) as error:
        raise FaultOrderError(f"not a fault order: {error}") from error
    if order.symbol and order.symbol not in symbols:
        raise FaultOrderError(f"symbol must be one of the market's, was {order.symbol!r} (fault={order.fault})")
    return order


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of one kind at seeded moments, one in every `every_ms` of market time; every_ms 0 means none."""

    seed: int
    fault: FaultName
    every_ms: int
    symbols: tuple[str, ...]
    seconds: float = 0.0
    delay_s: float = 90.0

    def between(self, after_ms: int, until_ms: int) -> list[tuple[int, FaultOrder]]:
        """Orders due at after_ms < t <= until_ms as (t, order), the same whatever the pieces asked for."""
        if self.every_ms <= 0:
            return []
        due = []
        for slot in range(after_ms // self.every_ms, until_ms // self.every_ms + 1):
            rng = generator(self.seed, "schedule", self.fault, slot)
            at_ms = int((slot + rng.random()) * self.every_ms)
            symbol = self.symbols[int(rng.integers(len(self.symbols)))]
            name = BAD_FRAMES[int(rng.integers(len(BAD_FRAMES)))] if self.fault == "malformed" else self.fault
            if after_ms < at_ms <= until_ms:
                order = FaultOrder(fault=name, symbol=symbol, seconds=self.seconds, delay_s=self.delay_s)
                due.append((at_ms, order))
        return due
