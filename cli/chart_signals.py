"""A strategy's newest entry or alert on candles from a file, followed to its end: what `cst chart --candles --strategy` shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from research.evaluation import evaluate
from research.history import History, history_of
from research.simulation import Simulation
from services.logic_engine.configured import configured
from shared.deciding.active import ActiveStrategy, active_strategy
from shared.deciding.opening import decimals_seen, opened_signal
from shared.domain.candle_runs import with_roll_ups
from shared.domain.candles import Candle
from shared.domain.errors import PermanentError
from shared.domain.events import AlertRaised
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.portfolio.signal_life import Life, closed
from shared.runtime.config import load_config

BARS_READ: Final = 700  # own candles before --at, besides those that its first window reads
_FOLLOWED: Final = 120  # candles after an entry that a picture can show


class Told(NamedTuple):
    """The newest entry as a signal, or the alerts of the newest close that raised some; and the strategy's own candles."""

    active: ActiveStrategy
    candles: list[Candle]
    parameters: Mapping[str, object]
    signal: Signal | None
    alerts: Sequence[AlertRaised]


def strategy_of(name: str, timeframe: Timeframe, config: Path | None) -> ActiveStrategy:
    """As the configuration has the strategy of that name; without one, with its defaults, on the candles' own timeframe."""
    if config is None:
        return active_strategy(name, timeframe)
    for item in load_config(config).strategies:
        if item.name == name:
            return configured(item)
    raise PermanentError(f"--strategy must be a name in {config}, was {name!r}")


def candles_wanted(active: ActiveStrategy, base: Timeframe) -> int:
    """How many candles of the file cover its windows and BARS_READ candles of its own."""
    longest_ms = max(need.length * need.timeframe.duration_ms for need in active.strategy.needs)
    return BARS_READ + -(-(longest_ms + (BARS_READ * active.timeframe.duration_ms)) // base.duration_ms)


def newest_told(active: ActiveStrategy, candles: Sequence[Candle]) -> Told:
    """The newest entry that has room for what followed, else the newest of all; the same of alerts, for what raises them.

    Exits are decided on the candles given, one after the other, as on 1m candles. Raises PermanentError where the candles do
    not fill a window, or the strategy says nothing in them.
    """
    history = history_of(candles, active.strategy.needs)
    own = [
        one for closing in with_roll_ups(candles, revision=1) for one in closing if one.timeframe is active.timeframe
    ]
    evaluation = evaluate(active, history)
    if not len(evaluation.closes_ms):
        needs = " and ".join(
            f"{need.length} of {need.timeframe}" for need in active.strategy.needs if not need.optional
        )
        raise PermanentError(
            f"{active.name} reads {needs} in a row, was {len(own)} ({history.symbol} {active.timeframe.value})"
        )
    if active.strategy.alert_rules:
        alerts = Simulation([active], history).run({active.name: evaluation}).alerts
        newest = _with_room([alert.candle_close_time_ms for alert in alerts], own, active)
        raised = [alert for alert in alerts if alert.candle_close_time_ms == newest]
        return Told(active, own, active.parameters(history.symbol), None, raised)
    entries = {at_ms: one for at_ms, one in evaluation.decisions.items() if one.action.side is not None}
    decision = entries[_with_room(list(entries), own, active)]
    decimals = decimals_seen([candle.close for candle in own])
    signal = opened_signal(decision, active, prev_hash="", price_decimals=decimals)
    return Told(active, own, decision.parameters, _followed(signal, history), ())


def _with_room(closes_ms: Sequence[int], own: Sequence[Candle], active: ActiveStrategy) -> int:
    if not closes_ms:
        raise PermanentError(
            f"{active.name} enters nowhere in the last {len(own)} candles of {own[-1].symbol}: choose --at"
        )
    latest_ms = own[-1].close_time_ms - _FOLLOWED // 4 * active.timeframe.duration_ms
    return max([close_ms for close_ms in closes_ms if close_ms <= latest_ms] or closes_ms)


def _followed(signal: Signal, history: History) -> Signal:
    life = Life(signal)
    for candle in history.candles:
        if (end := life.end_on(candle)) is not None:
            return closed(signal, end)
    return signal
