"""From a Decision's rules to the alerts it raises, through the latches of its series. Pure."""

from collections.abc import Sequence

import msgspec

from shared.deciding.active import ActiveStrategy
from shared.domain.decisions import Decision
from shared.domain.events import AlertRaised
from shared.strategies.latches import Latches, step

_BEFORE, _AFTER, _DROPPED = "latches", "latches_after", "alerts_dropped"


def with_alerts(decision: Decision, active: ActiveStrategy, before: Latches) -> Decision:
    """The Decision with what it raises and the latches before and after it, as recorded inputs."""
    taken = step(
        before,
        holds=decision.holds,
        resets=decision.resets,
        close_time_ms=decision.close_time_ms,
        rules=active.strategy.alert_rules,
        policy=active.strategy.latch_policy,
        allowed=decision.gates_passed,
    )
    inputs = {
        **decision.inputs,
        _BEFORE: " ".join(before.active),
        _AFTER: " ".join(taken.latches.active),
        _DROPPED: " ".join(taken.dropped),
    }
    return msgspec.structs.replace(decision, alerts=taken.raised, inputs=inputs)


def latches_after(decision: Decision) -> tuple[str, ...]:
    """The latches as the stored Decision left them: a repetition must not judge anew."""
    return tuple(str(decision.inputs.get(_AFTER, "")).split())


def alerts_of(decision: Decision, active: ActiveStrategy, price_decimals: int) -> tuple[AlertRaised, ...]:
    """The events of the alerts that the Decision raises; the same Decision always gives the same events."""
    by_name = {condition.name: condition for condition in decision.conditions}
    events = []
    for key in decision.alerts:
        rule = active.strategy.alert_rules[key]
        shown = [by_name[name] for name in rule.shows if name in by_name]
        values = {condition.name: condition.value for condition in shown if condition.value is not None}
        events.append(
            AlertRaised(
                strategy=decision.strategy,
                alert=key,
                exchange=decision.exchange,
                symbol=decision.symbol,
                timeframe=decision.timeframe,
                candle_open_time_ms=decision.open_time_ms,
                price=decision.reference_price,
                side=rule.side,
                price_decimals=price_decimals,
                values=values,
                conditions=tuple(shown),
            )
        )
    return tuple(events)


def raising(strategies: Sequence[ActiveStrategy]) -> dict[str, ActiveStrategy]:
    """The strategies that raise alerts, by name."""
    return {active.name: active for active in strategies if active.strategy.alert_rules}
