"""Memory and daily cap look across symbols: in whatever order, pieces and lives a minute comes, its Decisions are the same."""

import random
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from shared.deciding.active import active_strategy
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import DAY_MS, MINUTE_MS
from shared.store.signals import SlotStore
from tests.support.engine_market import START_MS, Bench, closed, wild_candles
from tests.support.mortal import Killed, Mortal, started

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")
WARM, LIVE, FEW = 60, 90, 8
CAP = 6
BEGIN_MS = START_MS // DAY_MS * DAY_MS + DAY_MS - (WARM + LIVE // 2) * MINUTE_MS  # midnight frees the cap half-way
LATEST_MINUTES = 2  # as late as an entry may be


class Arrival(NamedTuple):
    """When a candle is known to the aggregator and announced, minutes after it closed."""

    minute: int
    event: CandlesClosed


def strategies() -> list[Any]:
    own = {"score_min": 65, "signals_per_day_max": CAP, "stop_atr": 1.0}
    moving = {**own, "change_pct": 0.3, "distance_pct": 0.1, "target_atr": 1.0}
    return [
        active_strategy("continuation", parameters=moving, max_age_candles=4, on_opposite="close"),
        active_strategy("reversal", parameters={**own, "deviations": 1.0}, max_age_candles=4),
    ]


def the_market() -> list[list[CandlesClosed]]:
    candles = [wild_candles(symbol, WARM + LIVE, 5, start_ms=BEGIN_MS) for symbol in SYMBOLS]
    return [[closed(candle) for candle in minute] for minute in zip(*candles, strict=True)]


def arrivals(minutes: list[list[CandlesClosed]], chance: random.Random | None) -> list[list[CandlesClosed]]:
    """What is announced in each minute: in order per symbol, each candle up to LATEST_MINUTES late; in time without chance."""
    found: list[list[CandlesClosed]] = [[] for _ in range(len(minutes) + LATEST_MINUTES)]
    for column in range(len(SYMBOLS)):
        before = 0
        for number, minute in enumerate(minutes):
            late = chance.choice([0, 0, 0, 1, LATEST_MINUTES]) if chance else 0
            before = max(before, number + late)
            found[before].append(minute[column])
    if chance:
        for events in found:
            chance.shuffle(events)
    return found


async def lived(
    life: Mortal, *, late: random.Random | None = None, pieces: random.Random | None = None, live: int = LIVE
) -> Any:
    """Everything stored and published after such a life. pieces: a minute's events come in several lists, some again."""
    bench = Bench(strategies=strategies())
    minutes = the_market()
    await bench.keep([event for minute in minutes[:WARM] for event in minute])
    engine = await started(bench, SYMBOLS, life)
    coming = arrivals(minutes[WARM : WARM + live], late)
    for number, events in enumerate(coming):
        bench.clock.now_ms = max(bench.clock.now_ms, BEGIN_MS + (WARM + 1 + min(number, live - 1)) * MINUTE_MS)
        if events:
            await bench.keep(events)
        pending = list(events)
        while pending:
            size = pieces.choice([1, 2, len(pending)]) if pieces else len(pending)
            try:
                await engine.handle_candles(pending[:size])
            except Killed:
                engine = await started(bench, SYMBOLS, life)
                pending = [event for old in coming[max(0, number - 3) : number + 1] for event in old]
                (pieces or random.Random(0)).shuffle(pending)
                continue
            pending = pending[size:]
    while True:
        try:
            await engine.finish()
            if not await engine.sweep():
                break
        except Killed:
            engine = await started(bench, SYMBOLS, life)
    return await results(bench)


async def results(bench: Bench) -> dict[str, Any]:
    slots = await SlotStore(bench.store).all()
    records = sorted(await bench.signals.all(), key=lambda record: record.signal.signal_id)
    return {
        "decisions": [(row.key, row.value) for row in await bench.store.scan("decisions", "", "~")],
        "slots": {key: replace(slot, revision=0) for key, slot in slots.items()},
        "signals": [record.signal for record in records],
        "events": {event.event_id: event for event in await bench.published()},
    }


async def undisturbed() -> dict[str, Any]:
    found = await lived(Mortal(None))
    signals = found["signals"]
    assert len(signals) == 2 * CAP  # the cap of both days is what stops them
    minutes = [signal.opened_at_ms for signal in signals]
    assert len(set(minutes)) < len(minutes)  # some open in one minute
    assert {signal.strategy for signal in signals} == {"continuation", "reversal"}
    assert any(signal.opened_at_ms > other.exit.closed_at_ms for signal in signals for other in signals if other.exit)
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_late_symbols_and_pieces_of_a_minute_change_no_decision(seed):
    chance = random.Random(seed)
    assert await lived(Mortal(None), late=chance, pieces=chance) == await undisturbed()


@pytest.mark.parametrize("seed", range(4))
async def test_kills_that_split_a_minute_change_no_decision(seed):
    chance = random.Random(seed)
    assert await lived(Mortal(None, chance), pieces=chance) == await undisturbed()


async def test_a_kill_at_any_write_changes_no_decision():
    life = Mortal(None)
    expected = await lived(life, live=FEW)
    assert len({signal.opened_at_ms for signal in expected["signals"]}) < len(expected["signals"]) == CAP
    for dies_at in range(1, life.steps, 4):
        again = await lived(Mortal(dies_at), pieces=random.Random(dies_at), live=FEW)
        assert again == expected, f"killed before {dies_at}"
