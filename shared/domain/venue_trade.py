"""A trade as a venue's text gives it, on its way into a batch."""

import msgspec


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A public trade as the venue's text gave it, before it becomes a row of a batch; checked by the parser."""

    symbol: str
    trade_id: int | str
    price_text: str
    quantity_text: str
    traded_at_ms: int
    taker_is_buyer: bool
    venue_sequence: int
