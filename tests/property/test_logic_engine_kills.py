"""A kill before any write or publish, then redelivery or the sweep: the same decisions, signals and events."""

import random
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from shared.deciding.active import active_strategy
from shared.domain.events import CandlesClosed
from shared.store.signals import SlotStore
from tests.support.engine_market import Bench, closed, wild_candles
from tests.support.mortal import Mortal, life_of
from tests.support.slow_twin import as_twin, slow_signals

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
WARM = 119
LIVE = 60


class Case(NamedTuple):
    """A market and a strategy on it whose signals end in these ways."""

    seed: int
    on_opposite: str
    max_age: int
    take_profit_pct: float
    stop_loss_pct: float
    ends: frozenset[str]


FIXED = Case(11, "ignore", 12, 1.5, 0.7, frozenset({"tp", "sl", "expired"}))
REVERSING = Case(7, "close", 50, 3.0, 5.0, frozenset({"reversed"}))


def the_market(case: Case) -> tuple[dict[str, list[Any]], list[list[CandlesClosed]]]:
    candles = {symbol: wild_candles(symbol, WARM + LIVE, case.seed) for symbol in SYMBOLS}
    minutes = [[closed(candles[symbol][number]) for symbol in SYMBOLS] for number in range(WARM + LIVE)]
    return candles, minutes


async def prepared(case: Case) -> tuple[Bench, list[list[CandlesClosed]]]:
    parameters = {"take_profit_pct": case.take_profit_pct, "stop_loss_pct": case.stop_loss_pct}
    strategy = active_strategy(
        "rsi_divergence", parameters=parameters, on_opposite=case.on_opposite, max_age_candles=case.max_age
    )
    bench = Bench(strategies=[strategy])
    _, minutes = the_market(case)
    await bench.keep([event for minute in minutes[:WARM] for event in minute])
    return bench, minutes[WARM:]


async def results(bench: Bench) -> dict[str, Any]:
    slots = await SlotStore(bench.store).all()
    return {
        "decisions": [(row.key, row.value) for row in await bench.store.scan("decisions", "", "~")],
        "slots": {key: replace(slot, revision=0) for key, slot in slots.items()},
        "signals": [record.signal for record in await bench.signals.all()],
        "events": {event.event_id: event for event in await bench.published()},
    }


async def undisturbed(case: Case) -> tuple[dict[str, Any], int]:
    bench, minutes = await prepared(case)
    life = Mortal(None)
    await life_of(bench, minutes, SYMBOLS, life, random.Random(0))
    return await results(bench), life.steps


@pytest.mark.parametrize("case", [FIXED, REVERSING])
async def test_a_kill_at_every_step_changes_nothing(case):
    expected, steps = await undisturbed(case)
    candles, _ = the_market(case)
    twins = slow_signals(
        candles,
        max_age=case.max_age,
        on_opposite=case.on_opposite,
        take_profit_pct=case.take_profit_pct,
        stop_loss_pct=case.stop_loss_pct,
    )
    found = sorted(
        (as_twin(signal) for signal in expected["signals"]), key=lambda item: (item.candle_open_time_ms, item.symbol)
    )
    assert found == twins
    assert case.ends <= {twin.reason for twin in twins}

    # Most steps are a Decision or a slot's progress; every third of all is due once over the runs of both cases.
    for dies_at in range(1, steps + 1, 3):
        bench, minutes = await prepared(case)
        await life_of(bench, minutes, SYMBOLS, Mortal(dies_at), random.Random(dies_at))
        assert await results(bench) == expected, f"killed before step {dies_at}"


@pytest.mark.parametrize("case", [FIXED, REVERSING])
@pytest.mark.parametrize("seed", range(6))
async def test_many_kills_change_nothing(case, seed):
    expected, _ = await undisturbed(case)
    bench, minutes = await prepared(case)
    chance = random.Random(seed)

    await life_of(bench, minutes, SYMBOLS, Mortal(None, chance), chance)

    assert await results(bench) == expected
