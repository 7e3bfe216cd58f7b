"""`manager`: several strategies on the same windows, and one verdict of them all.

members: a list of {kind, weight, parameters}; each is evaluated on the manager's timeframe; its score / 100 is its confidence.
first:    the first member, in their order, that asks for something with at least `confidence_min`.
vote:     the action most members ask for (each with at least `confidence_min`), if more ask for it than for all others
          together, and at least `votes_min` do.
weighted: confidence = sum of weight x score over the members that ask for the action, less that of those that ask for
          another, over the sum of all weights; the action with the most, if at least `confidence_min`.
Levels and size come from the first member on the winning side. The Decision holds every member's verdict.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import msgspec

from shared.domain.checks import require
from shared.domain.decisions import Action, Condition, MemberVerdict
from shared.domain.timeframe import Timeframe
from shared.strategies.base import (
    BaseStrategy,
    Outcome,
    Strategy,
    StrategyParameters,
    WindowColumns,
    WindowNeed,
)

_ACTIONS: Final[list[Action]] = [Action.ENTER_LONG, Action.ENTER_SHORT, Action.EXIT]


class MemberParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member. kind: a strategy's name."""

    kind: str
    weight: float = 1.0
    parameters: dict[str, Any] = {}


class ManagerParameters(StrategyParameters, frozen=True, kw_only=True):
    """confidence_min: percent."""

    STRATEGY: ClassVar[str] = "manager"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"confidence_min": (0, 100), "votes_min": (1, 100)}
    mode: Literal["first", "vote", "weighted"] = "first"
    confidence_min: float = 50.0
    votes_min: int = 2
    members: tuple[MemberParameters, ...]

    def check(self, place: str) -> None:
        """There are members, their kinds differ, their weights are positive."""
        kinds = [member.kind for member in self.members]
        require(bool(kinds), "a manager needs members", kinds, place)
        require(len(set(kinds)) == len(kinds), "kinds of members must be unique", kinds, place)
        require("manager" not in kinds, "a member may not be a manager", kinds, place)
        for member in self.members:
            require(0 < member.weight <= 100, "weight must be > 0 and <= 100", member.weight, place)  # noqa: PLR2004 - stated


