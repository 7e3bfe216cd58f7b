"""The adaptive memory's gates before an entry, in their order: model, memory, score, daily cap. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.domain.decisions import Decision, Gate
from shared.portfolio.memory import (
    CONTINUATION,
    THRESHOLD_MAX,
    Memory,
    MemoryRules,
    MemoryVerdict,
    memory_says,
    numbers,
)

_NOT_ASKED: Final = Gate(name="memory", passed=False, detail="not asked: an open signal holds the slot")


def judged_entries(
    decisions: Sequence[Decision],
    models: Mapping[str, str],
    memory: Memory,
    rules: MemoryRules,
    *,
    opened_today: int,
    free: Mapping[tuple[str, str, str], bool],
) -> list[Decision]:
    """The Decisions with the gates of those that are entries of a strategy in `models` (by strategy name).

    decisions:    all of one close: who asks with whom decides who gets a place.
    memory:       of what had closed before this candle did.
    opened_today: signals of these strategies that this UTC day has opened before this candle; entries of the same candle
                  that will open count too, best first: continuation where it goes first, then by score, then by name.
    free:         whether the slot of (strategy, exchange, symbol) is free. For an entry without a slot the memory is not
                  asked: it takes no place, and need not wait for what other symbols do.
    """
    entries = [d for d in decisions if d.strategy in models and d.action.side is not None]
    done = {id(d): without_a_slot(d) for d in entries}
    entries = [d for d in entries if free.get((d.strategy, d.exchange, d.symbol), True)]
    says = {
        id(d): memory_says(memory, rules, symbol=d.symbol, model=models[d.strategy], at_ms=d.close_time_ms)
        for d in entries
    }
    taken: set[tuple[str, str]] = set()
    for decision in _in_turn(entries, models, says):
        place = (decision.exchange, decision.symbol)
        judged = _with_gates(decision, says[id(decision)], count=opened_today, taken=place in taken)
        done[id(decision)] = judged
        if judged.gates_passed:
            opened_today += 1
            taken.add(place)
    return [done.get(id(decision), decision) for decision in decisions]


def without_a_slot(decision: Decision) -> Decision:
    """The entry as it is recorded where its slot holds a signal."""
    return msgspec.structs.replace(decision, gates=(*decision.gates, _NOT_ASKED))


def _in_turn(
    entries: Sequence[Decision], models: Mapping[str, str], says: Mapping[int, MemoryVerdict]
) -> list[Decision]:
    """Symbols by whether continuation goes first, by their best score, by name; within one, continuation is tried first."""
    best: dict[tuple[str, str], tuple[int, float]] = {}
    for decision in entries:
        place = (decision.exchange, decision.symbol)
        rank = (0 if says[id(decision)].goes_first else 1, -(decision.score or 0.0))
        best[place] = min(best.get(place, rank), rank)

    def turn(decision: Decision) -> tuple[Any, ...]:
        place = (decision.exchange, decision.symbol)
        return *best[place], *place, models[decision.strategy] != CONTINUATION, decision.strategy

    return sorted(entries, key=turn)


def _with_gates(decision: Decision, verdict: MemoryVerdict, *, count: int, taken: bool) -> Decision:
    own = decision.parameters
    threshold = min(_number(own["score_min"]) + verdict.threshold_add, THRESHOLD_MAX)
    score = decision.score or 0.0
    per_day = int(_number(own["signals_per_day_max"]))
    if verdict.signals_per_day_max is not None:
        per_day = min(per_day, verdict.signals_per_day_max)
    model_off = verdict.model_off or ("another model takes this symbol at this candle" if taken else "")
    gates = (
        Gate(name="model", passed=not model_off, detail=model_off or "enabled"),
        Gate(name="memory", passed=not verdict.entries_off, detail=verdict.entries_off or "no pause, no cooldown"),
        Gate(name="score", passed=score >= threshold, detail=f"{score:g} of {threshold:g}"),
        Gate(name="daily_cap", passed=count < per_day, detail=f"{count} of {per_day} signals today"),
    )
    inputs = {**decision.inputs, **numbers(verdict)}
    return msgspec.structs.replace(decision, gates=(*decision.gates, *gates), inputs=inputs)


def _number(value: object) -> float:
    return float(str(value))
