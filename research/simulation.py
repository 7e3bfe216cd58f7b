"""What becomes of Decisions over a history: slots, signals, exits, memory and alerts, as the logic engine does it.

Per close, in this order: exits on the finest candles up to it, then the Decisions, judged by memory and latches, then what
they open or reverse. Pure functions of shared/deciding and shared/portfolio decide; here is only the order of things.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from research.evaluation import Evaluation
from research.exits import exit_after
from research.history import History, IntArray
from shared.deciding.active import ActiveStrategy
from shared.deciding.alerting import alerts_of, raising, with_alerts
from shared.deciding.opening import decimals_seen, opened_signal, opened_signal_id
from shared.deciding.remembering import judged_entries
from shared.domain.decisions import Action, Decision
from shared.domain.events import AlertRaised
from shared.domain.signals import Signal, SignalExit
from shared.domain.timeframe import DAY_MS, Timeframe
from shared.portfolio.memory import MemoryRules, Past, trade_of
from shared.portfolio.signal_life import chain_hash, closed, reversal_exit
from shared.strategies.latches import Latches


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """signals: in the order they opened, the last ones perhaps still open. decisions: as judged, by close and strategy."""

    signals: list[Signal]
    decisions: list[Decision]
    alerts: list[AlertRaised]


class _Slot:
    """One strategy's place for a signal; `end` is where it will end on candles alone, None for nowhere in the history."""

    def __init__(self) -> None:
        self.signal: Signal | None = None
        self.end: SignalExit | None = None
        self.chain_hash = ""


class Simulation:
    """Strategies over one history. rules: of the adaptive memory, for strategies that have one."""

    def __init__(
        self, strategies: Sequence[ActiveStrategy], history: History, *, rules: MemoryRules | None = None
    ) -> None:
        self._strategies = {active.name: active for active in strategies}
        self._history = history
        self._rules = rules or MemoryRules()
        self._models = {
            active.name: active.strategy.memory_model
            for active in strategies
            if active.strategy.memory_model is not None
        }
        self._raising = raising(strategies)
        self._latches = {name: Latches() for name in self._raising}
        self._slots = {active.name: _Slot() for active in strategies}
        self._lengths: dict[Timeframe, int] = {}
        for active in strategies:
            for need in active.strategy.needs:
                self._lengths[need.timeframe] = max(need.length, self._lengths.get(need.timeframe, 0))
        self._decimals: dict[Timeframe, IntArray] = {}
        self._signals: dict[str, Signal] = {}
        self._past = Past(self._rules)
        self._opened: dict[str, int] = {}
        self._alerts: list[AlertRaised] = []

    def run(self, evaluations: Mapping[str, Evaluation]) -> Simulated:
        """All of it, from the evaluation of each strategy by its name."""
        judged = []
        for wave in self._waves({name: found.decisions for name, found in evaluations.items()}):
            judged += self.step(wave)
        self.finish()
        return Simulated(signals=self.signals, decisions=judged, alerts=self._alerts)

    @property
    def signals(self) -> list[Signal]:
        """So far, in the order they opened."""
        return list(self._signals.values())

    def step(self, decisions: Sequence[Decision]) -> list[Decision]:
        """The Decisions on one close, as memory and latches judge them, with all they do."""
        close_ms = decisions[0].close_time_ms
        self._end_through(close_ms)
        made = self._judged(decisions, close_ms)
        made = [self._with_alerts(decision) for decision in made]
        for decision in made:
            if decision.action is not Action.NONE:
                self._act(decision)
        return made

    def finish(self) -> None:
        """The history is over: what ends in it, has ended."""
        self._end_through(self._history.candles[-1].close_time_ms)

    def _waves(self, by_strategy: Mapping[str, Mapping[int, Decision]]) -> Iterator[list[Decision]]:
        for close_ms in sorted({close_ms for found in by_strategy.values() for close_ms in found}):
            yield [by_strategy[name][close_ms] for name in self._strategies if close_ms in by_strategy[name]]

    def _end_through(self, close_ms: int) -> None:
        for slot in self._slots.values():
            if slot.end is not None and slot.end.closed_at_ms <= close_ms:
                self._close(slot, slot.end)

    def _judged(self, decisions: Sequence[Decision], close_ms: int) -> list[Decision]:
        if not any(d.strategy in self._models and d.action.side is not None for d in decisions):
            return list(decisions)
        day_ms = (close_ms - 1) // DAY_MS * DAY_MS
        place = (self._history.exchange, self._history.symbol)
        own = {opened_signal_id(decision) for decision in decisions}
        return judged_entries(
            decisions,
            self._models,
            self._past.before(close_ms),
            self._rules,
            opened_today=sum(
                day_ms < opened_ms <= close_ms for name, opened_ms in self._opened.items() if name not in own
            ),
            free={(name, *place): slot.signal is None for name, slot in self._slots.items()},
        )

    def _with_alerts(self, decision: Decision) -> Decision:
        active = self._raising.get(decision.strategy)
        if active is None:
            return decision
        decision = with_alerts(decision, active, self._latches[decision.strategy])
        self._latches[decision.strategy] = Latches(
            active=tuple(str(decision.inputs["latches_after"]).split()), close_time_ms=decision.close_time_ms
        )
        self._alerts += alerts_of(decision, active, self._price_decimals(decision) if decision.alerts else 0)
        return decision

    def _act(self, decision: Decision) -> None:
        active, slot = self._strategies[decision.strategy], self._slots[decision.strategy]
        if slot.signal is not None:
            candle = self._history.candles[self._history.base_index_at(decision.close_time_ms) - 1]
            end = reversal_exit(slot.signal, candle, decision.action) if active.on_opposite == "close" else None
            if end is not None:
                self._close(slot, end)
        elif decision.action.side is not None and decision.gates_passed:
            decimals = self._price_decimals(decision)
            self._open(slot, opened_signal(decision, active, prev_hash=slot.chain_hash, price_decimals=decimals))

    def _open(self, slot: _Slot, signal: Signal) -> None:
        slot.signal, slot.end = signal, exit_after(signal, self._history)
        self._keep(signal)

    def _close(self, slot: _Slot, end: SignalExit) -> None:
        if slot.signal is None:
            return
        final = closed(slot.signal, end)
        slot.signal, slot.end, slot.chain_hash = None, None, chain_hash(final)
        self._keep(final)

    def _keep(self, signal: Signal) -> None:
        self._signals[signal.signal_id] = signal
        model = self._models.get(signal.strategy)
        if model is None:
            return
        self._opened[signal.signal_id] = signal.opened_at_ms
        trade = trade_of(signal, model, self._rules)
        if trade is not None:
            self._past.add(trade)

    def _price_decimals(self, decision: Decision) -> int:
        """As the engine sees them: over the closes of the window table of the strategy's timeframe."""
        timeframe = decision.timeframe
        series = self._history.series[timeframe]
        if timeframe not in self._decimals:
            prices, places = np.unique(series.values[3], return_inverse=True)  # a price comes again and again
            self._decimals[timeframe] = np.array([decimals_seen([price]) for price in prices.tolist()])[places]
        end = int((decision.open_time_ms - series.open_time_ms[0]) // timeframe.duration_ms) + 1
        return int(self._decimals[timeframe][max(0, end - self._lengths[timeframe]) : end].max())