class Manager(BaseStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "manager"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = ManagerParameters

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        members = zip(self.own.members, self.members, strict=True)
        own = {name: getattr(self.own, name) for name in ("mode", "confidence_min", "votes_min")}
        self.parameters = {
            **own,
            **{f"{m.kind}.weight": m.weight for m in self.own.members},
            **{f"{m.kind}.{name}": value for m, strategy in members for name, value in strategy.parameters.items()},
        }

    def windows_needed(self, timeframe: Timeframe) -> tuple[WindowNeed, ...]:
        """Of each timeframe the longest that a member needs."""
        from shared.strategies.registry import build_strategy

        self.members: list[Strategy] = [
            build_strategy(member.kind, timeframe, member.parameters) for member in self.own.members
        ]
        needs: dict[Timeframe, WindowNeed] = {}
        for need in (need for member in self.members for need in member.needs):
            known = needs.get(need.timeframe, need)
            length, optional = max(need.length, known.length), need.optional and known.optional
            needs[need.timeframe] = WindowNeed(need.timeframe, length, optional)
        return tuple(needs.values())

    def evaluate(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """Every member once over all rows, then one verdict per row."""
        verdicts = [member.evaluate(_cut(windows, member.needs)) for member in self.members]
        return [self._verdict(outcomes) for outcomes in zip(*verdicts, strict=True)]

    def _verdict(self, outcomes: Sequence[Outcome]) -> Outcome:
        own = self.own
        action, confidence, least = {
            "first": self._first,
            "vote": self._vote,
            "weighted": self._weighted,
        }[own.mode](outcomes)
        passed = action is not Action.NONE
        name = {"first": "confidence", "vote": "votes", "weighted": "confidence"}[own.mode]
        condition = Condition(name=name, value=confidence, threshold=least, margin=confidence - least, passed=passed)
        leader = next((outcome for outcome in outcomes if outcome.action is action), None) if passed else None
        return Outcome(
            action=action,
            trigger=own.mode if passed else "",
            conditions=(condition,),
            take_profit=leader.take_profit if leader else None,
            stop_loss=leader.stop_loss if leader else None,
            sizing=leader.sizing if leader else None,
            trail_pct=leader.trail_pct if leader else None,
            score=min(100.0, confidence) if own.mode != "vote" else 100.0 * confidence / len(outcomes),
            components=self._components(outcomes, action),
            notes=tuple(
                f"{member.kind}: {note}"
                for member, outcome in zip(own.members, outcomes, strict=True)
                for note in outcome.notes
            ),
            members=tuple(
                MemberVerdict(
                    name=member.kind,
                    weight=member.weight,
                    action=outcome.action,
                    trigger=outcome.trigger,
                    score=outcome.score or 0.0,
                    conditions=outcome.conditions,
                )
                for member, outcome in zip(own.members, outcomes, strict=True)
            ),
        )

    def _components(self, outcomes: Sequence[Outcome], action: Action) -> dict[str, float]:
        return {
            member.kind: _confidence(outcome)
            for member, outcome in zip(self.own.members, outcomes, strict=True)
            if action is not Action.NONE and outcome.action is action
        }

    def _first(self, outcomes: Sequence[Outcome]) -> tuple[Action, float, float]:
        least: float = self.own.confidence_min
        asked = [outcome for outcome in outcomes if outcome.action is not Action.NONE]
        for outcome in asked:
            if _confidence(outcome) >= least:
                return outcome.action, _confidence(outcome), least
        return Action.NONE, max((_confidence(outcome) for outcome in asked), default=0.0), least

    def _vote(self, outcomes: Sequence[Outcome]) -> tuple[Action, float, float]:
        asked = [
            o.action for o in outcomes if o.action is not Action.NONE and _confidence(o) >= self.own.confidence_min
        ]
        counts: Counter[Action] = Counter()
        counts.update(asked)
        best = max(_ACTIONS, key=lambda action: counts[action])
        votes = counts[best]
        wins = votes >= self.own.votes_min and votes > len(asked) - votes
        return (best if wins else Action.NONE), float(votes), float(self.own.votes_min)

    def _weighted(self, outcomes: Sequence[Outcome]) -> tuple[Action, float, float]:
        weights = [member.weight for member in self.own.members]
        said = list(zip(weights, outcomes, strict=True))
        all_said = sum(weight * _confidence(o) for weight, o in said if o.action is not Action.NONE)
        support = {
            action: sum(weight * _confidence(o) for weight, o in said if o.action is action) for action in _ACTIONS
        }
        best = max(_ACTIONS, key=lambda action: support[action])
        confidence = max(0.0, round((2 * support[best] - all_said) / sum(weights), 9))
        wins = support[best] > 0 and confidence >= self.own.confidence_min
        return (best if wins else Action.NONE), confidence, float(self.own.confidence_min)


def _confidence(outcome: Outcome) -> float:
    """The member's score; 100 where it asks for something and gives none."""
    return 100.0 if outcome.score is None else outcome.score


def _cut(windows: Mapping[Timeframe, WindowColumns], needs: Sequence[WindowNeed]) -> dict[Timeframe, WindowColumns]:
    """The newest part of each window, as long as the member needs it: its verdict is that which it gives alone."""
    found = {}
    for need in needs:
        columns = windows[need.timeframe]
        extra = columns.close.shape[1] - need.length
        if extra > 0:
            times = columns.open_time_ms
            columns = WindowColumns(
                open=columns.open[:, extra:].copy(),
                high=columns.high[:, extra:].copy(),
                low=columns.low[:, extra:].copy(),
                close=columns.close[:, extra:].copy(),
                volume=columns.volume[:, extra:].copy(),
                open_time_ms=None if times is None else times[:, extra:].copy(),
            )
        found[need.timeframe] = columns
    return found
