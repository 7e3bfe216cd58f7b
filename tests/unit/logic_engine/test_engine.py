"""The engine on a store in memory: what it decides, opens, ends, and what it leaves alone."""

import random
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from shared.deciding.active import active_strategy
from shared.domain.bias import Direction, MacroBias
from shared.domain.candles import CandleQuality
from shared.domain.decisions import Action, DecisionKind
from shared.domain.errors import FencedError, InvalidValueError, TransientError
from shared.domain.events import MacroBiasUpdated, SignalClosed, SignalOpened, SignalProgressed
from shared.domain.minute_trades import MinuteTrades
from shared.domain.signals import ExitReason, Resolution
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.trades import TradeSource
from shared.indicators import compilations
from shared.store.decisions import DecisionStore
from shared.store.signals import SlotKey, SlotStore
from shared.store.tape import TapeStore
from tests.support.engine_market import (
    START_MS,
    VENUE,
    Bench,
    a_candle,
    closed,
    corrected,
    wild_candles,
    with_five_minutes,
)
from tests.support.slow_twin import as_twin, slow_signals

SLOT = SlotKey("rsi_divergence", VENUE, "BTCUSDT")
ENTRY = 119  # number of the candle that falls on high volume


def falling(count=ENTRY + 1, *, spike_at=ENTRY):
    """Candles that fall a little each minute; the spike makes candle 119 an entry to the long side."""
    return [
        a_candle(
            START_MS + i * MINUTE_MS,
            round(200 - i * 0.01, 2),
            volume=Decimal(10 if i == spike_at else 1),
        )
        for i in range(count)
    ]


def after(candle, open_price, high, low, close, **changes):
    return a_candle(candle.close_time_ms, close, open=open_price, high=high, low=low, **changes)


async def decisions_of(bench, timeframe=Timeframe.M1):
    store = DecisionStore(bench.store)
    return await store.between("rsi_divergence", VENUE, "BTCUSDT", timeframe, 0, 10**14)


async def opened(**options):
    """A bench with an engine whose signal has just opened, and the candle that did it."""
    bench = Bench(**options)
    engine = bench.engine()
    candles = falling()
    await bench.run(engine, [closed(candle) for candle in candles])
    [event] = await bench.published()
    assert isinstance(event, SignalOpened)
    return bench, engine, candles


async def test_a_signal_opens_with_its_decision_its_levels_and_its_chain():
    bench, _, candles = await opened()
    [record] = await bench.signals.all()
    signal = record.signal
    assert signal.side is Direction.LONG
    assert signal.entry_price == candles[-1].close
    assert signal.opened_at_ms == candles[-1].close_time_ms
    assert (signal.prev_hash, signal.price_decimals, signal.version) == ("", 2, 1)
    [decision] = await decisions_of(bench)
    assert decision.action is Action.ENTER_LONG
    assert [gate.name for gate in decision.gates] == ["quality", "freshness", "bias"]
    assert decision.windows[0].revisions == ((1, 120),)
    assert decision.windows[0].digest == signal.window_digest
    assert decision.parameters["mode"] == "extreme"
    assert (decision.take_profit, decision.stop_loss) == (signal.take_profit, signal.stop_loss)


async def test_fewer_than_120_candles_make_no_decision():
    bench = Bench()
    await bench.run(bench.engine(), [closed(candle) for candle in falling()[:119]])
    assert await decisions_of(bench) == []


async def test_signals_equal_the_slow_twin_and_nothing_compiles_meanwhile():
    symbols = ["AUSDT", "BUSDT", "CUSDT"]
    market = {symbol: wild_candles(symbol, 420, 5) for symbol in symbols}
    bench = Bench()
    engine = bench.engine()
    await bench.run(engine, [closed(candle) for candles in market.values() for candle in candles[:121]])
    before = compilations()
    await bench.run(engine, [closed(candle) for candles in market.values() for candle in candles[121:]])
    found = sorted(
        (as_twin(record.signal) for record in await bench.signals.all()),
        key=lambda signal: (signal.candle_open_time_ms, signal.symbol),
    )
    assert found == slow_signals(market)
    assert {"tp", "sl"} <= {signal.reason for signal in found}
    assert compilations() == before


