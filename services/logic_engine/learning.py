"""The adaptive memory of the strategies that have one: folded from the closed signals in the store, asked before entries."""

from collections.abc import Sequence

from services.logic_engine.ports import Ports
from services.logic_engine.state import State
from shared.deciding.opening import opened_signal_id
from shared.deciding.remembering import judged_entries
from shared.domain.decisions import Decision
from shared.domain.signals import Signal
from shared.domain.timeframe import DAY_MS
from shared.portfolio.memory import ClosedTrade, Memory, MemoryRules, remembered, trade_of


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
        self._trades: dict[str, ClosedTrade] = {}
        self._opened: dict[str, int] = {}  # by signal id: when it opened
        self._memory: Memory | None = None  # folded from the trades; None: to be folded again
        self._loaded = False
        state.on_saved.append(self.take)
        state.on_forgotten.append(self.forget)

    async def judged(self, decisions: Sequence[Decision]) -> list[Decision]:
        """The Decisions with the memory's gates."""
        if not any(d.strategy in self.models and d.action.side is not None for d in decisions):
            return list(decisions)
        await self._load()
        close_ms = decisions[0].close_time_ms
        if self._memory is None:
            self._memory = remembered(self._trades.values(), self._rules)
        own = {opened_signal_id(decision) for decision in decisions}
        day_ms = (close_ms - 1) // DAY_MS * DAY_MS
        slots = self._state.slots
        free = {(key.strategy, key.exchange, key.symbol): slot.signal_id is None for key, slot in slots.items()}
        return judged_entries(
            decisions,
            self.models,
            self._memory,
            self._rules,
            opened_today=sum(
                day_ms < opened_ms <= close_ms for name, opened_ms in self._opened.items() if name not in own
            ),
            free=free,
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
                self._trades[signal.signal_id] = trade
                self._memory = None

    async def _load(self) -> None:
        if self._loaded:
            return
        self._trades.clear()
        self._opened.clear()
        self._memory = None
        self.take([record.signal for record in await self._ports.signals.all()])
        self._loaded = True
