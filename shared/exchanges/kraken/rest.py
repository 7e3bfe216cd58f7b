"""Kraken spot public REST: candles, pairs and time, which is what the macro engine needs of the venue."""

from typing import Final

import httpx

from shared.domain.errors import PermanentError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import Timeframe
from shared.exchanges.http import RestLimits, VenueHttp
from shared.exchanges.kraken.instruments import REQUESTS_PER_SECOND, REST_URL
from shared.exchanges.kraken.wire import parse_ohlc, parse_pairs, parse_server_time_ms
from shared.exchanges.venue import Kline

_INTERVALS: Final = {
    Timeframe.M1: "1",
    Timeframe.M5: "5",
    Timeframe.M15: "15",
    Timeframe.M30: "30",
    Timeframe.H1: "60",
    Timeframe.H4: "240",
    Timeframe.D1: "1440",
}
KRAKEN_LIMITS: Final = RestLimits(
    timeout_seconds=10.0, attempts=4, pause_seconds_max=8.0, requests_per_second=REQUESTS_PER_SECOND
)


class KrakenRest:
    """The venue's public REST over one pooled client. Failures raise TransientError, refusals PermanentError."""

    def __init__(
        self,
        base_url: str = REST_URL,
        *,
        limits: RestLimits = KRAKEN_LIMITS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = VenueHttp(base_url, limits, transport=transport)

    async def markets(self) -> list[Instrument]:
        """Every pair that is open for trading."""
        pairs = await self._http.get("/0/public/AssetPairs", {}, parse_pairs)
        return [pair.instrument() for pair in pairs if pair.is_trading]

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        """Closed candles with start <= open time < end, oldest first; the forming one is left out.

        One call: at most the newest 719, so that a start too far back is answered from where the venue's memory begins.
        """
        interval = _INTERVALS.get(timeframe)
        if interval is None:
            raise PermanentError(f"timeframe must be one of {', '.join(_INTERVALS)}, was {timeframe} (OHLC {symbol})")
        parameters = {"pair": symbol, "interval": interval}
        if start_ms > timeframe.duration_ms:
            # "since" leaves out the row at its own time: ask from one row before.
            parameters["since"] = str((start_ms - timeframe.duration_ms) // 1000)
        found = await self._http.get("/0/public/OHLC", parameters, lambda body: parse_ohlc(body, symbol))
        return [kline for kline in found if start_ms <= kline.open_time_ms < end_ms]

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        return await self._http.get("/0/public/Time", {}, parse_server_time_ms)

    async def close(self) -> None:
        """Release connections."""
        await self._http.close()
