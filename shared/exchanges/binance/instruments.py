"""Binance spot: what the venue declares about itself, and its instruments.

GET /api/v3/exchangeInfo?symbols=["BTCUSDT","ETHUSDT"]

    {"timezone":"UTC","serverTime":1754603741167,"rateLimits":[...],"exchangeFilters":[],"symbols":[
      {"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","baseAssetPrecision":8,"quoteAsset":"BTC",...,"filters":[
        {"filterType":"PRICE_FILTER","minPrice":"0.00001000","maxPrice":"922327.00000000","tickSize":"0.00001000"},
        {"filterType":"LOT_SIZE","minQty":"0.00010000","maxQty":"100000.00000000","stepSize":"0.00010000"}, ...]}]}

One unknown symbol refuses the whole request: HTTP 400 {"code":-1121,"msg":"Invalid symbol."}.
"""

from typing import Final

import msgspec

from shared.domain.decimals import scale_of_text
from shared.domain.errors import TransientError
from shared.domain.instruments import Instrument
from shared.exchanges.venue import BINANCE_SPOT, VenueRules

BINANCE_RULES: Final = VenueRules(
    exchange=BINANCE_SPOT,
    topic="raw-tick-data-binance",
    kline_opens_at_previous_close=False,  # first trade, as ours
    ids_are_consecutive=True,
    recent_trades_max=1000,
    klines_max=1000,
)
WEBSOCKET_URL: Final = "wss://stream.binance.com:9443/stream"
REST_URL: Final = "https://api.binance.com"
_TRADING: Final = "TRADING"


class Filter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One rule of a market; of each kind only its own fields are there."""

    filter_type: str
    tick_size: str = ""
    step_size: str = ""


class SymbolInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields of a market that we need."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: list[Filter]

    @property
    def is_trading(self) -> bool:
        """Whether the market is open for trading now."""
        return self.status == _TRADING

    def instrument(self) -> Instrument:
        """The market in our terms; raises TransientError where a filter is missing, InvalidValueError on a bad step."""
        steps = {item.filter_type: item for item in self.filters}
        if not {"PRICE_FILTER", "LOT_SIZE"} <= steps.keys():
            raise TransientError(f"PRICE_FILTER and LOT_SIZE are required, was {sorted(steps)} (market {self.symbol})")
        return Instrument(
            exchange=BINANCE_SPOT,
            symbol=self.symbol,
            base=self.base_asset,
            quote=self.quote_asset,
            price_scale=scale_of_text(steps["PRICE_FILTER"].tick_size),
            quantity_scale=scale_of_text(steps["LOT_SIZE"].step_size),
        )