@pytest.mark.parametrize("seed", range(4))
async def test_order_and_repetition_of_announcements_change_nothing(seed):
    chance = random.Random(seed)
    symbols = ["AUSDT", "BUSDT"]
    events = {s: [closed(candle) for candle in wild_candles(s, 300, 8)] for s in symbols}
    straight, shuffled = Bench(), Bench()
    await straight.run(straight.engine(), [event for s in symbols for event in events[s]])

    engine = shuffled.engine(entry_freshness_ms=3_600_000)  # no delay here exceeds it
    await engine.handle_candles([])
    waiting = []
    for number in range(300):
        minute = [events[s][number] for s in symbols]
        await shuffled.keep(minute)
        if number < 119:  # the first ever announcement says where a series begins
            await engine.handle_candles(minute)
            continue
        waiting += minute
        chance.shuffle(waiting)
        if chance.random() < 0.7:
            now = waiting[: chance.randint(1, len(waiting))]
            await engine.handle_candles([*now, *now[:1]])
            waiting = [event for event in waiting if event not in now or chance.random() < 0.2]
    await engine.handle_candles(waiting)
    while await engine.sweep():
        pass

    def signals(records):
        return {as_twin(record.signal) for record in records}

    assert signals(await shuffled.signals.all()) == signals(await straight.signals.all())
    assert len(await shuffled.store.scan("decisions", "", "~")) == 2 * (300 - 119)


async def test_a_batch_of_minutes_gives_what_single_minutes_give():
    events = [closed(candle) for candle in wild_candles("BTCUSDT", 400, 3)]
    one_by_one, at_once = Bench(), Bench()
    await one_by_one.run(one_by_one.engine(entry_freshness_ms=10**9), events)
    await at_once.keep(events)
    await at_once.engine(entry_freshness_ms=10**9).handle_candles(events)
    for table in ("decisions", "signals"):
        rows = [
            [(row.key, row.value) for row in await bench.store.scan(table, "", "~")] for bench in (one_by_one, at_once)
        ]
        assert rows[0] == rows[1]


async def test_the_sweep_finds_what_was_never_announced():
    bench = Bench()
    engine = bench.engine()
    events = [closed(candle) for candle in falling()]
    await bench.run(engine, events[:-1])
    await bench.keep(events[-1:])
    assert await engine.sweep() == 1
    assert await engine.sweep() == 0
    [event] = await bench.published()
    assert isinstance(event, SignalOpened)
    await engine.handle_candles(events[-1:])
    assert await bench.published() == []


async def test_a_history_that_comes_after_a_symbols_own_candles_lengthens_its_windows():
    bench = Bench()
    engine = bench.engine()
    candles = falling(ENTRY + 6)
    late, own, last = candles[:100], candles[100:-1], candles[-1]
    await bench.run(engine, [closed(candle) for candle in own])
    assert await decisions_of(bench) == []
    await bench.keep([closed(candle) for candle in late])

    assert await engine.sweep() == 0
    await bench.run(engine, [closed(last)])

    [decision] = await decisions_of(bench)
    assert decision.open_time_ms == last.open_time_ms
    assert decision.windows[0].length == 120


async def test_candles_before_the_first_start_make_windows_not_decisions():
    bench = Bench()
    candles = falling(ENTRY + 3)
    await bench.keep([closed(candle) for candle in candles[:-1]])
    engine = bench.engine()
    await engine.start([(VENUE, "BTCUSDT"), (VENUE, "ETHUSDT")])
    assert await engine.sweep() == 0
    await bench.run(engine, [closed(candles[-1])])
    [decision] = await decisions_of(bench)
    assert decision.open_time_ms == candles[-1].open_time_ms


async def test_a_late_decision_is_stale_and_opens_nothing_but_exits_still_run():
    bench, engine, candles = await opened()
    bench.clock.now_ms += 3_600_000
    target = after(candles[-1], 199, 205, 198.9, 199)
    await bench.keep([closed(target)])
    await engine.handle_candles([closed(target)])
    [event] = await bench.published()
    assert event.signal.exit.reason is ExitReason.TAKE_PROFIT
    assert [gate.passed for gate in (await decisions_of(bench))[-1].gates] == [True, False, True]

    late = Bench()
    await late.keep([closed(candle) for candle in candles])
    late.clock.now_ms += 120_001
    await late.engine().handle_candles([closed(candle) for candle in candles])
    [decision] = await decisions_of(late)
    assert decision.action is Action.ENTER_LONG
    assert await late.published() == []


