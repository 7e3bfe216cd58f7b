"""Entries that share a memory and a daily cap are judged together, close by close, whatever order their symbols come in.

An entry waits until every symbol followed has handled that close, or has an entry of its own waiting on it: then all of a
close are ranked and judged in one go, knowing what had closed and opened before. Its slot stays at the candle before, so
that a kill brings it again; nothing else of its symbol waits, exits least of all. A symbol is waited for as long as an entry
may be late: what comes later is stale and opens nothing, so that it takes nobody's place.
"""

from services.logic_engine.learning import Learning
from services.logic_engine.lives import Lives
from services.logic_engine.ports import Ports
from services.logic_engine.state import Series, State
from shared.runtime.crash import crash_point


class Turns:
    """Whose turn it is. patience_ms: how long a symbol is waited for, market time."""

    def __init__(self, ports: Ports, state: State, learning: Learning, lives: Lives, *, patience_ms: int) -> None:
        self._ports = ports
        self._state = state
        self._learning = learning
        self._lives = lives
        self._patience_ms = patience_ms

    async def take(self, *, at_once: bool = False) -> list[Series]:
        """Judge, store and follow the entries of the oldest close that all have reached; whose they were, none for none.

        Their series go on behind that close: what came meanwhile is to be handled for their slots, too.
        """
        if not self._state.waiting:
            return []
        close_ms = min(waiting.decision.close_time_ms for waiting in self._state.waiting.values())
        if not at_once and self._others_will_come(close_ms):
            return []
        return await self._judge(close_ms)

    def _others_will_come(self, close_ms: int) -> bool:
        """Whether a slot with a memory has not reached the close, and is not further behind than is waited for."""
        state, step_ms = self._state, self._state.base.duration_ms
        patient_from_ms = self._ports.clock.market_ms() - self._patience_ms
        sharing = [active for active in state.strategies if active.name in self._learning.models]
        for series in state.known:
            for active in sharing:
                key = active.slot_key(*series)
                due_ms = state.slots[key].handled_through_ms + step_ms
                if key not in state.waiting and patient_from_ms <= due_ms <= close_ms:
                    return True
        return False

    async def _judge(self, close_ms: int) -> list[Series]:
        state = self._state
        entries = [waiting.decision for waiting in state.waiting.values() if waiting.decision.close_time_ms == close_ms]
        judged = await self._learning.judged(entries)
        stored = await self._ports.decisions.save_first(judged, fence=self._ports.fence)
        crash_point("logic_engine.decided")
        await self._lives.act(stored, ())
        keys = [key for key, waiting in state.waiting.items() if waiting.decision.close_time_ms == close_ms]
        await state.save_slots([(key, state.slots[key].handled(close_ms)) for key in keys])
        for key in keys:
            del state.waiting[key]
        return list(dict.fromkeys((key.exchange, key.symbol) for key in keys))
