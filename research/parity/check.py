"""Decides every stored Decision again from the recorded revisions and inputs, and ends every signal again.

Compared are all fields. What is a recorded input stays as it was: the time at which a Decision was made (its freshness gate),
what the adaptive memory said, the latches before the candle. Everything else is computed anew, by the functions that ran live.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from research.parity.difference import Difference, first_difference
from research.parity.ends import end_again
from research.parity.recorded import RecordedCandles
from shared.deciding.active import ActiveStrategy
from shared.deciding.alerting import with_alerts
from shared.deciding.bias_versions import bias_at
from shared.deciding.decide import Moment, decide
from shared.deciding.opening import opened_signal, opened_signal_id
from shared.domain.bias import MacroBias
from shared.domain.decisions import Decision, DecisionKind
from shared.domain.pairs import base_and_quote
from shared.domain.signals import Signal, SignalStatus
from shared.domain.timeframe import DAY_MS
from shared.store.bias import BiasStore
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.store.signals import SignalStore
from shared.store.tape import TapeStore
from shared.strategies.latches import Latches

CHUNK: Final = 2_000
_FRESHNESS: Final = "freshness"
_MISSING: Final = "not_enough_history"
_GATES_OF_DECIDE: Final = 3  # quality, freshness, bias; those behind them are the memory's, which are recorded inputs


class Parity(msgspec.Struct, kw_only=True):
    """What a check found. lost: Decisions whose candles or parameters are no longer there to decide again."""

    decisions: int = 0
    signals: int = 0
    lost: int = 0
    differences: int = 0
    first: Difference | None = None

    def take(self, found: Difference | None) -> None:
        """Count a difference; the first one is kept."""
        if found is not None:
            self.differences += 1
            self.first = self.first or found


async def check(
    store: Store, strategies: Sequence[ActiveStrategy], markets: Sequence[tuple[str, str]], from_ms: int, to_ms: int
) -> Parity:
    """Every first Decision whose candle opened in the time, and every signal that one of them opened."""
    found = Parity()
    for active in strategies:
        for exchange, symbol in markets:
            await _Series(store, active, exchange, symbol, found).check(from_ms, to_ms)
    return found


class _Series:
    """One strategy on one symbol."""

    def __init__(self, store: Store, active: ActiveStrategy, exchange: str, symbol: str, found: Parity) -> None:
        self._active, self._symbol = active, symbol
        self._place = (active.name, exchange, symbol, active.timeframe)
        self._candles = CandleStore(store)
        self._recorded = RecordedCandles(self._candles, exchange, symbol)
        self._decisions = DecisionStore(store)
        self._signals = SignalStore(store)
        self._biases = BiasStore(store)
        self._tape = TapeStore(store)
        self._found = found
        self._before_ms = 0  # close of the Decision before, for latches that end with the day

    async def check(self, from_ms: int, to_ms: int) -> None:
        """In order, some at a time."""
        earlier = await self._decisions.between(*self._place, max(0, from_ms - 2 * DAY_MS), from_ms)
        self._before_ms = max((decision.close_time_ms for decision in earlier), default=0)
        versions = await self._biases.versions(*base_and_quote(self._symbol))
        step_ms = CHUNK * self._active.timeframe.duration_ms
        begin_ms = from_ms
        while begin_ms < to_ms:
            stored = await self._decisions.between(*self._place, begin_ms, min(to_ms, begin_ms + step_ms))
            firsts = [decision for decision in stored if decision.kind is DecisionKind.FIRST]
            await self._recorded.load(firsts)
            for decision in firsts:
                await self._check_decision(decision, versions)
                self._before_ms = decision.close_time_ms
            await self._check_signals(firsts)
            begin_ms += step_ms

    async def _check_decision(self, decision: Decision, versions: Sequence[MacroBias]) -> None:
        again = await self._again(decision, versions)
        if again is None:
            self._found.lost += 1
            return
        self._found.decisions += 1
        self._found.take(first_difference(decision, again, _name(decision)))

    async def _again(self, decision: Decision, versions: Sequence[MacroBias]) -> Decision | None:
        active = self._active
        windows = await self._recorded.windows(active.strategy.needs, decision)
        if windows is None or active.parameters(self._symbol) != decision.parameters:
            return None
        moment = Moment(close_time_ms=decision.close_time_ms, market_ms=decision.close_time_ms, entry_freshness_ms=0)
        series = [(decision.exchange, decision.symbol)]
        [made] = decide(active, series, windows, [bias_at(versions, decision.close_time_ms)], moment)
        gates = [
            known if gate.name == _FRESHNESS else gate for gate, known in zip(made.gates, decision.gates, strict=False)
        ]
        inputs = {name: value for name, value in decision.inputs.items() if name.startswith("memory.")}
        notes = _notes(made.notes, decision.notes)
        made = msgspec.structs.replace(
            made, gates=(*gates, *decision.gates[_GATES_OF_DECIDE:]), inputs=inputs, notes=notes
        )
        if active.strategy.alert_rules:
            before = Latches(
                active=tuple(str(decision.inputs.get("latches", "")).split()), close_time_ms=self._before_ms
            )
            made = with_alerts(made, active, before)
        return made

    async def _check_signals(self, decisions: Sequence[Decision]) -> None:
        by_id = {name: decision for decision in decisions if (name := opened_signal_id(decision)) is not None}
        records = await self._signals.get_many(list(by_id)) if by_id else {}
        for name, decision in by_id.items():
            record = records.get(name)
            if record is None:
                continue
            self._found.signals += 1
            signal = record.signal
            self._found.take(
                first_difference(_as_opened(signal), self._opened_again(signal, decision), f"signal {name}")
            )
            if signal.exit is not None:
                again = await end_again(signal, self._candles, self._tape, self._decisions)
                if again is not None:
                    self._found.take(first_difference(signal.exit, again, f"end of signal {name}"))

    def _opened_again(self, signal: Signal, decision: Decision) -> Signal:
        """From its Decision; its place in the chain, its price step and the open risk of others are recorded inputs."""
        active = msgspec.structs.replace(self._active, max_age_candles=signal.max_age_candles)
        again = opened_signal(decision, active, prev_hash=signal.prev_hash, price_decimals=signal.price_decimals)
        limited = signal.sizing is not None and signal.sizing.open_risk_pct is not None
        return msgspec.structs.replace(again, sizing=signal.sizing) if limited else again


def _as_opened(signal: Signal) -> Signal:
    return msgspec.structs.replace(signal, version=1, status=SignalStatus.OPEN, exit=None)


def _notes(again: tuple[str, ...], recorded: tuple[str, ...]) -> tuple[str, ...]:
    """How many candles of an optional window were there is a recorded input; that some were missing is not."""
    if len(again) != len(recorded):
        return again
    pairs = zip(again, recorded, strict=True)
    return tuple(old if new.startswith(_MISSING) and old.startswith(_MISSING) else new for new, old in pairs)


def _name(decision: Decision) -> str:
    return f"decision {decision.strategy} {decision.exchange} {decision.symbol} {decision.timeframe} {decision.open_time_ms}"
