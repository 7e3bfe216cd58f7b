"""Every venue that the services can follow: how its REST and its feed are made. One entry per folder."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from shared.domain.errors import PermanentError
from shared.exchanges.feed import Feed
from shared.exchanges.venue import BINANCE_SPOT, BYBIT_LINEAR, VenueRest, VenueRules
from shared.exchanges.websocket import FeedLimits


class MakeFeed(Protocol):
    """Makes a venue's feed, not connected yet."""

    def __call__(
        self, url: str, symbols: Sequence[str], *, clock_symbol: str | None, limits: FeedLimits | None
    ) -> Feed:
        """The feed of these symbols; clock_symbol: whose ticker is the clock, None for the venue's own choice."""


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    """What a service needs to follow a venue. The URLs are the venue's own; settings and configuration may replace them."""

    rules: VenueRules
    websocket_url: str
    rest_url: str
    make_rest: Callable[[str], VenueRest]
    make_feed: MakeFeed

    @property
    def subscription(self) -> str:
        """The aggregator's subscription of the venue's trades; refused ones become its dead letters."""
        return f"aggregator--{self.rules.topic}"


def _bybit_linear() -> Venue:
    from shared.exchanges.bybit.feed import BybitFeed
    from shared.exchanges.bybit.instruments import BYBIT_RULES, REST_URL, WEBSOCKET_URL
    from shared.exchanges.bybit.rest import bybit_rest

    return Venue(
        rules=BYBIT_RULES,
        websocket_url=WEBSOCKET_URL,
        rest_url=REST_URL,
        make_rest=bybit_rest,
        make_feed=BybitFeed,
    )


def _binance_spot() -> Venue:
    from shared.exchanges.binance.feed import BinanceFeed
    from shared.exchanges.binance.instruments import BINANCE_RULES, REST_URL, WEBSOCKET_URL
    from shared.exchanges.binance.rest import binance_rest

    return Venue(
        rules=BINANCE_RULES,
        websocket_url=WEBSOCKET_URL,
        rest_url=REST_URL,
        make_rest=binance_rest,
        make_feed=BinanceFeed,
    )


# Functions, so that a process imports only the venues it follows.
_VENUES: Final[dict[str, Callable[[], Venue]]] = {BYBIT_LINEAR: _bybit_linear, BINANCE_SPOT: _binance_spot}


def known_exchanges() -> tuple[str, ...]:
    """The exchanges that can be followed."""
    return tuple(_VENUES)


def venue_of(exchange: str) -> Venue:
    """The venue; raises PermanentError naming what there is."""
    make = _VENUES.get(exchange)
    if make is None:
        raise PermanentError(f"no such venue: {exchange}; known are {', '.join(_VENUES)}")
    return make()


def venues_among(exchanges: Iterable[str]) -> list[Venue]:
    """Those of the exchanges that can be followed, in the order given; others serve other purposes (bias, say)."""
    return [venue_of(exchange) for exchange in exchanges if exchange in _VENUES]
