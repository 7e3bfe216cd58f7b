"""From a kernel's figures to outcomes: each test with value, threshold and margin, a score, a side, and its levels.

A strategy names its tests once, as data; the kernel fills their values, this module judges them for all rows at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.domain.bias import Direction
from shared.domain.checks import require
from shared.domain.decisions import Action, Condition, Sizing
from shared.domain.timeframe import Timeframe
from shared.strategies.base import (
    BaseStrategy,
    FloatGrid,
    Outcome,
    StrategyParameters,
    Tested,
    WindowColumns,
)

LONG, SHORT = Direction.LONG, Direction.SHORT
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
    extra: npt.NDArray[np.float64] | None = None  # whatever else the strategy's own outcome wants, one per row


class Judged(NamedTuple):
    """Tests of all rows. passed: (n, tests); fired: by side, (n,); conditions: per row, in the order of the tests."""

    passed: npt.NDArray[np.bool_]
    fired: dict[Direction, npt.NDArray[np.bool_]]
    conditions: list[tuple[Condition, ...]]


class SideParameters(StrategyParameters, frozen=True, kw_only=True):
    """What strategies with two sides share.

    direction: long_flat turns a short entry into an exit (which ends a signal where `on_opposite` is `close`).
    take_profit_pct, stop_loss_pct: levels as a share of the entry; in their place the strategy's own, where it has some.
    """

    direction: Literal["both", "long_flat"] = "both"
    take_profit_pct: float | None = None
    stop_loss_pct: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("take_profit_pct", "stop_loss_pct"):
            value = getattr(self, name)
            rule = f"{name} must be 0.01..50"
            require(value is None or 0.01 <= value <= 50, rule, value, f"parameters of strategy {self.STRATEGY}")  # noqa: PLR2004 - stated in the rule


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

    def scored(self, found: Figures, row: int, side: Direction | None) -> tuple[float, dict[str, float]] | None:  # noqa: ARG002 - for those that override it
        """Score and components by the strategy's own formula, `side` None without an entry; None: the share of passed tests."""
        return None

    def score(self, side: Direction, passed: int) -> tuple[float, dict[str, float]]:
        """The side's share of passed tests, in points; `passed` has one bit per test."""
        known = self._points.get((side, passed))
        if known is None:
            of_side = [place for place, test in enumerate(self.TESTS) if test.side in {side, None}]
            points = {self.TESTS[place].name: 100 / len(of_side) * (passed >> place & 1) for place in of_side}
            known = self._points[side, passed] = (round(sum(points.values()), 9), points)
        return known

    def tested_figures(self, found: Figures) -> Tested:
        """Every test of every row as `outcomes` judges them, without outcomes: for many rows at once."""
        thresholds, _, passed = _tested(self.TESTS, found)
        fired = _fired(self.TESTS, passed)
        names = tuple(test.name for test in self.TESTS)
        sides = fired[LONG].astype(np.int64) - fired[SHORT]
        return Tested(names=names, values=found.values, thresholds=thresholds, passed=passed, sides=sides)

    def outcomes(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One outcome per row."""
        found = self.figures(windows)
        judged = judge(self.TESTS, found)
        long = judged.fired[LONG] & ~judged.fired[SHORT]
        short = judged.fired[SHORT] & ~judged.fired[LONG]
        closes = windows[self.needs[0].timeframe].close[:, -1].tolist()
        masks = (judged.passed @ self._weights).tolist()
        tests_of = {side: [test.side in {side, None} for test in self.TESTS] for side in (LONG, SHORT)}
        share = {side: judged.passed[:, tests_of[side]].mean(axis=1) for side in (LONG, SHORT)}
        short_leads = (short | (~long & (share[SHORT] > share[LONG]))).tolist()
        outcomes = []
        for row, (enter_long, enter_short) in enumerate(zip(long.tolist(), short.tolist(), strict=True)):
            leads = SHORT if short_leads[row] else LONG
            side = leads if enter_long or enter_short else None
            score, components = self.scored(found, row, side) or self.score(leads, masks[row])
            outcomes.append(self.outcome(found, row, side, closes[row], judged.conditions[row], score, components))
        return outcomes

    def outcome(
        self,
        found: Figures,
        row: int,
        side: Direction | None,
        close: float,
        conditions: tuple[Condition, ...],
        score: float,
        components: dict[str, float],
    ) -> Outcome:
        """The row's outcome: an entry of `side`, or none."""
        action, trigger = Action.NONE, ""
        take_profit = stop_loss = sizing = None
        if side is SHORT and self.own.direction == "long_flat":
            action, trigger = Action.EXIT, self.NAME
        elif side is not None:
            take_profit, stop_loss = self.levels(found, row, side, close)
            sizing = self.sized(found, row, close)
            action, trigger = (Action.ENTER_LONG if side is LONG else Action.ENTER_SHORT), self.NAME
        return Outcome(
            action=action,
            trigger=trigger,
            conditions=conditions,
            take_profit=take_profit,
            stop_loss=stop_loss,
            score=score,
            components=components,
            sizing=sizing,
        )

    def sized(self, found: Figures, row: int, close: float) -> Sizing | None:  # noqa: ARG002 - for those that override it
        """How large an entry would be, where the strategy says so itself; None: by what the stop may cost."""
        return None

    def levels(self, found: Figures, row: int, side: Direction, close: float) -> tuple[float | None, float | None]:
        """Take-profit and stop of an entry: those in percent where the user gave them, else the strategy's own."""
        column, sign = (0, 1) if side is LONG else (1, -1)
        own = self.own
        target, stop = level(found.take_profit, row, column), level(found.stop_loss, row, column)
        if own.take_profit_pct is not None:
            target = rounded(close * (1 + sign * own.take_profit_pct / 100))
        if own.stop_loss_pct is not None:
            stop = rounded(close * (1 - sign * own.stop_loss_pct / 100))
        # A level on the wrong side of the entry (a line that lies exactly on it, say) is none.
        return (
            target if target is not None and (target - close) * sign > 0 else None,
            stop if stop is not None and (close - stop) * sign > 0 else None,
        )


def judge(tests: Sequence[Test], found: Figures) -> Judged:
    """Judge every test of every row. A NaN value or threshold is recorded as None (threshold 0) and does not pass."""
    thresholds, margins, passed = _tested(tests, found)
    names = [test.name for test in tests]
    rows = zip(found.values.tolist(), thresholds.tolist(), margins.tolist(), passed.tolist(), strict=True)
    return Judged(passed, _fired(tests, passed), [_conditions(names, *row) for row in rows])


def _tested(tests: Sequence[Test], found: Figures) -> tuple[FloatGrid, FloatGrid, npt.NDArray[np.bool_]]:
    """Thresholds, margins and which tests pass, each of shape (n, tests)."""
    values = found.values
    thresholds = np.broadcast_to(np.asarray(found.thresholds, dtype=np.float64), values.shape)
    margins = np.where([test.above for test in tests], values - thresholds, thresholds - values)
    passed = (margins > 0) | ((margins == 0) & ~np.array([test.strict for test in tests]))
    return thresholds, margins, passed & np.isfinite(margins)


def _fired(tests: Sequence[Test], passed: npt.NDArray[np.bool_]) -> dict[Direction, npt.NDArray[np.bool_]]:
    found: dict[Direction, npt.NDArray[np.bool_]] = {}
    for side in (LONG, SHORT):
        found[side] = np.logical_and.reduce(passed[:, [test.side in {side, None} for test in tests]], axis=1)
    return found


def _conditions(
    names: list[str], values: list[float], thresholds: list[float], margins: list[float], passed: list[bool]
) -> tuple[Condition, ...]:
    return tuple(
        [
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
        ]
    )


def level(levels: FloatGrid | None, row: int, column: int) -> float | None:
    """The level, in 12 significant digits; None where there is none."""
    if levels is None:
        return None
    value = float(levels[row, column])
    return rounded(value) if 0 < value < float("inf") else None


def rounded(value: float) -> float:
    """In 12 significant digits: far finer than any price step, and free of the last bits' noise."""
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
