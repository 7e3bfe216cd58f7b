"""From outcomes to Decisions: everything that explains and repeats them is put down."""

from collections.abc import Mapping, Sequence

import msgspec

from shared.deciding.active import ActiveStrategy
from shared.deciding.gates import bias_gate, freshness_gate, quality_gate
from shared.domain.bias import BiasInForce
from shared.domain.decisions import Decision, Gate, WindowRecord
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Outcome
from shared.strategies.windows import Windows


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """When Decisions are made: the close they are about, the market's clock, and how late an entry may be."""

    close_time_ms: int
    market_ms: int
    entry_freshness_ms: int


def decide(
    active: ActiveStrategy,
    series: Sequence[tuple[str, str]],
    windows: Mapping[Timeframe, Windows],
    biases: Sequence[BiasInForce],
    moment: Moment,
) -> list[Decision]:
    """One Decision per (exchange, symbol), all from one call of the strategy; row i of each window belongs to series i."""
    columns = {timeframe: window.columns for timeframe, window in windows.items()}
    outcomes = active.evaluate([symbol for _, symbol in series], columns)
    name, timeframe, parameters = active.name, active.timeframe, active.strategy.parameters
    closes = windows[timeframe].columns.close[:, -1].tolist()
    fresh = freshness_gate(moment.close_time_ms, moment.market_ms, moment.entry_freshness_ms)
    read = [windows[need.timeframe] for need in active.strategy.needs]
    records = list(zip(*[window.records for window in read], strict=True))
    unusable = [sum(row) for row in zip(*[window.unusable for window in read], strict=True)]
    lacking = [window.missing for window in read if window.missing]
    decisions = []
    for row, (exchange, symbol) in enumerate(series):
        outcome, bias = outcomes[row], biases[row]
        absent = tuple([missing[row] for missing in lacking if row in missing]) if lacking else ()
        decisions.append(
            Decision(
                strategy=name,
                exchange=exchange,
                symbol=symbol,
                timeframe=timeframe,
                open_time_ms=moment.close_time_ms - timeframe.duration_ms,
                action=outcome.action,
                trigger=outcome.trigger,
                conditions=outcome.conditions,
                gates=(quality_gate(unusable[row]), fresh, bias_gate(bias, outcome.action)),
                bias=bias.text,
                parameters=active.parameters(symbol) if active.by_symbol else parameters,
                windows=_records(records[row]),
                reference_price=closes[row],
                take_profit=outcome.take_profit,
                stop_loss=outcome.stop_loss,
                score=outcome.score,
                components=outcome.components,
                notes=outcome.notes + absent if absent else outcome.notes,
                members=outcome.members,
                sizing=outcome.sizing,
                trail_pct=outcome.trail_pct,
                holds=outcome.holds,
                resets=outcome.resets,
            )
        )
    return decisions


def _records(records: tuple[WindowRecord | None, ...]) -> tuple[WindowRecord, ...]:
    return tuple([record for record in records if record is not None])


def shadow_of(first: Decision, outcome: Outcome, windows: Sequence[Windows], row: int) -> Decision:
    """What corrected windows (the strategy's own first) say in place of the first Decision; its other inputs stay."""
    unusable = sum(window.unusable[row] for window in windows)
    return msgspec.structs.replace(
        first,
        action=outcome.action,
        trigger=outcome.trigger,
        conditions=outcome.conditions,
        gates=tuple(quality_gate(unusable) if gate.name == "quality" else gate for gate in first.gates),
        windows=_records(tuple([window.records[row] for window in windows])),
        reference_price=float(windows[0].columns.close[row, -1]),
        take_profit=outcome.take_profit,
        stop_loss=outcome.stop_loss,
        score=outcome.score,
        components=outcome.components,
        members=outcome.members,
        sizing=outcome.sizing,
        trail_pct=outcome.trail_pct,
        holds=outcome.holds,
        resets=outcome.resets,
    )


def verdict(decision: Decision) -> tuple[str, str, bool]:
    """What a correction may change: the action, its trigger, and whether an entry would pass the gates."""
    passed: tuple[Gate, ...] = tuple(gate for gate in decision.gates if gate.passed)
    return decision.action, decision.trigger, decision.action.side is not None and len(passed) == len(decision.gates)
