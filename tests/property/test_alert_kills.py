"""Alerts under kills: a latch and its alerts are stored together, every alert is published, none is raised twice."""

import random

import pytest
from msgspec.structs import replace

from shared.deciding.active import ActiveStrategy
from shared.domain.bias import Direction
from shared.domain.decisions import Action, Condition
from shared.domain.events import AlertRaised
from shared.domain.slots import SlotKey
from shared.domain.timeframe import Timeframe
from shared.store.decisions import DecisionStore
from shared.store.latches import LatchStore
from shared.strategies.base import BaseStrategy, Outcome, StrategyParameters
from shared.strategies.latches import AlertRule, LatchPolicy
from tests.support.engine_market import VENUE, Bench, closed, wild_candles
from tests.support.mortal import Mortal, life_of

SYMBOLS = ("AUSDT", "BUSDT")
WARM, LIVE = 5, 60
KEYS = ("up", "up_much", "down")


class TicksParameters(StrategyParameters, frozen=True, kw_only=True):
    STRATEGY = "ticks"


class Ticks(BaseStrategy):
    """Tells of a rise, of a large one, and of a fall; at most one alert a candle."""

    NAME, PARAMETERS, LENGTH = "ticks", TicksParameters, 5

    def __init__(self, timeframe, parameters):
        super().__init__(timeframe, parameters)
        self.alert_rules = {key: AlertRule(key=key, side=Direction.LONG, family=key, shows=("change",)) for key in KEYS}
        self.latch_policy = LatchPolicy(per_run_max=1)

    def outcomes(self, windows):
        close = windows[self.needs[0].timeframe].close
        return [self.said(float(now / before - 1)) for before, now in zip(close[:, -2], close[:, -1], strict=True)]

    @staticmethod
    def said(change):
        holds = {"up": change > 0.0005, "up_much": change > 0.001, "down": change < 0}
        return Outcome(
            action=Action.NONE,
            trigger="",
            conditions=(Condition(name="change", value=change, threshold=0.0, margin=change, passed=change >= 0),),
            holds=tuple(key for key in KEYS if holds[key]),
            resets=tuple(key for key in KEYS if not holds[key] and change != 0),
        )


async def prepared():
    bench = Bench(strategies=[ActiveStrategy(strategy=Ticks(Timeframe.M1, {}), own_name="ticks")])
    candles = {symbol: wild_candles(symbol, WARM + LIVE, 3) for symbol in SYMBOLS}
    minutes = [[closed(candles[symbol][number]) for symbol in SYMBOLS] for number in range(WARM + LIVE)]
    await bench.keep([event for minute in minutes[:WARM] for event in minute])
    return bench, minutes[WARM:]


async def results(bench):
    rows = await LatchStore(bench.store).get_many([SlotKey("ticks", VENUE, symbol) for symbol in SYMBOLS])
    return {
        "decisions": [(row.key, row.value) for row in await bench.store.scan("decisions", "", "~")],
        "latches": {key: replace(row, revision=0) for key, row in rows.items()},
        "alerts": {event.event_id: event for event in await bench.published()},
    }


async def undisturbed():
    bench, minutes = await prepared()
    life = Mortal(None)
    await life_of(bench, minutes, SYMBOLS, life, random.Random(0))
    return await results(bench), life.steps


async def test_alerts_are_what_the_decisions_say_and_once_per_move():
    bench, minutes = await prepared()
    await life_of(bench, minutes, SYMBOLS, Mortal(None), random.Random(0))
    published = await bench.published()
    assert all(isinstance(event, AlertRaised) for event in published)
    told = {(event.symbol, event.candle_open_time_ms): event for event in published}
    assert len(told) == len(published) > 20
    for symbol in SYMBOLS:
        latches = set()
        decisions = await DecisionStore(bench.store).between("ticks", VENUE, symbol, Timeframe.M1, 0, 10**14)
        for decision in decisions:
            change = decision.conditions[0].value
            latches -= set(decision.resets)
            wanted = [key for key in decision.holds if key not in latches][:1]
            assert list(decision.alerts) == wanted
            latches |= set(wanted)
            event = told.get((symbol, decision.open_time_ms))
            assert (event.alert if event else None) == (wanted[0] if wanted else None)
            assert event is None or (event.values, event.price) == ({"change": change}, decision.reference_price)


async def test_a_stale_candle_tells_nothing_and_latches_nothing():
    bench, minutes = await prepared()
    for minute in minutes:
        await bench.keep(minute)
    engine = bench.engine(entry_freshness_ms=1)
    await engine.handle_candles([event for minute in minutes[:-1] for event in minute])
    assert await bench.published() == []
    rows = await LatchStore(bench.store).get_many([SlotKey("ticks", VENUE, symbol) for symbol in SYMBOLS])
    assert all(row.active == () for row in rows.values())


async def test_a_kill_at_every_step_changes_no_alert_and_no_latch():
    expected, steps = await undisturbed()
    for dies_at in range(1, steps + 1, 5):
        bench, minutes = await prepared()
        await life_of(bench, minutes, SYMBOLS, Mortal(dies_at), random.Random(dies_at))
        assert await results(bench) == expected, f"killed before step {dies_at}"


@pytest.mark.parametrize("seed", range(3))
async def test_many_kills_change_no_alert_and_no_latch(seed):
    expected, _ = await undisturbed()
    bench, minutes = await prepared()
    chance = random.Random(seed)
    await life_of(bench, minutes, SYMBOLS, Mortal(None, chance), chance)
    assert await results(bench) == expected
