"""Bybit v5 public REST. Implements VenueRest."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httpx

from shared.domain.errors import PermanentError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import Timeframe
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.bybit.instruments import BYBIT_RULES, CATEGORY, REST_URL
from shared.exchanges.bybit.wire import parse_instruments, parse_klines, parse_recent_trades, parse_server_time_ms
from shared.exchanges.http import RestLimits, VenueHttp, kline_of_texts
from shared.exchanges.venue import Kline, VenueRules

_INTERVALS: Final = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.M30: "30",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "D",
    Timeframe.W1: "W",
}
_TOO_MANY_VISITS: Final = frozenset({int(HTTPStatus.FORBIDDEN)})  # said to an IP that calls too often
_PAGES_MAX: Final = 100


class BybitRest:
    """The venue's public REST over one pooled client."""

    rules: VenueRules = BYBIT_RULES

    def __init__(
        self,
        base_url: str = REST_URL,
        *,
        limits: RestLimits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        # The venue allows 120 requests a second per IP.
        chosen = limits or RestLimits()
        self._http = VenueHttp(base_url, chosen, transient_status=_TOO_MANY_VISITS, transport=transport)

    async def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """Those of the symbols the venue trades, by symbol: one listing of all markets, paged by cursor."""
        wanted = set(symbols)
        found: dict[str, Instrument] = {}
        cursor = ""
        for _ in range(_PAGES_MAX):
            parameters = {"category": CATEGORY, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
            page = await self._http.get("/v5/market/instruments-info", parameters, parse_instruments)
            infos = [info for info in page.list if info.symbol in wanted and info.is_trading]
            found |= {info.symbol: info.instrument() for info in infos}
            cursor = page.cursor
            if not cursor or len(found) == len(wanted):
                return found
        raise PermanentError(f"at most {_PAGES_MAX} pages are read, the cursor never ended (instruments-info)")

    async def trades_from(self, symbol: str, trade_id: int) -> list[VenueTrade]:
        """Bybit's ids are no numbers: it has no such question."""
        raise PermanentError(f"{self.rules.exchange} does not number its trades, asked for {symbol} from {trade_id}")

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        """The newest trades the venue gives (at most 1,000), oldest first."""
        parameters = {"category": CATEGORY, "symbol": symbol, "limit": str(self.rules.recent_trades_max)}
        return await self._http.get(
            "/v5/market/recent-trade", parameters, lambda body: parse_recent_trades(body, symbol)
        )

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        """Closed candles with start <= open time < end, oldest first, paging as needed; the forming one is left out."""
        found: dict[int, Kline] = {}
        page_ms = self.rules.klines_max * timeframe.duration_ms
        page_start_ms = timeframe.open_time_ms(start_ms)
        while page_start_ms < end_ms:
            page_end_ms = min(page_start_ms + page_ms, end_ms)
            parameters = {
                "category": CATEGORY,
                "symbol": symbol,
                "interval": _INTERVALS[timeframe],
                "start": str(page_start_ms),
                "end": str(page_end_ms - 1),  # inclusive at the venue
                "limit": str(self.rules.klines_max),
            }
            rows, server_time_ms = await self._http.get(
                "/v5/market/kline", parameters, lambda body: parse_klines(body, symbol)
            )
            for open_time_ms, texts in rows:
                closed = open_time_ms + timeframe.duration_ms <= server_time_ms
                if closed and start_ms <= open_time_ms < end_ms:
                    place = f"kline {symbol} {timeframe}"
                    found[open_time_ms] = kline_of_texts(open_time_ms, texts, None, place)
            if server_time_ms < page_end_ms:  # what follows has not happened yet
                break
            page_start_ms = page_end_ms
        return [found[open_time_ms] for open_time_ms in sorted(found)]

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        return await self._http.get("/v5/market/time", {}, parse_server_time_ms)

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()


def bybit_rest(base_url: str = REST_URL) -> BybitRest:
    """The venue's REST at this address, with the usual limits."""
    return BybitRest(base_url)
