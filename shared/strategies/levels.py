"""Take-profit and stop as a share of the entry price."""

from typing import Final

from shared.domain.bias import Direction

SIGNIFICANT_DIGITS: Final = 12


def percent_levels(entry: float, side: Direction, take_profit_pct: float, stop_loss_pct: float) -> tuple[float, float]:
    """(take profit, stop loss) around the entry, in its currency: long at 100 with 1.5 and 0.7 gives 101.5 and 99.3.

    Rounded to 12 significant digits: far finer than any price step, and free of the last bits' noise
    (100 * (1 - 0.007) is 99.3, not 99.30000000000001).
    """
    sign = 1 if side is Direction.LONG else -1
    up = entry * (1 + sign * take_profit_pct / 100)
    down = entry * (1 - sign * stop_loss_pct / 100)
    return _rounded(up), _rounded(down)


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
