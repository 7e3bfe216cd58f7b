"""The adaptive memory of the strategies that have one: folded from the closed signals in the store, asked before entries."""

from collections.abc import Sequence

from services.logic_engine.ports import Ports
from services.logic_engine.state import State, Waiting
from shared.deciding.opening import opened_signal_id
from shared.deciding.remembering import judged_entries, without_a_slot
from shared.domain.decisions import Decision
from shared.domain.signals import Signal
from shared.domain.slots import SlotKey
from shared.domain.timeframe import DAY_MS
from shared.portfolio.memory import MemoryRules, Past, trade_of


class Learning:
    """Trades of the strategies in `models` (model by strategy name), and how many signals each day opened."""

    def __init__(self, ports: Ports, state: State, rules: MemoryRules | None = None) -> None:
        self._ports = ports
        self._state = state
        self._rules = rules or MemoryRules()
        self.models = {
            active.name: active.strategy.memory_model
            for active in state.strategies
            if active.strategy.memory_model is not None
        }
        self._past = Past(self._rules)
        self._opened: dict[str, int] = {}  # by signal id: when it opened
        self._loaded = False
        state.on_saved.append(self.take)
        state.on_forgotten.append(self.forget)

    async def ready(self, made: Sequence[Decision]) -> list[Decision]:
        """Those that may be stored now. An entry that could take one of the day's places waits in the state for its turn.

        One whose slot is taken opens nothing and does not wait; by its own signal: it was judged, stored and followed before
        a kill, and so were all of its close.
        """
        asking = [d for d in made if d.strategy in self.models and d.action.side is not None]
        blocked = [d for d in asking if self._state.slots[_key(d)].signal_id is not None]
        before = await self._ports.decisions.stored(blocked)
        settled = {id(d): known or without_a_slot(d) for d, known in zip(blocked, before, strict=True)}
        for decision in asking:
            if id(decision) not in settled:
                decimals = self._state.price_decimals(decision)
                self._state.waiting[_key(decision)] = Waiting(decision=decision, price_decimals=decimals)
        waiting = {id(decision) for decision in asking} - set(settled)
        return [settled.get(id(decision), decision) for decision in made if id(decision) not in waiting]

    async def judged(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Entries on one close, all of them able to open, with the memory's gates."""
        await self._load()
        close_ms = decisions[0].close_time_ms
        own = {opened_signal_id(decision) for decision in decisions}
        day_ms = (close_ms - 1) // DAY_MS * DAY_MS
        return judged_entries(
            decisions,
            self.models,
            self._past.before(close_ms),
            self._rules,
            opened_today=sum(
                day_ms < opened_ms <= close_ms for name, opened_ms in self._opened.items() if name not in own
            ),
            free={},
        )

    def forget(self) -> None:
        """Something failed half-way: the store knows what was done."""
        self._loaded = False

    def take(self, signals: Sequence[Signal]) -> None:
        """Signals that were stored: opened or closed."""
        for signal in signals:
            model = self.models.get(signal.strategy)
            if model is None:
                continue
            self._opened[signal.signal_id] = signal.opened_at_ms
            trade = trade_of(signal, model, self._rules)
            if trade is not None:
                self._past.add(trade)

    async def _load(self) -> None:
        if self._loaded:
            return
        self._past = Past(self._rules)
        self._opened.clear()
        self.take([record.signal for record in await self._ports.signals.all()])
        self._loaded = True


def _key(decision: Decision) -> SlotKey:
    return SlotKey(decision.strategy, decision.exchange, decision.symbol)
