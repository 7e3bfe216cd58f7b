"""The memory's gates in their order, and an engine whose strategies share a memory, parameters by symbol and sizes."""

import pytest
from msgspec.structs import replace

from shared.deciding.active import active_strategy
from shared.deciding.remembering import judged_entries
from shared.domain.decisions import Action, Decision
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.portfolio.memory import ClosedTrade, Memory, MemoryRules, remembered
from shared.store.decisions import DecisionStore
from tests.support.engine_market import START_MS, VENUE, Bench, closed, wild_candles

RULES = MemoryRules()
MODELS = {"c": "continuation", "r": "reversal"}


def entry(strategy, symbol, score, action=Action.ENTER_LONG):
    return Decision(
        strategy=strategy,
        exchange=VENUE,
        symbol=symbol,
        timeframe=Timeframe.M30,
        open_time_ms=START_MS,
        action=action,
        trigger=strategy,
        conditions=(),
        gates=(),
        bias="none",
        parameters={"score_min": 75.0, "signals_per_day_max": 5},
        windows=(),
        reference_price=100.0,
        take_profit=None,
        stop_loss=None,
        score=score,
    )


def judged(decisions, memory=None, *, opened_today=0, free=None):
    found = judged_entries(decisions, MODELS, memory or Memory(), RULES, opened_today=opened_today, free=free or {})
    return {(d.strategy, d.symbol): {gate.name: gate.passed for gate in d.gates} for d in found}


def test_gates_stand_in_the_order_of_the_reference():
    [gates] = judged([entry("c", "A", 80)]).values()
    assert list(gates.items()) == [("model", True), ("memory", True), ("score", True), ("daily_cap", True)]


@pytest.mark.parametrize(("score", "passed"), [(74.999, False), (75.0, True)])
def test_the_score_must_reach_the_threshold(score, passed):
    assert judged([entry("c", "A", score)])["c", "A"]["score"] == passed


def test_the_daily_cap_counts_what_this_candle_opens_best_first():
    found = judged([entry("c", symbol, 75 + n) for n, symbol in enumerate("ABC")], opened_today=3)
    assert {symbol: found["c", symbol]["daily_cap"] for symbol in "ABC"} == {"A": False, "B": True, "C": True}


def test_an_entry_whose_slot_is_taken_takes_no_place_of_the_cap():
    decisions = [entry("c", "A", 90), entry("c", "B", 80)]
    found = judged(decisions, opened_today=4, free={("c", VENUE, "A"): False})
    assert found["c", "B"]["daily_cap"]


def test_reversal_is_tried_after_continuation_and_only_if_that_opens_nothing():
    assert not judged([entry("r", "A", 99), entry("c", "A", 76)])["r", "A"]["model"]
    assert judged([entry("r", "A", 99), entry("c", "A", 70)])["r", "A"]["model"]


def test_continuation_that_wins_goes_before_higher_scores():
    wins = [
        ClosedTrade(signal_id=str(n), symbol=str(n), model="continuation", closed_at_ms=n, gain=1.0) for n in range(10)
    ]
    decisions = [entry("r", "A", 99), entry("c", "B", 76)]
    memory = remembered(wins, RULES)
    assert judged(decisions, memory, opened_today=4)["c", "B"]["daily_cap"]
    assert not judged(decisions, memory, opened_today=4)["r", "A"]["daily_cap"]
    assert not judged(decisions, opened_today=4)["c", "B"]["daily_cap"]


def test_what_is_no_entry_or_has_no_memory_is_left_alone():
    none, other = entry("c", "A", 0, Action.NONE), entry("x", "A", 10)
    assert judged_entries([none, other], MODELS, Memory(), RULES, opened_today=99, free={}) == [none, other]


def models(**parameters):
    parameters = {"score_min": 50, "change_pct": 0.3, "distance_pct": 0.1, **parameters}
    return active_strategy("continuation", Timeframe.M1, parameters, max_age_candles=5)


async def run(symbols=("AUSDT", "BUSDT", "CUSDT"), minutes=500, *, restart_at=None, **parameters):
    bench = Bench(strategies=[models(**parameters)])
    engine = bench.engine()
    candles = [wild_candles(symbol, minutes, 4) for symbol in symbols]
    for number, minute in enumerate(zip(*candles, strict=True)):
        if number == restart_at:
            engine = bench.engine()
        await bench.run(engine, [closed(candle) for candle in minute])
    return bench


async def decisions_of(bench, symbol):
    return await DecisionStore(bench.store).between("continuation", VENUE, symbol, Timeframe.M1, 0, 10**14)


async def test_losses_rest_a_symbol_and_pause_all_across_a_restart_of_the_engine():
    straight, restarted = await run(), await run(restart_at=250)
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        assert await decisions_of(straight, symbol) == await decisions_of(restarted, symbol)
    records = [record.signal for record in await straight.signals.all()]
    gates = [
        gate for symbol in ("AUSDT", "BUSDT", "CUSDT") for d in await decisions_of(straight, symbol) for gate in d.gates
    ]
    refused = {(gate.name, gate.detail.split(" ")[0]) for gate in gates if not gate.passed}
    assert {("memory", "pause"), ("memory", "cooldown")} & refused
    assert records
    for signal in records:
        memory = remembered(
            [trade for trade in map(as_trade, records) if trade.closed_at_ms < signal.opened_at_ms], RULES
        )
        assert memory.paused_until_ms <= signal.opened_at_ms
        assert memory.symbol_until_ms.get(signal.symbol, 0) <= signal.opened_at_ms


def as_trade(signal):
    end = signal.exit
    gain = (end.price - signal.entry_price) * (1 if signal.side == "LONG" else -1) if end else 0.0
    return ClosedTrade(
        signal_id=signal.signal_id,
        symbol=signal.symbol,
        model="continuation",
        closed_at_ms=end.closed_at_ms if end else 10**15,
        gain=gain,
    )


async def test_a_day_opens_no_more_than_its_cap_and_signals_carry_their_size():
    bench = await run(signals_per_day_max=2)
    signals = [record.signal for record in await bench.signals.all()]
    assert 0 < len(signals) <= 2 * 2  # the minutes may touch two days
    for signal in signals:
        sizing = signal.sizing
        assert sizing.notional <= 1000
        assert sizing.risk_pct <= 1
        assert sizing.quantity == round(sizing.quantity, 3)


async def test_parameters_of_one_symbol_are_its_own():
    strategies = [active_strategy("donchian", parameters={"window": 20}, by_symbol={"BUSDT": {"window": 50}})]
    bench = Bench(strategies=strategies)
    candles = {symbol: wild_candles("AUSDT", 130, 4) for symbol in ("AUSDT", "BUSDT")}
    events = [closed(replace(candle, symbol=symbol)) for symbol, own in candles.items() for candle in own]
    await bench.run(bench.engine(), events)
    store = DecisionStore(bench.store)
    of = {s: await store.between("donchian", VENUE, s, Timeframe.M1, 0, 10**14) for s in candles}
    assert {d.parameters["window"] for d in of["AUSDT"]} == {20}
    assert {d.parameters["window"] for d in of["BUSDT"]} == {50}
    wider = [
        b.conditions[0].threshold >= a.conditions[0].threshold for a, b in zip(of["AUSDT"], of["BUSDT"], strict=True)
    ]
    assert all(wider)
    assert of["AUSDT"][0].open_time_ms == START_MS + 119 * MINUTE_MS
