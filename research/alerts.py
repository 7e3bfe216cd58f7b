"""What alerts were followed by: forward returns at some candles, against random times; how many came, and on which days."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from research.history import History, IntArray
from shared.domain.bias import Direction
from shared.domain.events import AlertRaised
from shared.domain.timeframe import DAY_MS, Timeframe

HORIZONS: Final = (1, 4, 12, 24)
_DRAWS: Final = 2_000
_SEED: Final = 20261120


def alert_study(
    alerts: Sequence[AlertRaised], history: History, timeframe: Timeframe, closes_ms: IntArray
) -> dict[str, Any]:
    """By alert key: count, and per horizon the mean return in its direction, that of random times, and a p-value.

    closes_ms: candles on which an alert could have come; random times are drawn from them. An alert without a side counts as long.
    """
    own = history.series[timeframe]
    close = own.values[3]
    possible = np.searchsorted(own.close_time_ms, closes_ms)
    by_key: dict[str, list[AlertRaised]] = {}
    for alert in alerts:
        by_key.setdefault(alert.alert, []).append(alert)
    days = max(1, round((int(closes_ms[-1]) - int(closes_ms[0])) / DAY_MS)) if len(closes_ms) else 1
    per_day = Counter(
        np.datetime64(alert.candle_close_time_ms - 1, "ms").astype("datetime64[D]").astype(str) for alert in alerts
    )
    random = np.random.default_rng(_SEED)
    studies = {}
    for key, found in sorted(by_key.items()):
        at = np.searchsorted(own.close_time_ms, [alert.candle_close_time_ms for alert in found])
        sign = np.array([-1.0 if alert.side is Direction.SHORT else 1.0 for alert in found])
        studies[key] = {
            "count": len(found),
            **{f"after_{step}": _forward(close, at, sign, possible, step, random) for step in HORIZONS},
        }
    return {
        "alerts": len(alerts),
        "per_day": len(alerts) / days,
        "days": dict(sorted(per_day.items())),
        "by_alert": studies,
    }


def _forward(
    close: Any, at: IntArray, sign: Any, possible: IntArray, step: int, random: np.random.Generator
) -> dict[str, float | int | None]:
    """Mean gain in percent; random times in the same number and with the same sides."""
    known = at + step < len(close)
    at, sign = at[known], sign[known]
    places = possible[possible + step < len(close)]
    if not len(at) or not len(places):
        return {"count": 0, "mean_pct": None, "random_pct": None, "p": None}
    changes = close[places + step] / close[places] - 1.0
    own = float((sign * (close[at + step] / close[at] - 1.0)).mean())
    drawn = (sign * changes[random.integers(0, len(places), (_DRAWS, len(at)))]).mean(axis=1)
    return {
        "count": len(at),
        "mean_pct": round(100 * own, 6),
        "random_pct": round(100 * float(drawn.mean()), 6),
        "p": round((1 + int((drawn >= own).sum())) / (_DRAWS + 1), 6),
    }
