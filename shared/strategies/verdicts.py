"""From a kernel's figures to outcomes: each test with value, threshold and margin, a score, a side, and its levels.

A strategy names its tests once, as data; the kernel fills their values, this module judges them for all rows at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.domain.bias import Direction
from shared.domain.decisions import Action, Condition
from shared.domain.timeframe import Timeframe
from shared.strategies.base import (
    BaseStrategy,
    FloatGrid,
    Outcome,
    StrategyParameters,
    WindowColumns,
    check_history,
    finite_rows,
)

LONG, SHORT = Direction.LONG, Direction.SHORT
NOT_FINITE: Final = "not_finite: the window holds NaN or Inf"
_SIGNIFICANT_DIGITS: Final = 12


class Test(NamedTuple):
    """One test: passes where value >= threshold (`above`) or <= (else), without equality where strict.

    side: whose entry needs it; None: both.
    """

    name: str
    side: Direction | None
    above: bool
    strict: bool = False


def above(name: str, side: Direction | None = None, *, strict: bool = False) -> Test:
    """Value at or, strictly, over the threshold."""
    return Test(name, side, above=True, strict=strict)


def below(name: str, side: Direction | None = None, *, strict: bool = False) -> Test:
    """Value at or, strictly, under the threshold."""
    return Test(name, side, above=False, strict=strict)


class Figures(NamedTuple):
    """What a kernel found. values: (n, tests); thresholds: (n, tests) or (tests,); levels: (n, 2), long and short.

    NaN: no such value (the test does not pass), no such level.
    """

    values: FloatGrid
    thresholds: Any
    take_profit: FloatGrid | None = None
    stop_loss: FloatGrid | None = None


class Judged(NamedTuple):
    """Tests of all rows. passed: (n, tests); fired: by side, (n,); conditions: per row, in the order of the tests."""

    passed: npt.NDArray[np.bool_]
    fired: dict[Direction, npt.NDArray[np.bool_]]
    conditions: list[tuple[Condition, ...]]


class SideParameters(StrategyParameters, frozen=True, kw_only=True):
    """What strategies with two sides share. direction: long_flat turns a short entry into an exit."""

    direction: Literal["both", "long_flat"] = "both"


class TestedStrategy(BaseStrategy):
    """A strategy told by its tests: an entry where every test of its side passes, nothing where both sides do."""

    TESTS: ClassVar[tuple[Test, ...]]

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        self._points: dict[tuple[Direction, int], tuple[float, dict[str, float]]] = {}
        self._weights = 1 << np.arange(len(self.TESTS))

    def figures(self, windows: Mapping[Timeframe, WindowColumns]) -> Figures:
        """Values and thresholds of the tests in their order, by one kernel call."""
        raise NotImplementedError

    def score(self, side: Direction, passed: int) -> tuple[float, dict[str, float]]:
        """The side's share of passed tests, in points; `passed` has one bit per test. Strategies with a formula override."""
        known = self._points.get((side, passed))
        if known is None:
            of_side = [place for place, test in enumerate(self.TESTS) if test.side in {side, None}]
            points = {self.TESTS[place].name: 100 / len(of_side) * (passed >> place & 1) for place in of_side}
            known = self._points[side, passed] = (round(sum(points.values()), 9), points)
        return known

    def evaluate(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One outcome per row."""
        check_history(self.NAME, self.needs, windows)
        finite = finite_rows(windows, self.needs)
        found = self.figures(windows)
        judged = judge(self.TESTS, found)
        long = judged.fired[LONG] & ~judged.fired[SHORT] & finite
        short = judged.fired[SHORT] & ~judged.fired[LONG] & finite
        masks = (judged.passed @ self._weights).tolist()
        tests_of = {side: [test.side in {side, None} for test in self.TESTS] for side in (LONG, SHORT)}
        share = {side: judged.passed[:, tests_of[side]].mean(axis=1) for side in (LONG, SHORT)}
        short_leads = (short | (~long & (share[SHORT] > share[LONG]))).tolist()
        outcomes = []
        for row, (enter_long, enter_short) in enumerate(zip(long.tolist(), short.tolist(), strict=True)):
            side = SHORT if short_leads[row] else LONG
            score, components = self.score(side, masks[row])
            fired = enter_long or enter_short
            outcomes.append(
                self.outcome(found, row, side if fired else None, judged.conditions[row], score, components)
            )
        return outcomes if finite.all() else [_checked(o, ok) for o, ok in zip(outcomes, finite.tolist(), strict=True)]

    def outcome(
        self,
        found: Figures,
        row: int,
        side: Direction | None,
        conditions: tuple[Condition, ...],
        score: float,
        components: dict[str, float],
    ) -> Outcome:
        """The row's outcome: an entry of `side`, or none."""
        if side is None:
            return Outcome(action=Action.NONE, trigger="", conditions=conditions, score=score, components=components)
        if side is SHORT and self.own.direction == "long_flat":
            return Outcome(
                action=Action.EXIT, trigger=self.NAME, conditions=conditions, score=score, components=components
            )
        column = 0 if side is LONG else 1
        take_profit = level(found.take_profit, row, column)
        stop_loss = level(found.stop_loss, row, column)
        return Outcome(
            action=Action.ENTER_LONG if side is LONG else Action.ENTER_SHORT,
            trigger=self.NAME,
            conditions=conditions,
            take_profit=take_profit,
            stop_loss=stop_loss,
            score=score,
            components=components,
        )


def judge(tests: Sequence[Test], found: Figures) -> Judged:
    """Judge every test of every row. A NaN value or threshold is recorded as None (threshold 0) and does not pass."""
    values = found.values
    thresholds = np.broadcast_to(np.asarray(found.thresholds, dtype=np.float64), values.shape)
    margins = np.where([test.above for test in tests], values - thresholds, thresholds - values)
    passed = (margins > 0) | ((margins == 0) & ~np.array([test.strict for test in tests]))
    passed &= np.isfinite(margins)
    fired = {side: passed[:, [test.side in {side, None} for test in tests]].all(axis=1) for side in (LONG, SHORT)}
    names = [test.name for test in tests]
    rows = zip(values.tolist(), thresholds.tolist(), margins.tolist(), passed.tolist(), strict=True)
    return Judged(passed, fired, [_conditions(names, *row) for row in rows])


def _conditions(
    names: list[str], values: list[float], thresholds: list[float], margins: list[float], passed: list[bool]
) -> tuple[Condition, ...]:
    return tuple(
        Condition(name=name, value=value, threshold=threshold, margin=margin, passed=ok)
        if margin - margin == 0  # finite
        else Condition(
            name=name,
            value=None,
            threshold=threshold if threshold - threshold == 0 else 0.0,
            margin=None,
            passed=False,
        )
        for name, value, threshold, margin, ok in zip(names, values, thresholds, margins, passed, strict=True)
    )


def level(levels: FloatGrid | None, row: int, column: int) -> float | None:
    """The level, in 12 significant digits; None where there is none."""
    if levels is None:
        return None
    value = float(levels[row, column])
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if 0 < value < float("inf") else None


def _checked(outcome: Outcome, finite: bool) -> Outcome:  # noqa: FBT001 - one per row
    if finite:
        return outcome
    return Outcome(action=Action.NONE, trigger="", conditions=outcome.conditions, score=0.0, notes=(NOT_FINITE,))
