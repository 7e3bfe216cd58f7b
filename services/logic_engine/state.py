"""What the engine remembers between candles. All of it can be read again from the store, and is, after any failure."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import msgspec

from services.logic_engine.ports import Ports
from shared.deciding.active import ActiveStrategy
from shared.deciding.bias_versions import bias_at
from shared.deciding.opening import decimals_seen
from shared.domain.bias import BiasInForce, MacroBias
from shared.domain.decisions import Decision
from shared.domain.events import CandleCorrected, CandlesClosed
from shared.domain.pairs import base_and_quote
from shared.domain.signals import Signal
from shared.domain.slots import SignalRecord, Slot, SlotKey
from shared.domain.timeframe import Timeframe
from shared.store.latches import LatchRow
from shared.strategies.windows import WindowTable

Series = tuple[str, str]  # exchange, symbol


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is judged together with others; price_decimals: as its window shows them, which may move on meanwhile."""

    decision: Decision
    price_decimals: int


class State:
    """Windows, slots, open signals and bias versions of every series seen."""

    def __init__(self, ports: Ports, strategies: Sequence[ActiveStrategy], base: Timeframe = Timeframe.M1) -> None:
        self._ports = ports
        self.base = base  # the finest timeframe there is: exits and progress go by it
        self.strategies = tuple(strategies)
        lengths: dict[Timeframe, int] = {}
        for active in strategies:
            for need in active.strategy.needs:
                lengths[need.timeframe] = max(need.length, lengths.get(need.timeframe, 0))
        self.tables = {timeframe: WindowTable(timeframe, length) for timeframe, length in lengths.items()}
        self.latches: dict[SlotKey, LatchRow] = {}
        self.on_saved: list[Callable[[Sequence[Signal]], None]] = []  # told of every signal that was opened or closed
        self.on_forgotten: list[Callable[[], None]] = []
        self.known: dict[Series, None] = {}  # every series whose slots exist, in the order they were met
        self.slots: dict[SlotKey, Slot] = {}
        self.records: dict[str, SignalRecord] = {}
        self.waiting: dict[SlotKey, Waiting] = {}  # their slots stay where they are until they are judged
        self.early_corrections: dict[tuple[Series, int], CandleCorrected] = {}
        self.term_begins_ms = 0  # market time; a predecessor may have seen corrections of candles that closed before it
        self._biases: dict[tuple[str, str], list[MacroBias]] = {}
        self._keys: dict[Series, tuple[SlotKey, ...]] = {}

    @property
    def roll_ups(self) -> tuple[Timeframe, ...]:
        """The timeframes above 1m that some strategy reads."""
        return tuple(timeframe for timeframe in self.tables if timeframe is not Timeframe.M1)

    def forget(self) -> None:
        """Something failed half-way: what is remembered may differ from what is stored."""
        for table in self.tables.values():
            table.forget()
        self.slots.clear()
        self.waiting.clear()
        self.records.clear()
        self._biases.clear()
        self.latches.clear()
        for forgotten in self.on_forgotten:
            forgotten()

    def handled_through_ms(self, series: Series) -> int:
        """Close of the last candle that every strategy has handled, or has an entry waiting on."""
        if not self.waiting:
            return min([self.slots[key].handled_through_ms for key in self.keys(series)])
        keys = self.keys(series)
        others = [self.slots[key].handled_through_ms for key in keys if key not in self.waiting]
        return min(others or [self.waiting[key].decision.close_time_ms for key in keys])

    def waits(self, series: Series) -> bool:
        """Whether an entry of the series waits."""
        return bool(self.waiting) and any(key in self.waiting for key in self.keys(series))

    def follows(self, series: Series, close_ms: int) -> bool:
        """Whether the close is the next one for every strategy."""
        handled_ms = close_ms - self.base.duration_ms
        for key in self.keys(series):
            slot = self.slots.get(key)
            if slot is None or (slot.handled_through_ms != handled_ms and key not in self.waiting):
                return False
        return True

    def keys(self, series: Series) -> tuple[SlotKey, ...]:
        """The slots of a series, one per strategy in their order."""
        keys = self._keys.get(series)
        if keys is None:
            keys = self._keys[series] = tuple(active.slot_key(*series) for active in self.strategies)
        return keys

    def price_decimals(self, decision: Decision) -> int:
        """The most decimals of the closes in the window it read: of its signal's prices and its alerts'."""
        closes = self.tables[decision.timeframe].closes((decision.exchange, decision.symbol))
        return decimals_seen([*closes, decision.reference_price])

    async def open_slots(self, first_close_ms: dict[Series, int]) -> None:
        """Load the slots of these series; where there is none yet, it begins just before the close given."""
        missing = [key for series in first_close_ms for key in self.keys(series) if key not in self.slots]
        if not missing:
            return
        self.slots.update(await self._ports.slots.get_many(missing))
        new = []
        for key in missing:
            if key not in self.slots:
                begin_ms = first_close_ms[key.exchange, key.symbol] - self.base.duration_ms
                new.append((key, Slot(handled_through_ms=begin_ms)))
        await self.save_slots(new)
        self.known.update(dict.fromkeys(first_close_ms))

    async def adopt(self, series: Sequence[Series]) -> list[Series]:
        """Load the slots of series that were followed before; returns the others."""
        keys = [active.slot_key(*item) for item in series for active in self.strategies]
        self.slots.update(await self._ports.slots.get_many(keys))
        unknown = [
            item for item in series if any(active.slot_key(*item) not in self.slots for active in self.strategies)
        ]
        self.known.update(dict.fromkeys(item for item in series if item not in unknown))
        return unknown

    async def save_slots(self, slots: list[tuple[SlotKey, Slot]]) -> None:
        """Write slots by compare-and-set and remember them."""
        if slots:
            saved = await self._ports.slots.save(slots, fence=self._ports.fence)
            self.slots.update(zip([key for key, _ in slots], saved, strict=True))

    async def mark_handled(self, wave: Sequence[CandlesClosed]) -> None:
        """All effects of these candles are durable."""
        done = []
        for event in wave:
            close_ms = event.close_time_ms
            for key in self.keys((event.exchange, event.symbol)):
                slot = self.slots[key]
                if slot.handled_through_ms < close_ms and key not in self.waiting:
                    done.append((key, slot.handled(close_ms)))
        await self.save_slots(done)

    async def load_records(self, signal_ids: Sequence[str]) -> None:
        """Make these signals' rows, as far as they exist, available in `records`."""
        unknown = [signal_id for signal_id in signal_ids if signal_id not in self.records]
        if unknown:
            self.records.update(await self._ports.signals.get_many(unknown))

    async def save_records(self, records: list[SignalRecord]) -> None:
        """Write signal rows by compare-and-set and remember them."""
        if records:
            saved = await self._ports.signals.save(records, fence=self._ports.fence)
            self.records.update((record.signal.signal_id, record) for record in saved)
            for tell in self.on_saved:
                tell([record.signal for record in saved])

    async def load_latches(self, keys: Sequence[SlotKey]) -> None:
        """Make the latches of these series available; where there is no row yet, none is set."""
        unknown = [key for key in keys if key not in self.latches]
        if unknown:
            found = await self._ports.latches.get_many(unknown)
            self.latches.update((key, found.get(key, LatchRow())) for key in unknown)

    async def save_latches(self, rows: list[tuple[SlotKey, LatchRow]]) -> None:
        """Write latches by compare-and-set and remember them."""
        if rows:
            saved = await self._ports.latches.save(rows, fence=self._ports.fence)
            self.latches.update(zip((key for key, _ in rows), saved, strict=True))

    async def biases(self, series: Sequence[Series], close_time_ms: int) -> list[BiasInForce]:
        """The bias in force for each series at the close."""
        found = []
        for _, symbol in series:
            pair = base_and_quote(symbol)
            if pair not in self._biases:
                self._biases[pair] = await self._ports.biases.versions(*pair)
            found.append(bias_at(self._biases[pair], close_time_ms))
        return found

    def remember_bias(self, bias: MacroBias) -> None:
        """A new version is stored: add it to what was read, in its place; what was there first stays."""
        known = self._biases.get((bias.base, bias.quote))
        if known is None:
            return
        place = bisect_left(known, bias.version, key=lambda item: item.version)
        if place == len(known) or known[place].version != bias.version:
            known.insert(place, bias)