async def test_a_partial_candle_in_the_window_stops_entries():
    bench = Bench()
    candles = falling()
    candles[50] = replace(candles[50], quality=CandleQuality.PARTIAL, missing_minutes=1)
    await bench.run(bench.engine(), [closed(candle) for candle in candles])
    [decision] = await decisions_of(bench)
    assert decision.action is Action.ENTER_LONG
    assert not decision.gates[0].passed
    assert await bench.published() == []


@pytest.mark.parametrize(("direction", "opens"), [(Direction.SHORT, False), (Direction.LONG, True)])
async def test_a_binding_bias_stops_the_other_side(direction, opens):
    bench = Bench()
    engine = bench.engine()
    bias = MacroBias(
        base="BTC",
        quote="USDT",
        version=1,
        direction=direction,
        confidence=85.0,
        regime="trend",
        components={},
        published_at_ms=START_MS,
        effective_from_ms=START_MS,
        expires_at_ms=START_MS + 4 * 3_600_000,
    )
    await engine.handle_bias([MacroBiasUpdated(bias=bias), MacroBiasUpdated(bias=bias)])
    await bench.run(engine, [closed(candle) for candle in falling()])
    [decision] = await decisions_of(bench)
    assert decision.bias.startswith(f"{direction} 85 (binding")
    assert len(await bench.published()) == int(opens)


async def test_versions_that_arrive_while_it_runs_bind_as_after_a_restart():
    bias = MacroBias(
        base="BTC",
        quote="USDT",
        version=1,
        direction=Direction.SHORT,
        confidence=85.0,
        regime="neutral",
        components={},
        published_at_ms=START_MS,
        effective_from_ms=START_MS,
        expires_at_ms=START_MS + 4 * 3_600_000,
    )
    kept = replace(bias, version=3, confidence=75.0, effective_from_ms=START_MS + 60 * MINUTE_MS)
    late = replace(bias, version=2, confidence=95.0, effective_from_ms=START_MS + 30 * MINUTE_MS)
    candles = falling(ENTRY + 2, spike_at=ENTRY + 1)
    said = []
    for restarted in (False, True):
        bench = Bench()
        engine = bench.engine()
        await bench.run(
            engine, [closed(candle) for candle in candles[:ENTRY]]
        )  # the pair's versions are read meanwhile
        for version in (bias, kept, late, kept):
            await engine.handle_bias([MacroBiasUpdated(bias=version)])
        engine = bench.engine() if restarted else engine
        await engine.start([])
        await bench.run(engine, [closed(candle) for candle in candles[ENTRY:]])
        said.append([decision.bias for decision in await decisions_of(bench)])
        assert await bench.published() == []

    assert said[0] == said[1]
    assert said[0][-1] == "SHORT 75 (binding, version 3)"


async def test_no_second_signal_while_one_is_open_and_the_chain_goes_on_after_it():
    bench, engine, candles = await opened()
    first = (await bench.signals.all())[0].signal
    again = a_candle(candles[-1].close_time_ms, 198.8, volume=Decimal(20))
    await bench.run(engine, [closed(again)])
    assert (await decisions_of(bench))[-1].action is Action.ENTER_LONG
    assert await bench.published() == []

    stop = after(again, 198.8, 198.8, 190.0, 190.0, volume=Decimal(40))
    await bench.run(engine, [closed(stop)])  # ends the first, then the same candle opens the next
    ended, begun = await bench.published()
    assert (ended.signal.signal_id, ended.signal.exit.reason) == (first.signal_id, ExitReason.STOP_LOSS)
    assert isinstance(begun, SignalOpened)
    slot = (await SlotStore(bench.store).get_many([SLOT]))[SLOT]
    assert (slot.signal_id, slot.last_signal_id) == (begun.signal.signal_id, first.signal_id)
    assert begun.signal.prev_hash == slot.chain_hash != ""


@pytest.mark.parametrize(("on_opposite", "ends"), [("ignore", False), ("close", True)])
async def test_on_opposite(on_opposite, ends):
    # Levels far away, then a rise on high volume: a short entry against the open long.
    parameters = {"take_profit_pct": 50, "stop_loss_pct": 50}
    bench, engine, candles = await opened(
        strategies=[active_strategy("rsi_divergence", parameters=parameters, on_opposite=on_opposite)]
    )
    last = candles[-1]
    for number in range(30):
        last = a_candle(last.close_time_ms, last.close + 0.5, volume=Decimal(100 if number == 29 else 1))
        await bench.run(engine, [closed(last)])
    assert (await decisions_of(bench))[-1].action is Action.ENTER_SHORT
    events = await bench.published()
    if not ends:
        assert events == []
        return
    [event] = events
    assert (event.signal.exit.reason, event.signal.exit.price) == (ExitReason.REVERSED, last.close)
    await engine.handle_candles([closed(last)])
    assert await bench.published() == []


