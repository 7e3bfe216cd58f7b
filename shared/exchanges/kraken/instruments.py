"""Kraken spot: what the venue declares about itself, and its pairs.

GET /0/public/AssetPairs

    {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","aclass_base":"currency","base":"XXBT",
     "aclass_quote":"currency","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,"status":"online", ...}, ...}}

`altname` is the symbol. Base and quote are read from `wsname`: `base` and `quote` carry Kraken's old X and Z for some assets only.
"""

from typing import Final

import msgspec

from shared.domain.instruments import Instrument

KRAKEN_SPOT: Final = "kraken-spot"
REST_URL: Final = "https://api.kraken.com"
OHLC_ROWS_MAX: Final = 720  # newest rows of one answer, the open one among them
# Kraken allows an IP about one public call a second.
REQUESTS_PER_SECOND: Final = 1.0
# What Kraken calls by another name than everybody else.
ASSETS: Final = {"XBT": "BTC", "XDG": "DOGE"}
_ONLINE: Final = "online"
_DARK: Final = ".d"


class PairInfo(msgspec.Struct, frozen=True):
    """The fields of a pair that we need. Old answers have no status."""

    altname: str
    pair_decimals: int
    lot_decimals: int
    wsname: str = ""
    status: str = _ONLINE

    @property
    def is_trading(self) -> bool:
        """Whether the market is open for trading now, and not the dark pool's twin of another (XBTUSD.d)."""
        return self.status == _ONLINE and "/" in self.wsname and not self.altname.endswith(_DARK)

    def instrument(self) -> Instrument:
        """The market in our terms: XBT/USDT is (BTC, USDT)."""
        base, _, quote = self.wsname.partition("/")
        return Instrument(
            exchange=KRAKEN_SPOT,
            symbol=self.altname,
            base=common_asset(base),
            quote=common_asset(quote),
            price_scale=self.pair_decimals,
            quantity_scale=self.lot_decimals,
        )


def common_asset(name: str) -> str:
    """The name other venues use: XBT -> BTC."""
    return ASSETS.get(name, name)


def common_symbol(symbol: str) -> str:
    """The symbol with its base as others call it: XBTUSD -> BTCUSD."""
    found = next((name for name in ASSETS if symbol.startswith(name)), "")
    return common_asset(found) + symbol.removeprefix(found) if found else symbol
