"""What a corrected candle would have changed: which Decisions read it, which exits it touches, and how that is told."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import numpy.typing as npt

from shared.deciding.decide import verdict
from shared.domain.candles import Candle
from shared.domain.decisions import Action, Decision
from shared.domain.signals import ExitReason, Signal, SignalExit, SignalStatus
from shared.domain.timeframe import Timeframe
from shared.portfolio.signal_life import exit_on_candle, reversal_exit

AFFECTED_MAX = 500


def affected_closes(candle: Candle, own: Timeframe, *, length: int, handled_through_ms: int) -> range:
    """Closes of the strategy's timeframe whose window of the candle's timeframe holds the candle, up to the last handled.

    At most 500, the oldest ones: those nearest to the correction.
    """
    step = own.duration_ms
    first = own.open_time_ms(candle.close_time_ms + step - 1)
    last = min(handled_through_ms, candle.open_time_ms + (length + 1) * candle.timeframe.duration_ms - 1)
    return range(first, last + 1, step)[:AFFECTED_MAX]


def corrections_in(decision: Decision) -> int:
    """How many corrections the windows have seen: rises with each, so that it numbers the shadows of a Decision."""
    return sum((revision - 1) * count for window in decision.windows for revision, count in window.revisions)


def entry_note(first: Decision, shadow: Decision, candle: Candle) -> str | None:
    """The line for the signal that the first Decision opened; None where the correction changes nothing for it."""
    if first.action.side is None or verdict(first) == verdict(shadow):
        return None
    what = f"would have been {shadow.trigger} {shadow.action.replace('_', ' ')}" if shadow.action.side else ""
    return f"{_named(candle)} was corrected: the entry {what or 'would not have been made'}."


def exit_note(signal: Signal, candle: Candle, prices: npt.NDArray[np.float64] | None = None) -> str | None:
    """The line for a signal whose life held the corrected 1m candle; None where its end would be the same.

    Only this candle can differ, so only it is judged again: a life that went on over it, or ended on it. (Not so where a
    stop trails: see life_note.)
    """
    before_entry = candle.open_time_ms < signal.opened_at_ms
    after_end = signal.exit is not None and candle.close_time_ms > signal.exit.closed_at_ms
    if before_entry or after_end:
        return None
    again = exit_on_candle(reopened(signal), candle, prices)
    was = signal.exit if signal.exit is not None and signal.exit.closed_at_ms == candle.close_time_ms else None
    if again is None and was is not None and was.reason is ExitReason.REVERSED:
        again = reversal_exit(reopened(signal), candle, Action.EXIT)  # whether it still reverses, the shadow says
    if _same_end(again, was):
        return None
    if again is None:
        return f"{_named(candle)} was corrected: the signal would not have ended there."
    return f"{_named(candle)} was corrected: the signal would have ended there at {again.price:g} ({again.reason})."


def life_note(signal: Signal, candle: Candle, again: SignalExit | None) -> str | None:
    """The line for a signal whose stop trails: a candle moves it for all that follow. again: its end on the candles as they are now."""
    was = signal.exit
    if _same_end(again, was) and (again is None or was is None or again.closed_at_ms == was.closed_at_ms):
        return None
    if again is None:
        if was is None or was.reason is ExitReason.REVERSED:
            return None
        return f"{_named(candle)} was corrected: the signal would not have ended at {was.price:g} ({was.reason})."
    at = datetime.fromtimestamp(again.closed_at_ms / 1000, tz=UTC)
    when = f"at {at:%Y-%m-%d %H:%M} UTC, at {again.price:g} ({again.reason})"
    return f"{_named(candle)} was corrected: the signal would have ended {when}."


def reopened(signal: Signal) -> Signal:
    """The signal as it was before its end."""
    return msgspec.structs.replace(signal, status=SignalStatus.OPEN, exit=None)


def _same_end(one: SignalExit | None, other: SignalExit | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.reason, one.price) == (other.reason, other.price)


def _named(candle: Candle) -> str:
    at = datetime.fromtimestamp(candle.open_time_ms / 1000, tz=UTC)
    return f"Candle {candle.timeframe} {at:%Y-%m-%d %H:%M} UTC"
