"""A candle as the venue itself publishes it."""

from decimal import Decimal

import msgspec


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """A closed candle as the venue publishes it; volumes exact, in base and quote."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    quote_volume: Decimal
    trade_count: int | None
