"""The probe at load: every strategy of ours passes it, and strategies that cheat do not."""

import numpy as np
import pytest

from shared.domain.decisions import Action
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies import registry
from shared.strategies.base import BaseStrategy, Outcome, StrategyParameters
from shared.strategies.probe import check_causal

MEMBERS = [{"kind": "donchian"}, {"kind": "supertrend"}]


class Nothing(StrategyParameters, frozen=True, kw_only=True):
    STRATEGY = "cheat"


class Cheat(BaseStrategy):
    NAME = "cheat"
    PARAMETERS = Nothing

    def said(self, long):
        return Outcome(action=Action.ENTER_LONG if long else Action.NONE, trigger="", conditions=())


class ReadsPastItsWindow(Cheat):
    """What a kernel without bounds checks does with an index too far."""

    def outcomes(self, windows):
        close = windows[Timeframe.H1].close
        count, length = close.shape
        wider = np.lib.stride_tricks.as_strided(close, (count, length + 5), close.strides)
        return [self.said(row[-1] > row[length - 1]) for row in wider]


class KnowsItsNeighbours(Cheat):
    def outcomes(self, windows):
        last = windows[Timeframe.H1].close[:, -1]
        return [self.said(close > last.mean()) for close in last]


class Remembers(Cheat):
    best = 0.0

    def outcomes(self, windows):
        said = []
        for close in windows[Timeframe.H1].close[:, -1]:
            said.append(self.said(close > self.best))
            self.best = max(self.best, close)
        return said


class ChangesItsWindow(Cheat):
    def outcomes(self, windows):
        close = windows[Timeframe.H1].close
        close *= 1.5
        return [self.said(long=False) for _ in close]


@pytest.mark.parametrize("name", sorted(registry.STRATEGIES))
def test_every_strategy_passes(name):
    parameters = {"mode": "weighted", "members": MEMBERS} if name == "manager" else {}
    timeframe = Timeframe.M15
    check_causal(registry.build_strategy(name, timeframe, parameters))


@pytest.mark.parametrize(
    ("cheat", "words"),
    [
        (ReadsPastItsWindow, "non-causal: its decision depends on candles after it"),
        (KnowsItsNeighbours, "non-causal: its decision depends on other windows"),
        (Remembers, "non-causal: its decision depends on"),
        (ChangesItsWindow, "may not change its windows"),
    ],
)
def test_a_cheat_is_refused_with_what_it_depends_on(cheat, words):
    with pytest.raises(InvalidValueError, match=words):
        check_causal(cheat(Timeframe.H1, {}))


def test_a_non_causal_strategy_is_refused_when_it_is_loaded(monkeypatch):
    monkeypatch.setitem(registry.STRATEGIES, "cheat", "cheat:Cheat")
    monkeypatch.setattr(registry, "_class_of", lambda _: ReadsPastItsWindow)
    with pytest.raises(InvalidValueError, match="non-causal"):
        registry.build_strategy("cheat", Timeframe.H1, {})
