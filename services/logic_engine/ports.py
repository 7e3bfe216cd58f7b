"""What the engine reads and writes, as one value handed to its parts."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.bus.port import Bus
from shared.domain.events import Event
from shared.domain.fold import ordered_trades
from shared.domain.timeframe import MINUTE_MS
from shared.runtime.clock import Clock
from shared.store.bias import BiasStore
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.latches import LatchStore
from shared.store.port import Store
from shared.store.signals import SignalStore, SlotStore
from shared.store.tape import TapeStore

SIGNAL_TOPIC: Final = "trade-signals-micro"


class Ports:
    """Repositories on the one store, the bus, the clock, and the fence that every conditional write carries."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, fence: int | None) -> None:
        self.candles = CandleStore(store)
        self.decisions = DecisionStore(store)
        self.slots = SlotStore(store)
        self.signals = SignalStore(store)
        self.latches = LatchStore(store)
        self.biases = BiasStore(store)
        self.clock = clock
        self.fence = fence
        self._tape = TapeStore(store)
        self._bus = bus

    async def announce(self, events: Sequence[Event]) -> None:
        """Publish signal events; nothing to do for none."""
        if events:
            await self._bus.publish(SIGNAL_TOPIC, list(events))

    async def trade_prices(self, exchange: str, symbol: str, minute_ms: int) -> npt.NDArray[np.float64] | None:
        """Prices of the minute's trades in market order; None where the tape holds none (any more)."""
        found = await self._tape.load(exchange, symbol, minute_ms, minute_ms + MINUTE_MS)
        pieces = found[minute_ms].counted() if minute_ms in found else []
        return ordered_trades(pieces)["price"] if pieces else None
