"""Which curves and panes a strategy's chart shows: one entry per strategy in VIEWS, the Decision's conditions otherwise.

An entry names makers from chart_makers; each reads the columns and the Decision's own parameters, so that the chart shows
the figures the strategy saw. To give a new strategy its panes, add one line to VIEWS (docs/charts.md).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.notifier.core.chart_curves import Columns, Maker
from services.notifier.core.chart_layout import PANES_MAX
from services.notifier.core.chart_makers import (
    adx,
    atr_share,
    bollinger,
    cirrus_cloud,
    donchian,
    macd,
    mmh,
    moving_averages,
    ppo,
    rsi,
    supertrend,
    vwap,
)
from services.notifier.core.chart_values import Cloud, Line, Pane, Row
from services.notifier.core.chart_words import ChartWords
from shared.domain.decisions import Condition

ROWS_MAX: Final = 4
_NAME_MAX: Final = 28


class View(msgspec.Struct, frozen=True):
    """What a chart shows besides candles and volume: over the candles, and in panes below (at most two)."""

    clouds: tuple[Cloud, ...] = ()
    lines: tuple[Line, ...] = ()
    panes: tuple[Pane, ...] = ()


VIEWS: Final[dict[str, tuple[Maker, ...]]] = {
    "rsi_divergence": (rsi(),),
    "rsi_momentum": (rsi(period="period"),),
    "macd_adx": (macd(8, 24, 9), adx()),
    "macd_unified": (cirrus_cloud(), vwap(), moving_averages(("rma_15m", 50), kind="RMA"), ppo(), mmh()),
    "ema_cross": (moving_averages(("fast", 9), ("slow", 21)),),
    "ema_atr": (moving_averages(("fast", 12), ("slow", 26)), atr_share()),
    "bollinger": (bollinger(),),
    "reversal": (bollinger(), rsi()),
    "continuation": (moving_averages(("sma_period", 20), kind="SMA"), atr_share()),
    "donchian": (donchian(),),
    "supertrend": (supertrend(),),
    "mtf_score": (moving_averages(("ema_fast", 20), ("ema_slow", 50)), macd(), rsi()),
}
MARKET_VIEW: Final[tuple[Maker, ...]] = (rsi(),)  # a chart without a signal


def strategy_view(
    strategy: str,
    columns: Columns,
    parameters: Mapping[str, object],
    conditions: Sequence[Condition],
    words: ChartWords,
) -> View:
    """The strategy's curves and panes; for a strategy without an entry, its conditions with value and threshold."""
    makers = VIEWS.get(strategy)
    if makers is None:
        return View(panes=(conditions_pane(conditions, words),)) if conditions else View()
    return view_of(makers, columns, parameters)


def view_of(makers: Sequence[Maker], columns: Columns, parameters: Mapping[str, object]) -> View:
    """Everything the makers show, in their order."""
    made = [item for maker in makers for item in maker(columns, parameters)]
    return View(
        clouds=tuple(item for item in made if isinstance(item, Cloud)),
        lines=tuple(item for item in made if isinstance(item, Line)),
        panes=tuple(item for item in made if isinstance(item, Pane))[:PANES_MAX],
    )


def conditions_pane(conditions: Sequence[Condition], words: ChartWords) -> Pane:
    """The first conditions in words, passed ones first."""
    ordered = sorted(conditions, key=lambda condition: not condition.passed)
    rows = tuple(Row(text=_condition_text(condition), passed=condition.passed) for condition in ordered[:ROWS_MAX])
    return Pane(title=words.conditions, rows=rows)


def _condition_text(condition: Condition) -> str:
    name = condition.name.replace("_", " ")
    name = name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…"
    value = "n/a" if condition.value is None else f"{condition.value:.5g}"
    return f"{name}  {value}  ({condition.threshold:.5g})"
