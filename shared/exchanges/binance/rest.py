"""Binance spot public REST. Implements VenueRest. Costs are the venue's request weights (6,000 a minute per IP)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httpx
import msgspec

from shared.domain.errors import PermanentError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import Timeframe
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.binance.instruments import BINANCE_RULES, REST_URL, SymbolInfo
from shared.exchanges.binance.wire import parse_klines, parse_server_time_ms, parse_symbols, parse_trades
from shared.exchanges.http import RestLimits, VenueHttp, kline_of_texts
from shared.exchanges.venue import Kline, VenueRules

_BANNED: Final = frozenset({int(HTTPStatus.IM_A_TEAPOT)})  # an IP that went on after 429; ends by itself
_INFO_WEIGHT, _TRADES_WEIGHT, _KLINES_WEIGHT = 20.0, 25.0, 2.0
_WEIGHT_PER_SECOND: Final = 50.0  # half of what the venue allows


class BinanceRest:
    """The venue's public REST over one pooled client."""

    rules: VenueRules = BINANCE_RULES

    def __init__(
        self,
        base_url: str = REST_URL,
        *,
        limits: RestLimits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        chosen = limits or RestLimits(requests_per_second=_WEIGHT_PER_SECOND)
        self._http = VenueHttp(base_url, chosen, transient_status=_BANNED, transport=transport)
        self._seen_time_ms = 0  # the latest time the venue told

    async def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """Those of the symbols the venue trades, by symbol; where one is unknown to it, each is asked for alone."""
        try:
            infos = await self._symbols(symbols)
        except PermanentError:
            infos = []
            for symbol in symbols:
                try:
                    infos += await self._symbols([symbol])
                except PermanentError:  # this one is unknown; the caller names what it does not find
                    continue
        return {info.symbol: info.instrument() for info in infos if info.is_trading and info.symbol in symbols}

    async def _symbols(self, symbols: Sequence[str]) -> list[SymbolInfo]:
        parameters = {"symbols": msgspec.json.encode(list(symbols)).decode()}
        return await self._http.get("/api/v3/exchangeInfo", parameters, parse_symbols, cost=_INFO_WEIGHT)

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        """The newest trades the venue gives (at most 1,000), oldest first."""
        parameters = {"symbol": symbol, "limit": str(self.rules.recent_trades_max)}
        return await self._trades("/api/v3/trades", parameters)

    async def trades_from(self, symbol: str, trade_id: int) -> list[VenueTrade]:
        """Trades with this id and the ones after it, oldest first, at most 1,000."""
        parameters = {"symbol": symbol, "limit": str(self.rules.recent_trades_max), "fromId": str(max(0, trade_id))}
        return await self._trades("/api/v3/historicalTrades", parameters)

    async def _trades(self, path: str, parameters: dict[str, str]) -> list[VenueTrade]:
        symbol = parameters["symbol"]
        return await self._http.get(path, parameters, lambda body: parse_trades(body, symbol), cost=_TRADES_WEIGHT)

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        """Closed candles with start <= open time < end, oldest first, paging as needed; the forming one is left out.

        The answer does not say the venue's time: it is asked for first, so that what is called closed was closed. Where an
        earlier answer is late enough for all that is wanted, that one does.
        """
        server_time_ms = self._seen_time_ms if end_ms <= self._seen_time_ms else await self.server_time_ms()
        found: dict[int, Kline] = {}
        page_ms = self.rules.klines_max * timeframe.duration_ms
        page_start_ms = timeframe.open_time_ms(start_ms)
        while page_start_ms < end_ms and page_start_ms < server_time_ms:
            page_end_ms = min(page_start_ms + page_ms, end_ms)
            parameters = {
                "symbol": symbol,
                "interval": timeframe.value,
                "startTime": str(page_start_ms),
                "endTime": str(page_end_ms - 1),  # inclusive at the venue
                "limit": str(self.rules.klines_max),
            }
            rows = await self._http.get(
                "/api/v3/klines", parameters, lambda body: parse_klines(body, symbol), cost=_KLINES_WEIGHT
            )
            for open_time_ms, close_time_ms, texts, trade_count in rows:
                if close_time_ms < server_time_ms and start_ms <= open_time_ms < end_ms:
                    place = f"klines {symbol} {timeframe}"
                    found[open_time_ms] = kline_of_texts(open_time_ms, texts, trade_count, place)
            page_start_ms = page_end_ms
        return [found[open_time_ms] for open_time_ms in sorted(found)]

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        server_time_ms = await self._http.get("/api/v3/time", {}, parse_server_time_ms)
        self._seen_time_ms = max(self._seen_time_ms, server_time_ms)
        return server_time_ms

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()


def binance_rest(base_url: str = REST_URL) -> BinanceRest:
    """The venue's REST at this address, with the usual limits."""
    return BinanceRest(base_url)
