"""A strategy's newest entry on candles from a file, followed to its end: what `cst chart --candles --strategy` shows."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shared.deciding.active import ActiveStrategy, active_strategy
from shared.deciding.decide import Moment, decide
from shared.deciding.opening import decimals_seen, opened_signal
from shared.domain.bias import NO_BIAS
from shared.domain.candles import Candle
from shared.domain.decisions import Decision
from shared.domain.errors import PermanentError
from shared.domain.signals import Signal
from shared.portfolio.signal_life import closed, exit_on_candle
from shared.strategies.windows import consecutive_tail, windows_of_candles

_FOLLOWED: Final = 120  # candles after an entry that a picture can show


def newest_signal(strategy: str, candles: Sequence[Candle]) -> tuple[Signal, Mapping[str, object]]:
    """The newest entry that has room for what followed, else the newest of all, and the strategy's parameters.

    Exits are decided on the candles given, one after the other, as on 1m candles. Raises PermanentError where the strategy
    reads more than these candles or enters nowhere in them.
    """
    timeframe = candles[0].timeframe
    active = active_strategy(strategy, timeframe)
    needs = active.strategy.needs
    if len(needs) > 1:
        others = ", ".join(need.timeframe.value for need in needs[1:])
        raise PermanentError(f"{strategy} also reads {others}: replay the file, then name the signal's id")
    run = consecutive_tail(candles, timeframe)
    if len(run) < needs[0].length:
        raise PermanentError(
            f"{strategy} reads {needs[0].length} candles in a row, was {len(run)} ({candles[-1].symbol} {timeframe.value})"
        )
    entries = [decision for decision in _decisions(active, run) if decision.action.side is not None]
    if not entries:
        raise PermanentError(
            f"{strategy} enters nowhere in the last {len(run)} candles of {run[-1].symbol}: choose --at"
        )
    end_ms = run[-1].close_time_ms
    roomy = [d for d in entries if d.close_time_ms + _FOLLOWED // 4 * timeframe.duration_ms <= end_ms]
    decision = (roomy or entries)[-1]
    signal = opened_signal(
        decision, active, prev_hash="", price_decimals=decimals_seen([candle.close for candle in run])
    )
    return _followed(signal, run), decision.parameters


def _decisions(active: ActiveStrategy, run: Sequence[Candle]) -> list[Decision]:
    """The Decision on every candle that ends a whole window."""
    need = active.strategy.needs[0]
    windows = windows_of_candles(run, need.length)
    series = [(run[0].exchange, run[0].symbol)] * len(windows.records)
    close_ms = run[-1].close_time_ms
    moment = Moment(close_time_ms=close_ms, market_ms=close_ms, entry_freshness_ms=0)
    made = decide(active, series, {need.timeframe: windows}, [NO_BIAS] * len(series), moment)
    ends = run[need.length - 1 :]
    return [
        msgspec.structs.replace(decision, open_time_ms=candle.open_time_ms)
        for decision, candle in zip(made, ends, strict=True)
    ]


def _followed(signal: Signal, run: Sequence[Candle]) -> Signal:
    for candle in run:
        if (end := exit_on_candle(signal, candle)) is not None:
            return closed(signal, end)
    return signal