@pytest.mark.parametrize(
    ("prices", "reason", "resolution"),
    [
        ([199.0, 203.0, 190.0], ExitReason.TAKE_PROFIT, Resolution.TAPE),
        ([199.0, 190.0, 203.0], ExitReason.STOP_LOSS, Resolution.TAPE),
        (None, ExitReason.STOP_LOSS, Resolution.PESSIMISTIC),
    ],
)
async def test_the_tape_tells_which_level_came_first(prices, reason, resolution):
    bench, engine, candles = await opened()
    wide = after(candles[-1], 199.0, 203.0, 190.0, 199.0)
    if prices is not None:
        count = len(prices)
        piece = MinuteTrades.of_columns(
            {
                "trade_id": np.arange(count),
                "price": np.array(prices),
                "quantity_units": np.ones(count, dtype=np.int64),
                "traded_at_ms": wide.open_time_ms + np.arange(count),
                "taker_is_buyer": np.ones(count, dtype=np.bool_),
                "venue_sequence": np.arange(count),
                "tie_rank": np.zeros(count, dtype=np.int64),
            },
            exchange=VENUE,
            symbol="BTCUSDT",
            minute_ms=wide.open_time_ms,
            session="one",
            session_started_at_ms=START_MS,
            sequence=1,
            source=TradeSource.STREAM,
            price_scale=2,
            quantity_scale=0,
        )
        await bench.store.write(TapeStore(bench.store).writes_of([piece]))
    await bench.run(engine, [closed(wide)])
    [event] = await bench.published()
    assert (event.signal.exit.reason, event.signal.exit.resolution) == (reason, resolution)


async def test_a_five_minute_strategy_decides_on_five_minute_closes_and_exits_on_minutes():
    bench = Bench(strategies=[active_strategy("rsi_divergence", Timeframe.M5, max_age_candles=2)])
    engine = bench.engine()
    minutes = [a_candle(START_MS + i * MINUTE_MS, round(500 - i * 0.01, 2)) for i in range(600)]
    minutes[-1] = replace(minutes[-1], volume=Decimal(100))
    await bench.run(engine, with_five_minutes(minutes))
    assert [decision.open_time_ms for decision in await decisions_of(bench, Timeframe.M5)] == [
        START_MS + 595 * MINUTE_MS
    ]
    [event] = await bench.published()
    stop = after(minutes[-1], 494.0, 494.0, 480.0, 490.0)
    await bench.run(engine, [closed(stop)])
    [ended] = await bench.published()
    assert ended.signal.signal_id == event.signal.signal_id
    assert ended.signal.exit.closed_at_ms == stop.close_time_ms


async def test_a_correction_leaves_the_decision_adds_a_shadow_and_one_line():
    bench, engine, candles = await opened()
    quiet = replace(candles[-1], volume=Decimal(1), revision=0)
    await bench.candles.save([quiet], fence=None)
    event = corrected(replace(quiet, revision=2))
    for _ in range(2):
        await engine.handle_candles([event])
    first, shadow = await decisions_of(bench)
    assert (first.kind, shadow.kind) == (DecisionKind.FIRST, DecisionKind.SHADOW)
    assert (first.action, shadow.action) == (Action.ENTER_LONG, Action.NONE)
    assert shadow.windows[0].revisions == ((1, 119), (2, 1))
    one, again = await bench.published()
    assert isinstance(one, SignalProgressed)
    assert "would not have been made" in one.note
    assert one.event_id == again.event_id
    [record] = await bench.signals.all()
    assert record.signal.version == 2
    # The next Decision reads the corrected window.
    await bench.run(engine, [closed(a_candle(candles[-1].close_time_ms, 198.8))])
    assert (await decisions_of(bench))[-1].windows[0].revisions == ((1, 118), (2, 1), (1, 1))


