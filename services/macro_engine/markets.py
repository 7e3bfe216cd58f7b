"""Which of the venue's markets stands for a pair: the one with its base and quote, else one whose quote moves alike."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from services.macro_engine.core.versions import Pair
from services.macro_engine.memory import Memory
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import DAY_MS
from shared.exchanges.kraken.instruments import KRAKEN_SPOT
from shared.exchanges.kraken.rest import KrakenRest

_KEY: Final = "markets"


class _Markets(msgspec.Struct, frozen=True):
    read_at_ms: int
    instruments: list[Instrument]


_DECODER: Final = msgspec.json.Decoder(_Markets)


class MarketBook:
    """The venue's listing, read once a day and remembered."""

    def __init__(self, memory: Memory, venue: KrakenRest, *, quotes_like: Mapping[str, Sequence[str]]) -> None:
        self._memory = memory
        self._venue = venue
        self._quotes_like = quotes_like

    async def symbols(self, pairs: Iterable[Pair], now_ms: int) -> dict[Pair, str | PermanentError]:
        """The venue's symbol of each pair, or why there is none. Raises TransientError where nothing is known of the venue."""
        instruments = await self._instruments(now_ms)
        by_pair = {Pair(item.base, item.quote): item.symbol for item in instruments}
        return {pair: self._symbol(pair, by_pair) for pair in pairs}

    def _symbol(self, pair: Pair, by_pair: Mapping[Pair, str]) -> str | PermanentError:
        quotes = [pair.quote, *self._quotes_like.get(pair.quote, ())]
        for quote in quotes:
            symbol = by_pair.get(Pair(pair.base, quote))
            if symbol is not None:
                return symbol
        return InvalidValueError(f"{KRAKEN_SPOT} trades no {pair.base} against {' or '.join(quotes)}")

    async def _instruments(self, now_ms: int) -> list[Instrument]:
        known = await self._memory.get(_KEY, _DECODER)
        if known is not None and 0 <= now_ms - known.read_at_ms < DAY_MS:
            return known.instruments
        try:
            instruments = await self._venue.markets()
        except (TransientError, PermanentError):
            if known is None:
                raise
            return known.instruments
        await self._memory.put(_KEY, _Markets(now_ms, instruments))
        return instruments
