"""Opens and ends signals. Every step is durable before the next, and each can be found half-done and completed.

Open:  claim the slot -> write the signal's row -> publish.    A slot whose signal has no row was claimed by us before a
       crash: the Decision that claimed it comes again (its candle is not handled yet) and finishes.
Close: write the closed row -> publish -> free the slot.       A slot whose signal is closed is published again and freed.
"""

from collections.abc import Sequence

import msgspec

from services.logic_engine.ports import Ports
from services.logic_engine.state import State
from shared.deciding.active import ActiveStrategy
from shared.deciding.opening import opened_signal, opened_signal_id
from shared.domain.candles import Candle
from shared.domain.decisions import Action, Decision
from shared.domain.events import CandlesClosed, SignalClosed, SignalOpened
from shared.domain.signals import ExitReason, Signal, SignalExit, SignalStatus
from shared.domain.slots import SignalRecord, Slot, SlotKey
from shared.portfolio.signal_life import best_of, chain_hash, closed, exit_on_candle, needs_tape, reversal_exit
from shared.runtime.crash import crash_point

Ending = tuple[SlotKey, SignalRecord, SignalExit | None]  # None: its row is closed already


class Lives:
    """The open signals of every slot."""

    def __init__(self, ports: Ports, state: State) -> None:
        self._ports = ports
        self._state = state

    async def exits(self, wave: Sequence[CandlesClosed]) -> None:
        """Judge every open signal on its 1m candle; no gate stands before an exit."""
        held = []
        for event in wave:
            for key in self._state.keys((event.exchange, event.symbol)):
                slot = self._state.slots[key]
                if slot.signal_id is not None and slot.handled_through_ms < event.close_time_ms:
                    held.append((key, slot.signal_id, event.candles[0]))
        if not held:
            return
        await self._state.load_records([signal_id for _, signal_id, _ in held])
        endings: list[Ending] = []
        for key, signal_id, candle in held:
            record = self._state.records.get(signal_id)
            if record is None:
                continue
            end = await self._end_on(record.signal, candle)
            if end is not None or record.signal.status is SignalStatus.CLOSED:
                endings.append((key, record, end))
        await self._close(endings)

    async def act(self, decisions: Sequence[Decision], wave: Sequence[CandlesClosed]) -> None:
        """Follow the Decisions on one close: open, complete an opening, or end what stands against them."""
        wanted = [decision for decision in decisions if decision.action is not Action.NONE]
        if not wanted:
            return
        active_by_name = {active.name: active for active in self._state.strategies}
        candles = {(event.exchange, event.symbol): event.candles[0] for event in wave}
        opening: list[tuple[SlotKey, ActiveStrategy, Decision]] = []
        reversals: list[Ending] = []
        for decision in wanted:
            active = active_by_name[decision.strategy]
            key = active.slot_key(decision.exchange, decision.symbol)
            slot = self._state.slots[key]
            if slot.signal_id is not None and slot.signal_id != opened_signal_id(decision):
                candle = candles[decision.exchange, decision.symbol]
                reversals += await self._reversal(active, key, slot.signal_id, decision, candle)
            elif slot.signal_id is not None or (decision.action.side is not None and decision.gates_passed):
                opening.append((key, active, decision))
        await self._close(reversals)
        await self._open(opening)

    async def _open(self, opening: Sequence[tuple[SlotKey, ActiveStrategy, Decision]]) -> None:
        if not opening:
            return
        signals = [self._signal(key, active, decision) for key, active, decision in opening]
        claims: list[tuple[SlotKey, Slot]] = []
        claimed_before: list[str] = []
        for (key, _, _), signal in zip(opening, signals, strict=True):
            slot = self._state.slots[key]
            if slot.signal_id == signal.signal_id:
                claimed_before.append(signal.signal_id)
            else:
                claims.append((key, msgspec.structs.replace(slot, signal_id=signal.signal_id)))
        await self._state.save_slots(claims)
        crash_point("logic_engine.claimed")
        await self._state.load_records(claimed_before)
        known = self._state.records
        await self._state.save_records([SignalRecord(signal=item) for item in signals if item.signal_id not in known])
        crash_point("logic_engine.stored")
        await self._ports.announce([SignalOpened(signal=known[item.signal_id].signal) for item in signals])
        crash_point("logic_engine.published")

    def _signal(self, key: SlotKey, active: ActiveStrategy, decision: Decision) -> Signal:
        waited = self._state.waiting.get(key)
        decimals = self._state.price_decimals(decision) if waited is None else waited.price_decimals
        prev_hash = self._state.slots[key].chain_hash
        return opened_signal(decision, active, prev_hash=prev_hash, price_decimals=decimals)

    async def _close(self, endings: Sequence[Ending]) -> None:
        if not endings:
            return
        changed = [
            msgspec.structs.replace(record, signal=closed(record.signal, end))
            for _, record, end in endings
            if end is not None
        ]
        await self._state.save_records(changed)
        finals = [self._state.records[record.signal.signal_id].signal for _, record, _ in endings]
        await self._ports.announce([SignalClosed(signal=signal) for signal in finals])
        keys = [key for key, _, _ in endings]
        await self._state.save_slots([(key, self._freed(key, final)) for key, final in zip(keys, finals, strict=True)])
        for final in finals:
            self._state.records.pop(final.signal_id, None)

    def _freed(self, key: SlotKey, final: Signal) -> Slot:
        slot = self._state.slots[key]
        handled_ms = slot.handled_through_ms
        if final.exit is not None and final.exit.reason is ExitReason.REVERSED:
            # A reversal opens nothing: were the candle not marked handled in the same write, a redelivery after a crash
            # would find the slot free and let the opposite entry in.
            handled_ms = max(handled_ms, final.exit.closed_at_ms)
        return msgspec.structs.replace(
            slot,
            signal_id=None,
            last_signal_id=final.signal_id,
            chain_hash=chain_hash(final),
            handled_through_ms=handled_ms,
        )

    async def _end_on(self, signal: Signal, candle: Candle) -> SignalExit | None:
        prices = None
        best = await self._best_before(signal, candle) if signal.trail_pct is not None else None
        if needs_tape(signal, candle, best):
            prices = await self._ports.trade_prices(candle.exchange, candle.symbol, candle.open_time_ms)
        return exit_on_candle(signal, candle, prices, best_price=best)

    async def _best_before(self, signal: Signal, candle: Candle) -> float | None:
        """The best price between the entry and this candle, from the stored candles: a restart knows what was known."""
        series = (signal.exchange, signal.symbol, self._state.base)
        candles = await self._ports.candles.between(*series, signal.opened_at_ms, candle.open_time_ms)
        return best_of(signal, candles)

    async def _reversal(
        self, active: ActiveStrategy, key: SlotKey, signal_id: str, decision: Decision, candle: Candle
    ) -> list[Ending]:
        if active.on_opposite == "ignore":
            return []
        await self._state.load_records([signal_id])
        record = self._state.records.get(signal_id)
        end = reversal_exit(record.signal, candle, decision.action) if record else None
        return [(key, record, end)] if record and end else []
