"""Trade batches in, candles out: the aggregator as live, replay and tests run it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from services.aggregator.appending import Appender
from services.aggregator.auditing import Auditor
from services.aggregator.closing import Closer
from services.aggregator.core.audit_plan import AuditLimits
from services.aggregator.core.limits import Limits
from services.aggregator.core.sequence_gaps import SequenceGaps
from services.aggregator.core.tape_budget import TapeLimits
from services.aggregator.correcting import Corrector
from services.aggregator.recovery import Recovery
from services.aggregator.repair import Repairer
from services.aggregator.state import State
from services.aggregator.symbol_watch import SymbolWatch
from services.aggregator.tape_keeping import TapeKeeper
from shared.bus.port import Bus, Delivery
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.domain.trades import TradeBatch
from shared.exchanges.venue import VenueRest
from shared.runtime.crash import crash_point
from shared.store.port import Store
from shared.store.refill_requests import RefillRequest, RefillRequestStore

SYMBOL_BUDGET_MS: Final = 60_000
SEQUENCE_PATIENCE_MS: Final = 30_000  # longer than the lease after which a batch comes again
SUBSCRIPTION: Final = "aggregator--raw-tick-data-bybit"


class Aggregator:
    """Everything between a batch and its candles. `append` makes durable, `close_minutes` folds and announces.

    The two may run at the same time: appending never waits for folding. Memory is a cache of the store: it is read on
    first use and again after an error.
    """

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        limits: Limits,
        rest: Mapping[str, VenueRest] | None = None,
        fence: int | None = None,
        subscription: str = SUBSCRIPTION,
        subscriptions: Mapping[str, str] | None = None,
        audit_limits: AuditLimits | None = None,
        tape_limits: TapeLimits | None = None,
        symbol_budget_ms: int = SYMBOL_BUDGET_MS,
        sequence_patience_ms: int = SEQUENCE_PATIENCE_MS,
    ) -> None:
        self._state = State(
            store=store,
            bus=bus,
            limits=limits,
            rest=rest or {},
            fence=fence,
            subscription=subscription,
            subscriptions=subscriptions or {},
        )
        self._keeper = TapeKeeper(self._state, tape_limits or TapeLimits())
        self._appender = Appender(self._state, self._keeper)
        self._closer = Closer(self._state)
        self._corrector = Corrector(self._state)
        self._recovery = Recovery(self._state)
        self._repairer = Repairer(self._state)
        self._symbols = SymbolWatch(self._state, budget_ms=symbol_budget_ms)
        self._auditor = Auditor(self._state, audit_limits or AuditLimits())
        self._gaps = SequenceGaps(patience_ms=sequence_patience_ms)
        self._requests = RefillRequestStore(store)
        self._append_lock = asyncio.Lock()
        self._recovered = False

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Append the deliveries' batches; afterwards they may be acknowledged."""
        batches = []
        for delivery in deliveries:
            if not isinstance(delivery.event, TradeBatch):
                kind = type(delivery.event).__name__
                raise InvalidValueError(f"only TradeBatch is expected, was {kind} ({delivery.message_id})")
            batches.append(delivery.event)
        await self.append(batches)

    async def append(self, batches: Sequence[TradeBatch]) -> None:
        """Make the batches durable, in any order and repetition. Raises FencedError where a newer owner is active."""
        while not await self._appended(batches):
            await self._read_memory()  # not under the lock of appending alone: a close may be under way
        crash_point("aggregator.appended")

    async def _appended(self, batches: Sequence[TradeBatch]) -> bool:
        async with self._append_lock:
            if not self._recovered:
                return False
            if not await self._appender.append(batches):
                self._recovered = False
            return True

    async def close_minutes(self, *, before_ms: int | None = None) -> None:
        """Correct what is late, close what the watermark allows, announce both. before_ms: as if no watermark had passed
        this time yet; a replay appends many minutes at once and closes them one by one, each at its own time.
        """
        await self._close(None, before_ms)

    async def finish(self, through_ms: int) -> None:
        """The end of a replay: close every open minute up to the one that contains the time, uncovered ones as partial."""
        await self._close(None)
        await self._close(minute_ms(through_ms))

    async def _close(self, through_ms: int | None, before_ms: int | None = None) -> None:
        async with self._state.close_lock:
            async with self._append_lock:
                await self._ensure_recovered()
            try:
                await self._hydrate_new()
                more = True
                while more:
                    corrected = await self._corrector.correct_some()
                    more = await self._closer.close_some(through_ms=through_ms, before_ms=before_ms) or corrected
            except BaseException:
                self._recovered = False  # memory may be ahead of the store
                raise

    async def recover(self) -> None:
        """Read memory from the store again, as a take-over does once the former owner cannot write any more."""
        self._recovered = False
        await self._read_memory()

    async def _read_memory(self) -> None:
        async with self._state.close_lock, self._append_lock:
            await self._ensure_recovered()

    async def look_for_strangers(self) -> bool:
        """Whether coverage is stored that memory does not know: what a former owner still appended, behind a broker that stood
        still. Then memory is read again, and the minutes that its sessions reach are folded again.
        """
        async with self._append_lock:  # ours is in memory when it is written
            strange = self._recovered and await self._recovery.has_strangers()
        if strange:
            self._state.log.warning("a_former_owner_appended")
            await self.recover()
        return strange

    async def repair(self, *, deadline_seconds: float, again: bool = False) -> None:
        """Ask the venues for klines: what blocks a symbol, with `again` also holes and failed backfills."""
        await self._repairer.repair(deadline_seconds=deadline_seconds, again=again)

    async def audit(self) -> None:
        """One round of comparing closed candles with the venues' klines; what differs is late until `close_minutes`."""
        await self._auditor.audit()

    async def keep_tape(self) -> int:
        """Note how large the tape is and drop its oldest hours beyond the limits; returns how many rows went."""
        return await self._keeper.keep()

    async def look_at_symbols(self) -> None:
        """Tell which symbols stopped being seen, and which are seen again."""
        await self._symbols.look()

    async def ask_for_lost_batches(self, now_wall_ms: int) -> None:
        """Ask ingestion to fetch again what batches that never came must have held."""
        state = self._state
        for gap in self._gaps.due(state.coverage.sessions(), state.coverage, now_wall_ms):
            await self._requests.ask(RefillRequest(*gap, asked_at_ms=now_wall_ms), fence=state.fence)
            state.counters["sequence_gaps"] += 1
            state.log.warning("batches_missing", session=gap.session, from_ms=gap.from_ms, to_ms=gap.to_ms)

    @property
    def repair_is_wanted(self) -> bool:
        """Whether a symbol waits for klines before it goes on."""
        return self._repairer.is_wanted()

    @property
    def history_is_wanted(self) -> bool:
        """Whether higher timeframes are still to be loaded; nothing waits for them."""
        return bool(self._state.histories)

    def forget_old(self) -> None:
        """Drop coverage and holes older than the horizon, so that memory stays bounded."""
        state = self._state
        for key, series in state.builder.series.items():
            horizon_ms = state.first_foldable_ms(key, state.coverage.watermark_ms(key))
            series.holes = {minute for minute in series.holes if minute >= horizon_ms}
        watermarks = [state.coverage.watermark_ms(key) for key in state.coverage.symbols()]
        if watermarks:
            state.coverage.forget_before(max(watermarks) - state.limits.correction_horizon_ms - MINUTE_MS)

    def status(
        self, *, now_market_ms: int, wall_seconds: Callable[[float], float] = lambda market_ms: market_ms / 1000
    ) -> dict[str, object]:
        """How it is: watermark ages as a person waits them, open minutes, last close, counters.

        wall_seconds: how long a span of market milliseconds lasts in wall time.
        """
        state = self._state
        ages = {
            f"{key.exchange} {key.symbol}": round(wall_seconds(now_market_ms - state.coverage.watermark_ms(key)) * 1000)
            for key in state.coverage.symbols()
        }
        return {
            "watermark_age_ms": max(ages.values(), default=None),
            "watermark_ages_ms": ages,
            "open_minutes": sum(series.open_minutes() for series in state.builder.series.values()),
            "holes": sum(len(series.holes) for series in state.builder.series.values()),
            "last_close_ms": state.last_close_ms,
            "tape_bytes": self._keeper.total_bytes,
            "blind_symbols": [key.symbol for key in self._symbols.blind] or None,
            "verified": self._auditor.verified,
            "differing": self._auditor.differing,
            "unconfirmed": self._auditor.unconfirmed,
            **state.counters,
        }

    async def _hydrate_new(self) -> None:
        """Symbols named for the first time: look for their history."""
        state = self._state
        for key in state.coverage.symbols():
            series = state.builder.of(key)
            if not series.ready and key not in state.backfills:
                await self._recovery.hydrate(series)

    async def _ensure_recovered(self) -> None:
        if not self._recovered:
            if self._state.limits.count_tape:
                await self._keeper.load()
            await self._recovery.recover()
            self._recovered = True
