"""The tape kept within its limits: sizes noted as rows are written, whole hours dropped, the oldest first."""

from collections.abc import Sequence

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.tape_budget import HOUR_MS, TapeBudget, TapeHour, TapeLimits
from services.aggregator.state import State
from shared.domain.minute_trades import MinuteTrades
from shared.domain.timeframe import minute_ms
from shared.domain.trades import TradeBatch
from shared.store.port import Write
from shared.store.tape_sizes import TapeSizeStore


class TapeKeeper:
    """Counts what is appended. What a kill keeps from being noted, at most one round's, is missing in the count."""

    def __init__(self, state: State, limits: TapeLimits) -> None:
        self._state = state
        self._budget = TapeBudget(limits)
        self._store = TapeSizeStore(state.store)
        self._loaded = False
        self.dropped_hours = 0

    @property
    def total_bytes(self) -> int:
        """Keys and values of all rows, as far as noted."""
        return self._budget.total_bytes

    def appended(self, pieces: Sequence[MinuteTrades], writes: Sequence[Write]) -> None:
        """These pieces were written by these writes."""
        for piece, write in zip(pieces, writes, strict=True):
            self._budget.add(SeriesKey(piece.exchange, piece.symbol), piece.minute_ms, _bytes_of(write))

    def noted(self, batches: Sequence[TradeBatch], writes: Sequence[Write]) -> None:
        """What these batches said of themselves was written by these writes."""
        for batch, write in zip(batches, writes, strict=True):
            self._budget.add(SeriesKey(batch.exchange, ""), minute_ms(batch.watermark_ms), _bytes_of(write))

    async def load(self) -> None:
        """Where the tape begins; once also its sizes. Read before any minute is folded."""
        self._state.tape_begins_ms = await self._store.beginnings()
        if not self._loaded:
            for exchange, symbol, hour_ms, count in await self._store.sizes():
                self._budget.restore(TapeHour(exchange, hour_ms), symbol, count)
            self._loaded = True

    async def keep(self) -> int:
        """Note the sizes, drop what is too old or too much; returns how many rows went. May be cut short anywhere."""
        state = self._state
        changed = self._budget.take_changed()
        try:
            await self._store.note(
                [(hour.exchange, symbol, hour.hour_ms, count) for hour, symbol, count in changed], fence=state.fence
            )
        except BaseException:
            self._budget.give_back(changed)
            raise
        removed = 0
        for hour in self._budget.due():
            end_ms = hour.hour_ms + HOUR_MS
            if self._is_needed(hour.exchange, end_ms):
                continue
            if state.tape_begins_ms.get(hour.exchange, 0) < end_ms:
                async with state.close_lock:  # what is being folded now is folded whole
                    await self._store.begin_at(hour.exchange, end_ms, fence=state.fence)
                    state.tape_begins_ms[hour.exchange] = end_ms
            symbols = self._budget.symbols_of(hour)
            removed += await self._store.drop_hour(hour.exchange, symbols, hour.hour_ms, end_ms)
            self._budget.dropped(hour)
            self.dropped_hours += 1
            state.log.info("tape_hour_dropped", exchange=hour.exchange, hour_ms=hour.hour_ms, symbols=len(symbols))
        return removed

    def _is_needed(self, exchange: str, end_ms: int) -> bool:
        """Whether a minute before the time is still to be folded: a restart would read its trades again."""
        oldest = [one.oldest_open_ms() for key, one in self._state.builder.series.items() if key.exchange == exchange]
        return any(minute is not None and minute < end_ms for minute in oldest)


def _bytes_of(write: Write) -> int:
    return len(write.key) + len(write.value)
