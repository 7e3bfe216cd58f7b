"""`macd_unified`: 24 alerts on 15m candles, each behind the same gates, each told once per move. It opens no signal.

Gates (buy): close > RMA50(15m), 5m close > RMA200(5m), MMH > 0, cloud up, candle up with an upper wick < 20 % of its range;
sell mirrored. PPO 7/16/5; smooth RSI 21 (Kalman 5/.01/.1, EMA 5); VWAP of the UTC day; Cirrus cloud (22, 9) against (15, 5);
MMH 144/.9; Fibonacci pivots of the UTC day before the candle's. The 5m candle is the one that closes with the 15m candle.

| alert | holds where, besides its gates | lets go where |
|---|---|---|
| ppo_signal_up/down | PPO crosses its signal below +.20 / above -.20 | it is back |
| ppo_zero_, ppo_011_ up/down | PPO crosses 0; +.11 up, -.11 down | it is back, or a gate closes |
| rsi_50_up/down | smooth RSI crosses 50 with PPO below +.30 / above -.30 | it is back, a gate closes, PPO leaves |
| vwap_up/down | close crosses VWAP | it is back, a gate closes, a new UTC day |
| mmh_buy/sell | MMH fell twice, then rises, above zero / mirrored | it stops rising / falling |
| pivot_up_/down_ + level | close crosses the level, at most .5 % beyond it; no up at R3, no down at S3 | it is back, a new UTC day |

A candle without range, or whose close jumps by more than half, is passed over: it raises nothing and lets nothing go.
An alert's margin is the least of its parts', pivots in percent of the level: how much is missing, or to spare.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
import numpy as np

from shared.domain.bias import Direction
from shared.domain.checks import require
from shared.domain.decisions import Action, Condition
from shared.domain.timeframe import Timeframe
from shared.strategies.base import BaseStrategy, Outcome, StrategyParameters, WindowColumns, WindowNeed
from shared.strategies.latches import AlertRule, LatchPolicy
from shared.strategies.macd_unified_kernel import COMMON, JUMP, macd_unified_figures
from shared.strategies.macd_unified_rules import ALERTS, PIVOT_DOWN, PIVOT_UP
from shared.strategies.verdicts import LONG, SHORT, Figures, Test, above, below, judge

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

LENGTH: Final = 350
_PAIRS: Final = (
    ("ppo_signal_up", "ppo_signal_down"),
    ("ppo_zero_up", "ppo_zero_down"),
    ("ppo_011_up", "ppo_011_down"),
    ("rsi_50_up", "rsi_50_down"),
    ("vwap_up", "vwap_down"),
    ("mmh_buy", "mmh_sell"),
)
KEYS: Final = (
    *(key for pair in _PAIRS for key in pair),
    *(f"pivot_up_{level}" for level in PIVOT_UP),
    *(f"pivot_down_{level}" for level in PIVOT_DOWN),
)
SIDES: Final = tuple(LONG if "_up" in key or key == "mmh_buy" else SHORT for key in KEYS)
GATES: Final[tuple[Test, ...]] = (
    above("close_above_rma50", LONG, strict=True),
    above("close_5m_above_rma200", LONG, strict=True),
    above("mmh_above_zero", LONG, strict=True),
    above("cloud_up", LONG, strict=True),
    above("candle_up", LONG, strict=True),
    below("upper_wick", LONG, strict=True),
    below("close_below_rma50", SHORT, strict=True),
    below("close_5m_below_rma200", SHORT, strict=True),
    below("mmh_below_zero", SHORT, strict=True),
    below("cloud_down", SHORT, strict=True),
    below("candle_down", SHORT, strict=True),
    below("lower_wick", SHORT, strict=True),
)


class MacdUnifiedParameters(StrategyParameters, frozen=True, kw_only=True):
    """The defaults are the reference system's. Shares are of one, `pivot_distance_pct` percent."""

    STRATEGY: ClassVar[str] = "macd_unified"
    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {
        "ppo_fast": (2, 60),
        "ppo_slow": (3, 120),
        "ppo_signal": (2, 60),
        "ppo_signal_guard": (0, 10),
        "ppo_rsi_guard": (0, 10),
        "ppo_level": (0.01, 10),
        "rsi_period": (2, 100),
        "rsi_smoothing": (1, 50),
        "rma_15m": (2, 200),
        "rma_5m": (2, 300),
        "mmh_period": (10, 160),
        "mmh_responsiveness": (1e-5, 1),
        "wick_max": (0.01, 1),
        "pivot_distance_pct": (0.01, 10),
        "alerts_per_candle_max": (1, 24),
        "pivots_per_candle_max": (1, 12),
    }
    ppo_fast: int = 7
    ppo_slow: int = 16
    ppo_signal: int = 5
    ppo_signal_guard: float = 0.20
    ppo_rsi_guard: float = 0.30
    ppo_level: float = 0.11
    rsi_period: int = 21
    rsi_smoothing: int = 5
    rma_15m: int = 50
    rma_5m: int = 200
    mmh_period: int = 144
    mmh_responsiveness: float = 0.9
    wick_max: float = 0.20
    pivot_distance_pct: float = 0.5
    alerts_per_candle_max: int = 8
    pivots_per_candle_max: int = 3

    def check(self, place: str) -> None:
        """Fast is faster."""
        require(self.ppo_fast < self.ppo_slow, "ppo_fast must be < ppo_slow", self.ppo_fast, place)


