"""What every venue folder offers the services, and what it declares about itself."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from shared.domain.instruments import Instrument
from shared.domain.klines import Kline as Kline  # noqa: PLC0414 - part of the port, though pure parts need it too
from shared.domain.timeframe import Timeframe
from shared.domain.venue_trade import VenueTrade


class VenueRules(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a venue that code must not guess.

    kline_opens_at_previous_close: its kline's open is the previous close, and high and low include it.
    ids_are_consecutive:           trades of a symbol are numbered 1 by 1, so that a missing number is a lost trade.
    recent_trades_max:             newest trades one REST call gives; no paging when ids are not consecutive.
    """

    exchange: str
    topic: str
    kline_opens_at_previous_close: bool
    ids_are_consecutive: bool
    recent_trades_max: int
    klines_max: int


class VenueRest(Protocol):
    """The venue's public REST. Every call has a deadline; failures raise TransientError, refusals PermanentError."""

    rules: VenueRules

    async def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """Those of the symbols the venue trades, by symbol."""

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        """The newest trades the venue gives, oldest first."""

    async def trades_from(self, symbol: str, trade_id: int) -> list[VenueTrade]:
        """Trades with this id and the ones after it, oldest first, at most rules.recent_trades_max; empty beyond the newest.

        Only of a venue whose ids are consecutive; others raise PermanentError.
        """

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        """Closed candles with start <= open time < end, oldest first, paging as needed; the forming one is left out."""

    async def server_time_ms(self) -> int:
        """The venue's clock."""

    async def close(self) -> None:
        """Release connections."""


BYBIT_LINEAR: Final = "bybit-linear"
BINANCE_SPOT: Final = "binance-spot"
# Venues that number the trades of a symbol one by one: a missing number is a lost trade, in a recorded tape as well.
NUMBERED_EXCHANGES: Final = frozenset({BINANCE_SPOT})
