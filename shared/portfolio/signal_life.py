"""The life of a signal from its entry to its one, final end. Pure: candles and, where needed, ordered trades in.

On each 1m candle after the entry, oldest first: a gap through a level fills at the open; one level inside the candle fills
at the level; both inside it: the tape decides, without a tape the stop (pessimistic); else, when the age is reached, or the
time exit with too little gain, the close (expired). Where a stop trails, the best price of the candles before moves it first.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.bias import Direction
from shared.domain.candles import Candle
from shared.domain.checks import require
from shared.domain.decisions import Action
from shared.domain.signals import ExitReason, Resolution, Signal, SignalExit, SignalStatus

PNL_DECIMALS: Final = 10  # far finer than any price step; drops the last bits' noise

_ENCODER: Final = msgspec.json.Encoder()
_Level = tuple[ExitReason, float]


def stop_in_force(signal: Signal, best_price: float | None = None) -> float | None:
    """The stop, or the trailing one where that is nearer. best_price: the best of the candles between entry and this one."""
    if signal.trail_pct is None or best_price is None:
        return signal.stop_loss
    long = signal.side is Direction.LONG
    trailing = best_price * (1 - signal.trail_pct / 100 if long else 1 + signal.trail_pct / 100)
    if signal.stop_loss is None:
        return trailing
    return max(signal.stop_loss, trailing) if long else min(signal.stop_loss, trailing)


class Life:
    """A signal followed candle by candle from its entry on; knows the best price so far, for a stop that trails.

    best_price: of the candles between the entry and the next one that is shown, where they were not.
    """

    def __init__(self, signal: Signal, best_price: float | None = None) -> None:
        self._signal = signal
        self._best = best_price

    def needs_tape(self, candle: Candle) -> bool:
        """Whether only the candle's trades can tell which level came first."""
        return needs_tape(self._signal, candle, self._best)

    def end_on(self, candle: Candle, ordered_prices: npt.NDArray[np.float64] | None = None) -> SignalExit | None:
        """The end on this candle, as exit_on_candle has it; None where it lives on, and the best price moves on with it."""
        end = exit_on_candle(self._signal, candle, ordered_prices, best_price=self._best)
        if end is None and self._signal.trail_pct is not None:
            reached = best_of(self._signal, [candle])
            known = [price for price in (self._best, reached) if price is not None]
            best = max if self._signal.side is Direction.LONG else min
            self._best = best(known) if known else None
        return end


def best_of(signal: Signal, candles: Sequence[Candle]) -> float | None:
    """The best price of the candles after the entry, for a trailing stop; None without any."""
    after = [candle for candle in candles if candle.open_time_ms >= signal.opened_at_ms]
    if not after:
        return None
    return max(c.high for c in after) if signal.side is Direction.LONG else min(c.low for c in after)


def needs_tape(signal: Signal, candle: Candle, best_price: float | None = None) -> bool:
    """Whether both levels lie inside the candle, so that only its trades can tell which came first."""
    stop = stop_in_force(signal, best_price)
    if not _concerns(signal, candle) or _gap(signal, candle.open, stop) is not None:
        return False
    return len(_levels_inside(signal, candle, stop)) > 1


def exit_on_candle(
    signal: Signal,
    candle: Candle,
    ordered_prices: npt.NDArray[np.float64] | None = None,
    *,
    best_price: float | None = None,
) -> SignalExit | None:
    """The signal's end on this 1m candle; None when it lives on, or the candle lies before its entry.

    ordered_prices: the candle's trade prices in market order, wanted where `needs_tape`; without them (or when they touch
                    neither level) the stop is taken, as `pessimistic`.
    best_price:     of the candles before this one, for a stop that trails (see stop_in_force).
    """
    stop = stop_in_force(signal, best_price)
    if not _concerns(signal, candle):
        return None
    gap = _gap(signal, candle.open, stop)
    if gap is not None:
        return _exit(signal, candle, gap, candle.open, Resolution.CANDLE)
    inside = _levels_inside(signal, candle, stop)
    if len(inside) == 1:
        return _exit(signal, candle, *inside[0], Resolution.CANDLE)
    if inside:
        return _exit_between(signal, candle, inside, ordered_prices)
    if _expires(signal, candle) or _lingers(signal, candle):
        return _exit(signal, candle, ExitReason.EXPIRED, candle.close, Resolution.CANDLE)
    return None


