"""Why there was, or was not, a signal on a candle: a Decision in one message, from its record alone."""

from collections.abc import Sequence
from typing import Final

import msgspec

from services.notifier.core.texts import NAME_MAX, clipped, condition_text, figure, price_text
from services.notifier.core.voice import Voice
from shared.domain.decisions import Action, Condition, Decision
from shared.domain.timeframe import Timeframe

_CONDITIONS_MAX: Final = 24
_BUDGET: Final = 3_700  # of 4,096; tags count as text here, which errs on the safe side
_DETAIL_MAX: Final = 200


class NoDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candle has no Decision. reason: a key of Words.why_reason; values: what its text names."""

    strategy: str
    exchange: str
    symbol: str
    timeframe: Timeframe
    open_time_ms: int
    reason: str
    values: dict[str, str]


def why_text(voice: Voice, decisions: Sequence[Decision], missing: Sequence[NoDecision]) -> str:
    """Every strategy's Decision on one candle, and why the others have none. One message, however much there is to say."""
    parts: list[str] = []
    for decision in decisions:
        parts.append(_decision(voice, decision, with_title=not parts))
    parts += [_none(voice, item) for item in missing]
    shown: list[str] = []
    for index, part in enumerate(parts):
        if sum(len(one) + 2 for one in shown) + len(part) > _BUDGET:
            shown.append(voice.words.more.format(count=len(parts) - index))
            break
        shown.append(part)
    return "\n\n".join(shown)


def first_failed(conditions: Sequence[Condition]) -> Condition | None:
    """The first condition that did not pass, in the order the strategy tests them."""
    return next((condition for condition in conditions if not condition.passed), None)


def _decision(voice: Voice, decision: Decision, *, with_title: bool) -> str:
    words = voice.words
    lines = []
    if with_title:
        title = words.why_title.format(
            symbol=clipped(decision.symbol, NAME_MAX),
            timeframe=decision.timeframe.value,
            time=voice.time(decision.open_time_ms),
            price=price_text(decision.reference_price, None),
        )
        lines.append(title)
    trigger = f" · {clipped(decision.trigger, NAME_MAX)}" if decision.trigger else ""
    action = words.why_action[decision.action.value] + trigger
    lines.append(words.why_strategy.format(strategy=clipped(decision.strategy, NAME_MAX), action=action))
    if decision.alerts:
        titles = [words.alert_title.get(key, key.replace("_", " ")) for key in decision.alerts]
        lines.append(f"🔔 {clipped(', '.join(titles), _DETAIL_MAX)}")
    shown = decision.conditions[:_CONDITIONS_MAX]
    lines += [f"{'✓' if one.passed else '✗'} {condition_text(words, one)}{_margin(one)}" for one in shown]
    if len(decision.conditions) > len(shown):
        lines.append(words.more.format(count=len(decision.conditions) - len(shown)))
    failed = first_failed(decision.conditions)
    if decision.action is Action.NONE and failed is not None:
        lines.append(words.why_failed_first.format(name=_name(failed), distance=_distance(failed)))
    lines += [
        words.why_gate.format(
            mark="✓" if gate.passed else "✗",
            name=clipped(gate.name, NAME_MAX),
            detail=clipped(gate.detail, _DETAIL_MAX),
        )
        for gate in decision.gates
    ]
    lines.append(words.bias.format(bias=clipped(decision.bias or "none", _DETAIL_MAX)))
    if decision.take_profit is not None or decision.stop_loss is not None:
        levels = {"take_profit": _level(decision.take_profit), "stop_loss": _level(decision.stop_loss)}
        lines.append(words.why_levels.format(**levels))
    return "\n".join(lines)


def _none(voice: Voice, missing: NoDecision) -> str:
    words = voice.words
    values = {name: clipped(value, _DETAIL_MAX) for name, value in missing.values.items()}
    return words.why_none.format(
        strategy=clipped(missing.strategy, NAME_MAX),
        symbol=clipped(missing.symbol, NAME_MAX),
        timeframe=missing.timeframe.value,
        time=voice.time(missing.open_time_ms),
        reason=words.why_reason[missing.reason].format(**values),
    )


def _name(condition: Condition) -> str:
    return clipped(condition.name.replace("_", " "), NAME_MAX)


def _margin(condition: Condition) -> str:
    return "" if condition.margin is None else f" · {condition.margin:+.4g}"


def _distance(condition: Condition) -> str:
    return figure(None if condition.margin is None else abs(condition.margin))


def _level(price: float | None) -> str:
    return "–" if price is None else price_text(price, None)  # noqa: RUF001 - a dash that stands for nothing
