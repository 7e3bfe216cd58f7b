"""config/all-strategies.yaml on the demo's market: with the history that its venue gives, every strategy decides, as its slow twin does."""

import asyncio
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from services.logic_engine.configured import active_strategies
from services.simulator.core import wire
from services.simulator.core.day_plan import DAY_MINUTES
from services.simulator.core.generated_source import GeneratedSource
from services.simulator.core.market import Market
from services.simulator.settings import Settings as SimulatorSettings
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.config import load_config
from shared.store.decisions import DecisionStore
from tests.support import slow_strategies as slow
from tests.support.engine_market import VENUE, Bench, a_candle

CONFIG = Path(__file__).resolve().parents[2] / "config" / "all-strategies.yaml"
SYMBOLS = ("BTCUSDT", "DOGEUSDT")
MIDNIGHT = 20_777 * DAY_MINUTES
LIVE_MINUTES = 120  # the last two hours of a day: every timeframe but the week closes at their end
HISTORY = 400  # BACKFILL_CANDLES
INTERVALS = {
    Timeframe.M1: "1", Timeframe.M5: "5", Timeframe.M15: "15", Timeframe.M30: "30", Timeframe.H1: "60",
    Timeframe.H4: "240", Timeframe.D1: "D", Timeframe.W1: "W",
}  # fmt: skip


def market():
    days = SimulatorSettings.model_fields["history_days"].default
    first = (MIDNIGHT - days * DAY_MINUTES) // (7 * DAY_MINUTES) * 7 * DAY_MINUTES
    exact = MIDNIGHT - 3 * LIVE_MINUTES
    return Market(GeneratedSource(SYMBOLS, seed=7, slot_minutes=20, first_minute=first, exact_from_minute=exact))


def klines(source, symbol, timeframe):
    """The last closed ones up to midnight, oldest first."""
    minutes = timeframe.duration_ms // MINUTE_MS
    begin = MIDNIGHT - (HISTORY + LIVE_MINUTES) * minutes
    bars = source.klines(symbol, INTERVALS[timeframe], begin, MIDNIGHT - 1, MIDNIGHT * MINUTE_MS)
    found = []
    for row in reversed(wire.rest_kline_rows(source.instruments[symbol], bars)):
        opened, high, low, close = map(float, row[1:5])
        values = {"open": opened, "high": high, "low": low, "volume": Decimal(row[5]), "timeframe": timeframe}
        candle = a_candle(int(row[0]), close, symbol=symbol, **values)
        if candle.close_time_ms <= MIDNIGHT * MINUTE_MS:
            found.append(candle)
    return found


@pytest.fixture(scope="module")
def decided():
    return asyncio.run(decide_all())


async def decide_all():
    """(candles by symbol and timeframe, Decisions by strategy) after the last two hours of a day."""
    source, strategies = market(), active_strategies(load_config(CONFIG))
    candles = {(symbol, tf): klines(source, symbol, tf) for symbol in SYMBOLS for tf in Timeframe}
    begin_ms = (MIDNIGHT - LIVE_MINUTES) * MINUTE_MS
    bench, closing = Bench(strategies=strategies), defaultdict(list)
    for (symbol, _), series in candles.items():
        await bench.candles.save([one for one in series if one.close_time_ms <= begin_ms][-HISTORY:], fence=None)
        for one in series:
            if one.close_time_ms > begin_ms:
                closing[one.close_time_ms, symbol].append(one)
    bench.clock.now_ms = begin_ms
    engine = bench.engine()
    await engine.start([(VENUE, symbol) for symbol in SYMBOLS])
    events = [
        CandlesClosed(exchange=VENUE, symbol=symbol, close_time_ms=close_ms, candles=tuple(together))
        for (close_ms, symbol), together in closing.items()
    ]
    await bench.run(engine, events)
    store = DecisionStore(bench.store)
    return candles, {
        active.name: [
            decision
            for symbol in SYMBOLS
            for decision in await store.between(active.name, VENUE, symbol, active.timeframe, 0, 10**14)
        ]
        for active in strategies
    }


def seen_by(candles, decision, timeframe, length):
    """The window of the timeframe at the Decision's close, as the twins want it; None where the history is shorter."""
    past = [one for one in candles[decision.symbol, timeframe] if one.close_time_ms <= decision.close_time_ms][-length:]
    names = {"t": "open_time_ms", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    if len(past) < length:
        return None
    return {key: [float(getattr(one, name)) for one in past] for key, name in names.items()}


def twin_of(candles, decision, kind, active):
    if kind == "macd_unified":
        return slow.macd_unified(*(seen_by(candles, decision, need.timeframe, need.length) for need in active.needs))
    if kind == "mtf_score":
        there = {str(n.timeframe): seen_by(candles, decision, n.timeframe, n.length) for n in active.needs}
        return slow.mtf_score({name: window for name, window in there.items() if window})
    return slow.ONE_WINDOW[kind](seen_by(candles, decision, decision.timeframe, active.needs[0].length))


def assert_said(decision, said):
    assert decision.action == said.action
    by_name = {condition.name: condition.value for condition in decision.conditions}
    for name, value in said.values.items():
        assert by_name[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (decision.strategy, name)
    if said.score is not None:
        assert decision.score == pytest.approx(said.score, rel=1e-9)


@pytest.mark.parametrize("active", active_strategies(load_config(CONFIG)), ids=lambda active: active.name)
def test_a_configured_strategy_decides_in_the_demo_as_its_slow_twin(decided, active):
    candles, by_strategy = decided
    decisions, kind = by_strategy[active.name], active.strategy.name
    assert {decision.symbol for decision in decisions} == set(SYMBOLS)
    assert decisions[-1].close_time_ms == MIDNIGHT * MINUTE_MS
    telling = [decision for decision in decisions if decision.action != "none" or decision.holds]
    for decision in [*telling[:6], decisions[0], decisions[-1]]:
        if kind == "manager":
            for member in decision.members:
                told = slow.ONE_WINDOW[member.name](seen_by(candles, decision, decision.timeframe, 120))
                assert member.action == told.action
            continue
        if decision.parameters.get("threshold_pct") == 0.2:
            continue  # a symbol with parameters of its own: the twin knows the defaults only
        said = twin_of(candles, decision, kind, active.strategy)
        assert_said(decision, said)
        assert kind != "macd_unified" or set(decision.holds) == said.holds
    if kind == "mtf_score":
        assert set(decisions[-1].components) == {"15m", "1h", "4h", "1d", "1w"}