async def test_a_correction_that_would_have_ended_the_signal_is_told_and_the_close_stays_final():
    bench, engine, candles = await opened()
    calm = after(candles[-1], 198.8, 198.9, 198.7, 198.8)
    await bench.run(engine, [closed(calm)])
    target = replace(calm, high=205.0, revision=2)
    await bench.candles.save([target], fence=None)
    await engine.handle_candles([corrected(target)])
    [event] = await bench.published()
    assert "would have ended there" in event.note
    stop = after(calm, 198.8, 198.8, 190.0, 198.8)
    await bench.run(engine, [closed(stop)])
    [ended] = await bench.published()
    assert isinstance(ended, SignalClosed)
    healed = replace(stop, low=198.8, revision=2)
    await bench.candles.save([healed], fence=None)
    await engine.handle_candles([corrected(healed)])
    [note] = await bench.published()
    assert "would not have ended there" in note.note
    assert note.signal.exit == ended.signal.exit


async def test_a_correction_that_overtakes_its_candle_waits_for_it():
    bench = Bench()
    engine = bench.engine()
    candles = falling()
    await bench.run(engine, [closed(candle) for candle in candles[:-1]])
    await bench.keep([closed(candles[-1])])
    quiet = replace(candles[-1], volume=Decimal(1), revision=2)
    await bench.candles.save([quiet], fence=None)
    await engine.handle_candles([corrected(quiet)])
    assert await decisions_of(bench) == []
    await engine.handle_candles([closed(candles[-1])])
    first, shadow = await decisions_of(bench)
    assert (first.action, shadow.action) == (Action.ENTER_LONG, Action.NONE)


async def test_a_correction_that_overtook_its_candle_survives_a_kill_before_the_candle():
    bench = Bench()
    engine = bench.engine()
    candles = falling()
    await bench.run(engine, [closed(candle) for candle in candles[:-1]])
    await bench.keep([closed(candles[-1])])
    quiet = replace(candles[-1], volume=Decimal(1), revision=2)
    await bench.candles.save([quiet], fence=None)
    await engine.handle_candles([corrected(quiet)])  # acknowledged; then the process is killed

    restarted = bench.engine()
    await restarted.start([(VENUE, "BTCUSDT")])
    await restarted.handle_candles([closed(candles[-1])])

    first, shadow = await decisions_of(bench)
    assert (first.action, shadow.action) == (Action.ENTER_LONG, Action.NONE)
    assert [type(event) for event in await bench.published()] == [SignalOpened, SignalProgressed]


async def test_a_correction_lost_between_the_candle_and_its_shadow_is_found_at_the_next_start():
    bench = Bench()
    candles = falling()
    await bench.run(bench.engine(), [closed(candle) for candle in candles])
    await bench.candles.save([replace(candles[-1], volume=Decimal(1), revision=2)], fence=None)

    for _ in range(2):
        await bench.engine().start([(VENUE, "BTCUSDT")])

    first, shadow = await decisions_of(bench)
    assert (first.action, shadow.action) == (Action.ENTER_LONG, Action.NONE)
    opened, *notes = await bench.published()
    assert isinstance(opened, SignalOpened)
    assert len({note.event_id for note in notes}) == 1


async def test_a_waiting_correction_outlives_an_error_while_it_is_handled(monkeypatch):
    bench = Bench()
    engine = bench.engine()
    candles = falling()
    await bench.run(engine, [closed(candle) for candle in candles[:-1]])
    await bench.keep([closed(candles[-1])])
    quiet = replace(candles[-1], volume=Decimal(1), revision=2)
    await bench.candles.save([quiet], fence=None)
    await engine.handle_candles([corrected(quiet)])

    async def fail(*_, **__):
        raise TransientError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(DecisionStore, "save_shadows", fail)
        with pytest.raises(TransientError):
            await engine.handle_candles([closed(candles[-1])])
    await engine.handle_candles([closed(candles[-1])])

    assert [decision.action for decision in await decisions_of(bench)] == [Action.ENTER_LONG, Action.NONE]


async def test_a_former_owner_is_refused():
    bench = Bench()
    candles = falling()
    old, new = bench.engine(fence=1), bench.engine(fence=2)
    await bench.run(old, [closed(candle) for candle in candles[:60]])
    await bench.run(new, [closed(candle) for candle in candles[60:80]])
    with pytest.raises(FencedError):
        await old.handle_candles([closed(candles[80])])
    await bench.run(new, [closed(candle) for candle in candles[80:]])
    assert len(await bench.published()) == 1


def test_an_engine_needs_strategies_with_unique_names():
    for strategies in ([], [active_strategy("rsi_divergence"), active_strategy("rsi_divergence", Timeframe.M5)]):
        with pytest.raises(InvalidValueError):
            Bench(strategies=strategies).engine()
