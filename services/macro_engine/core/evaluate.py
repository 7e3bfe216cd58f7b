"""What may be read at an instant, and whether it may be believed: nothing unclosed, nothing stale, nothing contradictory."""

from typing import Final

import msgspec
import numpy as np

from services.macro_engine.core.bias_score import WINDOW_4H, WINDOW_15M, BiasScore, score_bias
from services.macro_engine.core.candles import CLOSE, HIGH, LOW, TIME, Candles
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe

STEP_MS: Final = Timeframe.M15.duration_ms
CHECK_15M: Final = 8  # newest 15m candles compared with their 5m ones
_TOLERANCE: Final = 1e-9


class PairCandles(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one market; five is None where the source has nothing shorter than 15m to check with."""

    five: Candles | None
    fifteen: Candles
    four_hours: Candles


def as_of(at_ms: int) -> int:
    """The newest 15m close at or before the instant: what an evaluation is named by."""
    return at_ms - at_ms % STEP_MS


def evaluate(candles: PairCandles, as_of_ms: int, *, age_ms_max: int, candle_decides: bool) -> BiasScore:
    """The score on what had closed by then; a candle that closes later, a 4h one above all, is never read.

    age_ms_max: how old the newest 15m close may be. Raises InvalidValueError saying what is empty, stale, short or wrong.
    """
    fifteen = candles.fifteen.closed_at(as_of_ms)
    newest_ms = fifteen.newest_close_ms
    if not fifteen.size:
        raise InvalidValueError("empty: no closed 15m candle")
    if as_of_ms - newest_ms > age_ms_max:
        late_min = (as_of_ms - newest_ms) // 60_000
        raise InvalidValueError(f"stale: the newest 15m candle closed {late_min} min before, at {newest_ms}")
    four_hours = candles.four_hours.closed_at(newest_ms)
    due_ms = newest_ms - newest_ms % Timeframe.H4.duration_ms
    if four_hours.newest_close_ms != due_ms:
        raise InvalidValueError(f"stale: the 4h candle that closed at {due_ms} is missing")
    if candles.five is not None:
        _check_against_five(fifteen.newest(CHECK_15M), candles.five)
    return score_bias(fifteen.newest(WINDOW_15M), four_hours.newest(WINDOW_4H), candle_decides=candle_decides)


def _check_against_five(fifteen: Candles, five: Candles) -> None:
    """Each 15m candle must be what its three 5m ones make, where they are there; the newest one's must be there.

    An answer in another interval than the asked one (the defect of SYSTEMS 3.5) ends here and not in a direction.
    """
    duration_ms = fifteen.timeframe.duration_ms
    for number, row in enumerate(fifteen.table, start=1):
        first, end = np.searchsorted(five.table[:, TIME], [row[TIME], row[TIME] + duration_ms])
        parts = five.table[first:end]
        if len(parts) * five.timeframe.duration_ms != duration_ms:
            if number == fifteen.size:
                raise InvalidValueError(f"stale: the 5m candles of the 15m one at {int(row[TIME])} are missing")
            continue
        made = (parts[:, HIGH].max(), parts[:, LOW].min(), parts[-1, CLOSE])
        if any(
            abs(ours - theirs) > _TOLERANCE * theirs for ours, theirs in zip(made, row[[HIGH, LOW, CLOSE]], strict=True)
        ):
            raise InvalidValueError(f"contradiction: the 15m candle at {int(row[TIME])} is not what its 5m ones make")