def reversal_exit(signal: Signal, candle: Candle, action: Action) -> SignalExit | None:
    """The end as `reversed` at the candle's close, where the action is an exit or an entry on the other side."""
    opposite = action.side is not None and action.side is not signal.side
    if action is not Action.EXIT and not opposite:
        return None
    return _exit(signal, candle, ExitReason.REVERSED, candle.close, Resolution.CANDLE)


def closed(signal: Signal, end: SignalExit) -> Signal:
    """The signal, ended, as its next version. A close is final: raises InvalidValueError for a closed one."""
    require(signal.status is SignalStatus.OPEN, "only an open signal can end", signal.status, signal.signal_id)
    return msgspec.structs.replace(signal, status=SignalStatus.CLOSED, exit=end, version=signal.version + 1)


def chain_hash(signal: Signal) -> str:
    """What the next signal of the slot carries as prev_hash: over the closed snapshot, its own prev_hash included."""
    return hashlib.sha256(_ENCODER.encode(signal)).hexdigest()[:32]


def pnl_pct(side: Direction, entry_price: float, exit_price: float) -> float:
    """Gain in percent of the entry, without costs: long 100 -> 101.5 is 1.5, short 100 -> 100.7 is -0.7."""
    sign = 1 if side is Direction.LONG else -1
    return round(sign * (exit_price - entry_price) / entry_price * 100, PNL_DECIMALS) + 0.0


def _concerns(signal: Signal, candle: Candle) -> bool:
    return signal.status is SignalStatus.OPEN and candle.open_time_ms >= signal.opened_at_ms


def _gap(signal: Signal, open_price: float, stop: float | None) -> ExitReason | None:
    """The level that the candle's open already lies on or beyond."""
    sign = 1 if signal.side is Direction.LONG else -1
    if stop is not None and (open_price - stop) * sign <= 0:
        return ExitReason.STOP_LOSS
    if signal.take_profit is not None and (open_price - signal.take_profit) * sign >= 0:
        return ExitReason.TAKE_PROFIT
    return None


def _levels_inside(signal: Signal, candle: Candle, stop: float | None) -> list[_Level]:
    """The levels the candle's range reaches, the stop first."""
    levels = ((ExitReason.STOP_LOSS, stop), (ExitReason.TAKE_PROFIT, signal.take_profit))
    return [(reason, price) for reason, price in levels if price is not None and candle.low <= price <= candle.high]


def _exit_between(
    signal: Signal, candle: Candle, inside: list[_Level], prices: npt.NDArray[np.float64] | None
) -> SignalExit:
    """Both levels lie in the candle: the first trade at or beyond one of them decides."""
    (_, stop), (_, target) = inside
    sign = 1 if signal.side is Direction.LONG else -1
    if prices is not None:
        beyond = np.flatnonzero(((prices - stop) * sign <= 0) | ((prices - target) * sign >= 0))
        if len(beyond):
            at_stop = (float(prices[beyond[0]]) - stop) * sign <= 0
            return _exit(signal, candle, *inside[0 if at_stop else 1], Resolution.TAPE)
    return _exit(signal, candle, *inside[0], Resolution.PESSIMISTIC)


def _expires(signal: Signal, candle: Candle) -> bool:
    if signal.max_age_candles is None:
        return False
    return candle.close_time_ms >= signal.opened_at_ms + signal.max_age_candles * signal.timeframe.duration_ms


def _lingers(signal: Signal, candle: Candle) -> bool:
    """Whether the time exit is due: long open, and with less gain than it asks for."""
    if signal.time_exit_ms is None or candle.close_time_ms < signal.opened_at_ms + signal.time_exit_ms:
        return False
    return pnl_pct(signal.side, signal.entry_price, candle.close) < signal.time_exit_below_pct


def _exit(signal: Signal, candle: Candle, reason: ExitReason, price: float, resolution: Resolution) -> SignalExit:
    return SignalExit(
        reason=reason,
        price=price,
        closed_at_ms=candle.close_time_ms,
        pnl_pct=pnl_pct(signal.side, signal.entry_price, price),
        resolution=resolution,
    )
