"""What every venue's feed reports: connections, the venue's clock, trades, and what had to be refused."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from shared.domain.venue_trade import VenueTrade


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something the venue sent that is no valid trade: as it came, and which rule it breaks (topic and id named)."""

    topic: str
    data: bytes
    reason: str


class FeedConnected(msgspec.Struct, frozen=True, kw_only=True):
    """The socket is open; nothing is subscribed yet. connection counts from 1."""

    connection: int


class FeedReady(msgspec.Struct, frozen=True, kw_only=True):
    """Every subscription is answered: trades of `symbols` flow from here on; refused: symbol -> the venue's reason."""

    symbols: tuple[str, ...]
    refused: dict[str, str]


class FeedClock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A frame without trades for us, of which only the venue's time matters."""

    venue_time_ms: int


class FeedTrades(msgspec.Struct, frozen=True, kw_only=True):
    """The valid trades of one frame in the frame's order, and those of it that were refused."""

    topic: str
    venue_time_ms: int
    trades: list[VenueTrade]
    refused: list[Refusal]


class FeedRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that could not be read at all. trades_possible: it may have carried trades, which are lost with it."""

    refusal: Refusal
    trades_possible: bool


class FeedLost(msgspec.Struct, frozen=True, kw_only=True):
    """The connection ended (or never came up); the next attempt follows after retry_seconds."""

    reason: str
    retry_seconds: float


FeedEvent = FeedConnected | FeedReady | FeedClock | FeedTrades | FeedRefused | FeedLost


class Feed(Protocol):
    """A live connection that repairs itself."""

    async def run(self, handle: Callable[[FeedEvent], None]) -> None:
        """Connect, subscribe, report every event in order; reconnect until closed. `handle` must not block."""

    async def close(self) -> None:
        """End `run` within a bounded time."""
