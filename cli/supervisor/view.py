"""What the screen and `status` know, read from store and cache: candles, coverage ages, open signals, status reports."""

from typing import Any, Final

import msgspec

from shared.cache.port import Cache
from shared.domain.candles import Candle
from shared.domain.signals import Signal, SignalStatus
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import ScaledClock
from shared.runtime.config import TrackerConfig
from shared.store.candles import CandleStore
from shared.store.port import Store
from shared.store.signals import SignalStore, SlotStore

CANDLES_LOOKED_BACK: Final = 10


class SymbolView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. watermark_ms: how far trades are vouched for; None before the first."""

    exchange: str
    symbol: str
    candle: Candle | None
    watermark_ms: int | None
    open_signals: tuple[Signal, ...]


class TrackerView:
    """Reads the state of the services from their store and cache; writes nothing, closes nothing."""

    def __init__(self, store: Store, cache: Cache, config: TrackerConfig, clock: ScaledClock) -> None:
        self._candles = CandleStore(store)
        self._slots = SlotStore(store)
        self._signals = SignalStore(store)
        self._cache = cache
        self._config = config
        self.clock = clock

    async def statuses(self, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """The latest report of each service that reports."""
        found = {}
        for name in names:
            value = await self._cache.get(f"status:{name}")
            if value is not None:
                found[name] = msgspec.json.decode(value, type=dict[str, Any])
        return found

    async def symbols(self, watermarks_ms: dict[str, int]) -> list[SymbolView]:
        """One view per configured symbol, in the order of the configuration."""
        now_ms = self.clock.market_ms()
        signals = await self._open_signals()
        views = []
        for exchange, venue in self._config.venues.items():
            for symbol in venue.symbols:
                end_ms = now_ms + Timeframe.M1.duration_ms
                recent = await self._candles.last(
                    exchange, symbol, Timeframe.M1, count=CANDLES_LOOKED_BACK, before_ms=end_ms
                )
                view = SymbolView(
                    exchange=exchange,
                    symbol=symbol,
                    candle=recent[-1] if recent else None,
                    watermark_ms=watermarks_ms.get(exchange),
                    open_signals=tuple(s for s in signals if (s.exchange, s.symbol) == (exchange, symbol)),
                )
                views.append(view)
        return views

    async def _open_signals(self) -> list[Signal]:
        held = [slot.signal_id for slot in (await self._slots.all()).values() if slot.signal_id is not None]
        records = [await self._signals.get(signal_id) for signal_id in held]
        return [record.signal for record in records if record and record.signal.status is SignalStatus.OPEN]

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The configured venues."""
        return tuple(self._config.venues)
