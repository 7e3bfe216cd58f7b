"""Which assets a symbol trades, read from its text."""

from functools import lru_cache
from typing import Final

# Longest first where one ends another (FDUSD before USD). An instrument table, once there is one, replaces this.
QUOTES: Final = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "PAX", "USD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")  # fmt: skip
_SEPARATORS: Final = "-/_"


@lru_cache(maxsize=10_000)
def base_and_quote(symbol: str) -> tuple[str, str]:
    """('BTC', 'USDT') of BTCUSDT, BTC-USDT or BTC/USDT; (symbol, '') where no known quote asset ends it.

    A guess that fails closed to nothing: an unknown pair has no bias, which allows entries (promise 7).
    """
    text = symbol.upper()
    for mark in _SEPARATORS:
        if mark in text:
            base, _, quote = text.partition(mark)
            return base, quote
    for quote in QUOTES:
        if text.endswith(quote) and len(text) > len(quote):
            return text.removesuffix(quote), quote
    return text, ""
