"""Bybit v5 linear: what the venue declares about itself, and its instruments.

GET /v5/market/instruments-info?category=linear&limit=1000[&cursor=...]

    {"retCode":0,"retMsg":"OK","retExtInfo":{},"time":1786310817197,"result":{"category":"linear","nextPageCursor":"",
     "list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT",
       "priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},
       "lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001", ...}, ...}]}}
"""

from typing import Final

import msgspec

from shared.domain.decimals import scale_of_text
from shared.domain.instruments import Instrument
from shared.exchanges.venue import BYBIT_LINEAR, VenueRules

BYBIT_RULES: Final = VenueRules(
    exchange=BYBIT_LINEAR,
    topic="raw-tick-data-bybit",
    kline_opens_at_previous_close=True,
    ids_are_consecutive=False,  # execution ids are UUIDs
    recent_trades_max=1000,
    klines_max=1000,
)
WEBSOCKET_URL: Final = "wss://stream.bybit.com/v5/public/linear"
REST_URL: Final = "https://api.bybit.com"
CATEGORY: Final = "linear"
_TRADING: Final = "Trading"


class PriceFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Price steps, decimal text."""

    tick_size: str


class LotSizeFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Quantity steps, decimal text."""

    qty_step: str


class InstrumentInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields of an instrument that we need."""

    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    price_filter: PriceFilter
    lot_size_filter: LotSizeFilter

    @property
    def is_trading(self) -> bool:
        """Whether the market is open for trading now."""
        return self.status == _TRADING

    def instrument(self) -> Instrument:
        """The market in our terms; raises InvalidValueError where a step is no decimal number."""
        return Instrument(
            exchange=BYBIT_LINEAR,
            symbol=self.symbol,
            base=self.base_coin,
            quote=self.quote_coin,
            price_scale=scale_of_text(self.price_filter.tick_size),
            quantity_scale=scale_of_text(self.lot_size_filter.qty_step),
        )
