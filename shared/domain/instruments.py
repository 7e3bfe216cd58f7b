"""What a venue says about a market that we need: assets and decimals."""

import msgspec

from shared.domain.checks import check_name, require
from shared.domain.decimals import SCALE_MAX


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One market of one venue.

    price_scale, quantity_scale: decimals of the smallest price and quantity step.
    """

    exchange: str
    symbol: str
    base: str
    quote: str
    price_scale: int
    quantity_scale: int

    def __post_init__(self) -> None:
        place = f"instrument {self.exchange} {self.symbol}"
        check_name(self.exchange, "exchange", place)
        check_name(self.symbol, "symbol", place)
        require(0 <= self.price_scale <= SCALE_MAX, f"price_scale must be 0..{SCALE_MAX}", self.price_scale, place)
        require(
            0 <= self.quantity_scale <= SCALE_MAX, f"quantity_scale must be 0..{SCALE_MAX}", self.quantity_scale, place
        )
