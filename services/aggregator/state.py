"""What the aggregator's parts share: repositories, the pure cores, the marks known to be durable."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from services.aggregator.core.candle_builder import CandleBuilder
from services.aggregator.core.coverage import Coverage, SeriesKey
from services.aggregator.core.identities import Identities
from services.aggregator.core.limits import Limits
from services.aggregator.core.recent_candles import RecentCandles
from services.aggregator.core.series import Series
from shared.bus.port import Bus
from shared.domain.candles import Candle
from shared.domain.events import Severity, SystemEvent
from shared.domain.rollup import roll_up
from shared.domain.timeframe import Timeframe
from shared.exchanges.venue import NUMBERED_EXCHANGES, VenueRest
from shared.store.batches import BatchStore
from shared.store.candles import CandleStore
from shared.store.coverage import CoverageStore
from shared.store.pending import MarkKind, MinuteKey, PendingStore
from shared.store.port import Store
from shared.store.tape import TapeStore

CANDLES_TOPIC: Final = "candles-closed"
SYSTEM_TOPIC: Final = "system-events"
_CORRECTED_KEPT: Final = 10_000


class State:
    """One aggregator's adapters and memory; `reset` forgets the memory, recovery reads it again from the store."""

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        limits: Limits,
        rest: Mapping[str, VenueRest],
        fence: int | None,
        subscription: str,
        subscriptions: Mapping[str, str],
    ) -> None:
        self.store = store
        self.bus = bus
        self.limits = limits
        self.rest = rest
        self.fence = fence
        self._subscription, self._subscriptions = subscription, subscriptions
        self.tape = TapeStore(store)
        self.batches = BatchStore(store)
        self.pending = PendingStore(store)
        self.candles = CandleStore(store)
        self.log: Any = structlog.get_logger("aggregator")
        # Held while candles are decided and stored, whether from trades or from a venue's history.
        self.close_lock = asyncio.Lock()
        # A mark written and one cleared must not overtake each other.
        self.marks_lock = asyncio.Lock()
        self.counters = {
            "batches": 0,
            "closed": 0,
            "corrected": 0,
            "partial": 0,
            "conflicts": 0,
            "refused": 0,
            "sequence_gaps": 0,
        }
        self.tape_begins_ms: dict[str, int] = {}  # earlier minutes of the exchange are not whole on the tape any more
        self.reset()

    def first_foldable_ms(self, key: SeriesKey, now_ms: int) -> int:
        """Earlier minutes are left as they are: beyond the correction horizon, or no longer whole on the tape."""
        return max(0, now_ms - self.limits.correction_horizon_ms, self.tape_begins_ms.get(key.exchange, 0))

    def subscription_of(self, exchange: str) -> str:
        """Whose dead letters the exchange's refused trades become."""
        return self._subscriptions.get(exchange, self._subscription)

    def reset(self) -> None:
        """Forget everything that can be read again."""
        self.coverage_store = CoverageStore(self.store)
        self.coverage = Coverage()
        self.builder = CandleBuilder(
            self.coverage, self.limits, rest_exchanges=frozenset(self.rest), numbered=NUMBERED_EXCHANGES
        )
        self.identities = Identities(self.limits.identity_minutes)
        self.recent = RecentCandles()
        self.marked: dict[MinuteKey, MarkKind] = {}
        self.backfills: set[SeriesKey] = set()  # symbols without minutes whose backfill has not succeeded
        self.histories: set[SeriesKey] = set()  # symbols whose higher timeframes are still to be loaded
        self.histories_loaded: set[tuple[SeriesKey, Timeframe]] = set()
        self.last_close_ms = 0
        self._corrected: list[tuple[SeriesKey, int]] = []

    def note_corrected(self, key: SeriesKey, minutes: Iterable[int]) -> None:
        """These minutes have a new revision, which nobody has compared with the venue's yet."""
        self._corrected.extend((key, minute) for minute in minutes)
        del self._corrected[:-_CORRECTED_KEPT]

    def take_corrected(self) -> list[tuple[SeriesKey, int]]:
        """What was noted since the last call."""
        corrected, self._corrected = self._corrected, []
        return corrected

    async def ensure_marks(self, minutes: Iterable[MinuteKey]) -> None:
        """Durable TOUCHED marks on the minutes, whatever is marked already."""
        async with self.marks_lock:
            missing = [minute for minute in minutes if self.marked.get(minute) is not MarkKind.TOUCHED]
            await self.pending.mark(missing)
            self.marked.update(dict.fromkeys(missing, MarkKind.TOUCHED))

    async def finish_marks(self, series_minutes: Iterable[tuple[Series, MinuteKey]]) -> None:
        """The minutes are announced: clear their marks, keep holes as work items, leave those touched again."""
        async with self.marks_lock:
            done, holes = [], []
            for series, minute in series_minutes:
                if minute.minute_ms in series.late:
                    continue
                if minute.minute_ms in series.holes:
                    holes.append(minute)
                elif self.marked.pop(minute, None) is not None:
                    done.append(minute)
            await self.pending.mark(holes, MarkKind.HOLE)
            self.marked.update(dict.fromkeys(holes, MarkKind.HOLE))
            await self.pending.clear(done)

    async def rolled_up(
        self, key: SeriesKey, timeframe: Timeframe, open_time_ms: int, *, revision: int = 0
    ) -> Candle | None:
        """The higher candle from its children; None where one does not exist. revision: as it will most likely be stored."""
        children = self.recent.children(key, timeframe, open_time_ms)
        source = timeframe.source
        if children is None and source is not None:
            end_ms = open_time_ms + timeframe.duration_ms
            stored = {
                candle.open_time_ms: candle for candle in await self.candles.between(*key, source, open_time_ms, end_ms)
            }
            for time_ms in range(open_time_ms, end_ms, source.duration_ms):
                if (newer := self.recent.get(key, source, time_ms)) is not None:
                    stored[time_ms] = newer
            complete = len(stored) == timeframe.duration_ms // source.duration_ms
            children = [stored[time_ms] for time_ms in sorted(stored)] if complete else None
        return roll_up(children, timeframe, revision=revision) if children is not None else None

    async def announce_system(
        self, kind: str, key: SeriesKey, *, version: int, text: str, severity: Severity = Severity.WARNING
    ) -> None:
        """A system event about a symbol; `version` is a market time."""
        subject = f"aggregator#{key.exchange}#{key.symbol}"
        event = SystemEvent(kind=kind, subject=subject, version=version, severity=severity, text=text, at_ms=version)
        await self.bus.publish(SYSTEM_TOPIC, [event])
