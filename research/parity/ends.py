"""The end of a signal, found again on the stored 1m candles."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.candles import Candle
from shared.domain.fold import ordered_trades
from shared.domain.signals import Signal, SignalExit, SignalStatus
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.portfolio.signal_life import Life, reversal_exit
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.tape import TapeStore


async def end_again(
    signal: Signal, candles: CandleStore, tape: TapeStore, decisions: DecisionStore
) -> SignalExit | None:
    """As it was live, or on the newest revisions; None where a minute of its life is no longer stored.

    An end is decided on the revision that was announced first, which a later correction may have replaced: where both
    differ, the one that agrees with what was recorded is the one that was seen.
    """
    recorded = signal.exit
    if recorded is None:
        return None
    opened = msgspec.structs.replace(signal, status=SignalStatus.OPEN, exit=None)
    place = (signal.exchange, signal.symbol)
    newest = await candles.between(*place, Timeframe.M1, signal.opened_at_ms, recorded.closed_at_ms)
    if len(newest) * MINUTE_MS != recorded.closed_at_ms - signal.opened_at_ms:
        return None
    found = await _end(opened, newest, tape, decisions)
    if found == recorded or all(candle.revision == 1 for candle in newest):
        return found
    first = [
        candle if candle.revision == 1 else (await candles.revisions(*place, Timeframe.M1, candle.open_time_ms))[0]
        for candle in newest
    ]
    before = await _end(opened, first, tape, decisions)
    return before if before == recorded else found


async def _end(
    signal: Signal, minutes: Sequence[Candle], tape: TapeStore, decisions: DecisionStore
) -> SignalExit | None:
    life = Life(signal)
    for candle in minutes:
        prices = await trade_prices(tape, candle) if life.needs_tape(candle) else None
        end = life.end_on(candle, prices)
        if end is not None:
            return end
    last = minutes[-1]
    own = (signal.strategy, signal.exchange, signal.symbol, signal.timeframe)
    decision = await decisions.get(*own, last.close_time_ms - signal.timeframe.duration_ms)
    return reversal_exit(signal, last, decision.action) if decision is not None else None


async def trade_prices(tape: TapeStore, candle: Candle) -> npt.NDArray[np.float64] | None:
    """Prices of the minute's trades in market order; None where the tape holds none (any more)."""
    minute_ms = candle.open_time_ms
    found = await tape.load(candle.exchange, candle.symbol, minute_ms, minute_ms + MINUTE_MS)
    pieces = found[minute_ms].counted() if minute_ms in found else []
    return ordered_trades(pieces)["price"] if pieces else None