class MacdUnified(BaseStrategy):
    """The strategy of this file; see its head."""

    NAME: ClassVar[str] = "macd_unified"
    PARAMETERS: ClassVar[type[msgspec.Struct]] = MacdUnifiedParameters

    def __init__(self, timeframe: Timeframe, parameters: Mapping[str, Any]) -> None:
        super().__init__(timeframe, parameters)
        own = self.own
        self.alert_rules: Mapping[str, AlertRule] = {
            key: AlertRule(key=key, side=side, family=key.split("_", maxsplit=1)[0], shows=_shown(key, side))
            for key, side in zip(KEYS, SIDES, strict=True)
        }
        self.latch_policy = LatchPolicy(
            per_run_max=own.alerts_per_candle_max,
            per_family_max={"pivot": own.pivots_per_candle_max},
            daily=("pivot", "vwap"),
        )
        self._names: dict[int, tuple[str, ...]] = {}

    def windows_needed(self, timeframe: Timeframe) -> tuple[WindowNeed, ...]:
        """15m, 5m, and the last two days: at midnight the newest day is the candle's own."""
        require(timeframe is Timeframe.M15, "timeframe must be 15m", timeframe.value, "strategy macd_unified")
        return (
            WindowNeed(Timeframe.M15, LENGTH),
            WindowNeed(Timeframe.M5, LENGTH),
            WindowNeed(Timeframe.D1, 2, optional=True),
        )

    def outcomes(self, windows: Mapping[Timeframe, WindowColumns]) -> list[Outcome]:
        """One kernel call over all rows, then one outcome per row."""
        common, alerts, masks = self._figures(windows)
        gates = judge(GATES, Figures(common[:, :, 0], common[:, :, 1]))
        rows = zip(gates.conditions, alerts.tolist(), masks.tolist(), gates.passed.tolist(), strict=True)
        return [self._outcome(*row) for row in rows]

    def _figures(
        self, windows: Mapping[Timeframe, WindowColumns]
    ) -> "tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]":
        own, fifteen, five, day = self.own, windows[Timeframe.M15], windows[Timeframe.M5], windows[Timeframe.D1]
        count = len(fifteen.close)
        common, alerts = np.empty((count, COMMON, 2)), np.empty((count, ALERTS, 3))
        masks = np.zeros((count, 3), dtype=np.int64)
        periods = (own.ppo_fast, own.ppo_slow, own.ppo_signal, own.rsi_period, own.rsi_smoothing)
        lengths = (own.rma_15m, own.rma_5m, own.mmh_period)
        limits = (own.ppo_signal_guard, own.ppo_rsi_guard, own.ppo_level, own.wick_max, own.pivot_distance_pct)
        macd_unified_figures(
            fifteen.open,
            fifteen.high,
            fifteen.low,
            fifteen.close,
            fifteen.volume,
            _times(fifteen),
            five.close,
            day.high,
            day.low,
            day.close,
            _times(day),
            np.array([*periods, *lengths], dtype=np.int64),
            np.array([*limits, own.mmh_responsiveness]),
            common,
            alerts,
            masks,
        )
        return common, alerts, masks

    def _outcome(
        self,
        gates: tuple[Condition, ...],
        alerts: list[list[float]],
        masks: list[int],
        passed: list[bool],
    ) -> Outcome:
        holds, resets, flags = masks
        own = [
            Condition(name=key, value=value, threshold=threshold, margin=margin, passed=bool(flags >> place & 1))
            if margin - margin == 0
            else Condition(name=key, value=None, threshold=0.0, margin=None, passed=False)
            for place, (key, (value, threshold, margin)) in enumerate(zip(KEYS, alerts, strict=True))
        ]
        half = COMMON // 2
        first = 0 if sum(passed[:half]) >= sum(passed[half:]) else half
        points = {GATES[n].name: 100 / half * passed[n] for n in range(first, first + half)}
        return Outcome(
            action=Action.NONE,
            trigger="",
            conditions=(*gates, *own),
            score=round(sum(points.values()), 9),
            components=points,
            notes=("passed_over: no range, or a jump of more than half",) if flags & JUMP else (),
            holds=self._keys(holds),
            resets=self._keys(resets),
        )

    def _keys(self, mask: int) -> tuple[str, ...]:
        known = self._names.get(mask)
        if known is None:
            known = self._names[mask] = tuple(key for place, key in enumerate(KEYS) if mask >> place & 1)
        return known


def _shown(key: str, side: Direction) -> tuple[str, ...]:
    """What stands beside the alert: its own value, the wick, the momentum."""
    return (key, "upper_wick", "mmh_above_zero") if side is LONG else (key, "lower_wick", "mmh_below_zero")


def _times(columns: WindowColumns) -> "npt.NDArray[np.int64]":
    require(columns.open_time_ms is not None, "open times are needed", None, "strategy macd_unified")
    times: npt.NDArray[np.int64] = np.ascontiguousarray(columns.open_time_ms)
    return times
