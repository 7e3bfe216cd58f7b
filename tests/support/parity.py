"""Every strategy on recorded candles: what the engine makes of them live and in replay, and what a backtest says."""

from pathlib import Path

import msgspec

from cli.replay.candle_reader import CandleFile, closes, read_candles
from cli.replay.driver import Pipeline
from research.evaluation import all_decisions
from research.history import history_of
from research.simulation import Simulation
from services.logic_engine.handlers import LogicEngine
from shared.bus.port import Bus
from shared.deciding.active import ActiveStrategy, active_strategy
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import EventClock
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.store.signals import SignalStore

SIMPLE = ("ema_cross", "rsi_momentum", "bollinger", "ema_atr", "donchian", "supertrend")
MEMBERS = [{"kind": "donchian", "weight": 1.0}, {"kind": "supertrend", "weight": 1.0}]
LEVELS = {"take_profit_pct": 0.6, "stop_loss_pct": 0.4}


def every_strategy() -> list[ActiveStrategy]:
    """One of each kind, on timeframes that some days of minutes can make, with both ways to treat an opposite entry."""
    found = [
        active_strategy(name, Timeframe.M5, LEVELS, on_opposite="close" if number % 2 else "ignore", max_age_candles=48)
        for number, name in enumerate(SIMPLE)
    ]
    models = {"score_min": 50.0, "signals_per_day_max": 3}
    return [
        *found,
        active_strategy("rsi_divergence", Timeframe.M1, max_age_candles=240),
        active_strategy("macd_adx", Timeframe.M5, on_opposite="close", max_age_candles=None),
        active_strategy("macd_unified", Timeframe.M15),
        active_strategy("mtf_score", Timeframe.M15, LEVELS),
        active_strategy("manager", Timeframe.M5, {"members": MEMBERS, "confidence_min": 40.0}, on_opposite="close"),
        active_strategy("continuation", Timeframe.M5, {**models, "distance_pct": 0.2, "change_pct": 0.3}),
        active_strategy("reversal", Timeframe.M5, models),
    ]


def recorded(folder: Path, name: str, target: Path, *, skip: int, count: int) -> CandleFile:
    """Some rows of a recorded file."""
    import gzip

    with gzip.open(folder / name, "rt", encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    target.write_text("\n".join([header, *lines[skip : skip + count]]) + "\n", encoding="utf-8")
    return read_candles(target, exchange="binance-spot", symbol="BTCUSDT")


async def stored(
    store: Store, strategies: list[ActiveStrategy], symbol: str = "BTCUSDT"
) -> tuple[list[bytes], list[bytes]]:
    """Decisions by strategy and time, signals by opening, as bytes."""
    decisions, reads = [], DecisionStore(store)
    for active in strategies:
        series = (active.name, "binance-spot", symbol, active.timeframe)
        decisions += await reads.between(*series, 0, EPOCH_MS_MAX)
    signals = [record.signal for record in await SignalStore(store).all()]
    signals.sort(key=lambda signal: (signal.opened_at_ms, signal.signal_id))
    return [msgspec.json.encode(one) for one in decisions], [msgspec.json.encode(one) for one in signals]


async def live(store: Store, bus: Bus, file: CandleFile, strategies: list[ActiveStrategy], *, minutes: int) -> None:
    """The engine beside a broker: older candles are in the store, the last minutes are published, pulled, handled."""
    waves = list(closes([file]))
    candles = CandleStore(store)
    older = [candle for events in waves[:-minutes] for event in events for candle in event.candles]
    for begin in range(0, len(older), 2_000):
        await candles.fill(older[begin : begin + 2_000], fence=None)
    clock = EventClock()
    clock.now_ms = waves[-minutes - 1][0].close_time_ms
    engine = LogicEngine(store=store, bus=bus, clock=clock, strategies=strategies)
    await engine.start([("binance-spot", "BTCUSDT")])
    for events in waves[-minutes:]:
        clock.now_ms = events[0].close_time_ms + 900  # as late as a watermark
        await candles.save([candle for event in events for candle in event.candles], fence=None)
        await bus.publish("candles-closed", list(events))
        due = {event.close_time_ms for event in events}
        while due:
            deliveries = await bus.pull("logic-engine--candles-closed", max_messages=100, wait_seconds=1.0)
            pulled = [item.event for item in deliveries if isinstance(item.event, CandlesClosed)]
            if pulled:
                await engine.handle_candles(pulled)
                await bus.acknowledge(deliveries)
            due -= {event.close_time_ms for event in pulled}


async def replayed(file: CandleFile, strategies: list[ActiveStrategy]) -> Pipeline:
    """What `cst replay --candles` runs."""
    pipeline = Pipeline(strategies, (), file.timeframe)
    await pipeline.run_closes(closes([file]), lambda: None)
    return pipeline


def backtested(
    file: CandleFile, strategies: list[ActiveStrategy], *, minutes: int = 0
) -> tuple[list[bytes], list[bytes]]:
    """Every Decision and signal of a backtest, as `stored` gives those of an engine; of the last minutes only."""
    begins_ms = file.candles[-minutes].open_time_ms if minutes else 0
    history = history_of(file.candles, [need for active in strategies for need in active.strategy.needs])
    by_close: dict[int, list] = {}
    for active in strategies:
        for decision in all_decisions(active, history):
            if decision.close_time_ms > begins_ms:
                by_close.setdefault(decision.close_time_ms, []).append(decision)
    simulation = Simulation(strategies, history)
    judged = [decision for close_ms in sorted(by_close) for decision in simulation.step(by_close[close_ms])]
    simulation.finish()
    order = {active.name: number for number, active in enumerate(strategies)}
    judged.sort(key=lambda decision: (order[decision.strategy], decision.open_time_ms))
    signals = sorted(simulation.signals, key=lambda signal: (signal.opened_at_ms, signal.signal_id))
    return [msgspec.json.encode(one) for one in judged], [msgspec.json.encode(one) for one in signals]
