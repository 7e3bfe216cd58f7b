"""What a chart shows: plain values, decided here so that drawing decides nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import pairwise
from typing import Final, Literal

import msgspec

from services.notifier.core.chart_axis import price_range, round_ticks, time_ticks, volume_ticks
from services.notifier.core.chart_curves import columns_of
from services.notifier.core.chart_layout import DEFAULT_SCALE
from services.notifier.core.chart_levels import level_labels, position_marks, signal_levels
from services.notifier.core.chart_panes import MARKET_VIEW, VIEWS, View, strategy_view, view_of
from services.notifier.core.chart_texts import (
    bias_spans,
    bias_text,
    clip,
    named_parts,
    result_text,
    time_text,
    times_text,
    won,
    zone_name,
)
from services.notifier.core.chart_values import ChartModel
from services.notifier.core.chart_words import chart_words
from services.notifier.core.texts import price_text, signed_percent
from shared.domain.bias import Direction
from shared.domain.candles import Candle
from shared.domain.checks import require
from shared.domain.decimals import plain_text
from shared.domain.decisions import WindowRecord
from shared.domain.errors import InvalidValueError
from shared.domain.signals import Signal

BARS_MAX: Final = 120
BARS_WITH_OUTCOME_MAX: Final = 160  # when the candles after the entry are shown, too
BARS_BEFORE_MIN: Final = 40  # of the Decision's, however long the signal ran
OUTCOME_BARS_MAX: Final = BARS_WITH_OUTCOME_MAX - BARS_BEFORE_MIN
_SPAN_MIN: Final = 40  # bars; fewer candles stay as wide as these
_POSITION_SHARE: Final = 0.11  # of the bars: room right of the newest candle for an open position
_ENDED_SHARE: Final = 0.045
_SYMBOL_MAX: Final = 19
_THEMES: Final = ("dark", "light")
_SCALE_MAX: Final = 3.0

Theme = Literal["dark", "light"]


class ChartLook(msgspec.Struct, frozen=True, kw_only=True):
    """How it looks, whatever it shows. scale: pixels per unit of the 640 x 720 layout, 1..3; zone: of all times shown."""

    theme: Theme = "dark"
    scale: float = DEFAULT_SCALE
    language: str = "en"
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        require(self.theme in _THEMES, f"theme must be one of {', '.join(_THEMES)}", self.theme, "chart")
        require(1.0 <= self.scale <= _SCALE_MAX, f"scale must be 1..{_SCALE_MAX:g}", self.scale, "chart")


DEFAULT_LOOK: Final = ChartLook()


def window_revisions(window: WindowRecord) -> list[int]:
    """The recorded revision of each candle of the window, oldest first. Raises InvalidValueError where they do not add up."""
    revisions = [revision for revision, count in window.revisions for _ in range(count)]
    if len(revisions) != window.length:
        raise InvalidValueError(
            f"run lengths must add up to {window.length}, was {len(revisions)} (window {window.digest})"
        )
    return revisions


def build_chart_model(
    signal: Signal,
    candles: Sequence[Candle],
    *,
    kind: str = "",
    parameters: Mapping[str, object] | None = None,
    bias_by_open_ms: Mapping[int, str] | None = None,
    look: ChartLook = DEFAULT_LOOK,
) -> ChartModel:
    """The chart of a signal.

    candles:    of one timeframe, the signal's own or another, oldest first: those of the Decision, then, if wished, those
                after it. The newest 120 are shown; up to 160 where candles after the entry are among them, always with 40
                before it; where more came after, they are left out and the exit is drawn beside.
    kind:       which strategy it is, where its name does not say so.
    parameters: the Decision's, for the strategy's panes. bias_by_open_ms: the macro bias as recorded per candle.
    Raises InvalidValueError without candles, for candles out of order or of different series.
    """
    _check_series(candles, f"signal {signal.signal_id}")
    words = chart_words(look.language)
    known = sum(candle.close_time_ms <= signal.opened_at_ms for candle in candles)
    later = len(candles) - known
    if later > OUTCOME_BARS_MAX:
        candles, later = candles[:known] or candles[:1], 0
    bars = min(len(candles), max(BARS_MAX, min(BARS_WITH_OUTCOME_MAX, later + BARS_BEFORE_MIN + 20)))
    decision_bar = max(0, bars - 1 - later)
    columns = columns_of(candles, bars, decision_bar)
    view = strategy_view(kind or signal.strategy, columns, parameters or {}, signal.conditions, words)
    shown = candles[-bars:]
    ended = signal.exit is not None and shown[-1].close_time_ms >= signal.exit.closed_at_ms
    left, right = _time_axis(bars, _ENDED_SHARE if ended else _POSITION_SHARE)
    own = candles[0].timeframe is signal.timeframe
    model = _model(shown, view, signal_levels(signal, words), signal.price_decimals, left, right, look)
    return msgspec.structs.replace(
        model,
        subtitle=clip(" · ".join(named_parts(signal))),
        badge=f"▲ {words.long}" if signal.side is Direction.LONG else f"▼ {words.short}",
        result=result_text(signal, words),
        footer=signal.signal_id if own else f"{signal.signal_id} ({signal.timeframe.value})",
        footer_right=times_text(signal, words, look.zone),
        side=1 if signal.side is Direction.LONG else -1,
        won=won(signal),
        decision_bar=decision_bar,
        marks=position_marks(signal, shown, right),
        bias_text=bias_text(signal.bias, words),
        bias_spans=bias_spans(signal, shown, bias_by_open_ms or {}),
    )


def build_market_model(
    candles: Sequence[Candle],
    *,
    kind: str = "",
    price_decimals: int | None = None,
    later: int = 0,
    look: ChartLook = DEFAULT_LOOK,
) -> ChartModel:
    """The chart of a market without a signal: the newest 120 candles, volume, the last price, and RSI or a strategy's panes.

    kind: the strategy, for a chart beside its alert, say. price_decimals: of the instrument; by default as many as the
    candles' prices have. later: how many of the candles came after the one that the chart is about, fewer than are shown.
    Raises as build_chart_model.
    """
    _check_series(candles, "market chart")
    words = chart_words(look.language)
    bars = min(len(candles), BARS_MAX)
    view = view_of(VIEWS.get(kind, MARKET_VIEW), columns_of(candles, bars, bars - 1 - later), {})
    shown = candles[-bars:]
    last = shown[-1].close
    change = (last / shown[0].open - 1) * 100
    decimals = _decimals(shown) if price_decimals is None else price_decimals
    left, right = _time_axis(bars, _ENDED_SHARE)
    model = _model(shown, view, [("last", last, words.last)], decimals, left, right, look)
    return msgspec.structs.replace(
        model,
        subtitle=clip(shown[-1].exchange),
        badge=price_text(last, decimals),
        result=f"{signed_percent(change)} %",
        footer_right=f"{time_text(shown[-1].close_time_ms, look.zone)} {zone_name(shown[-1].close_time_ms, look.zone)}",
        won=change >= 0,
        decision_bar=bars - 1 - later,
    )


def _model(
    shown: Sequence[Candle],
    view: View,
    lines: Sequence[tuple[str, float, str]],
    decimals: int,
    left: float,
    right: float,
    look: ChartLook,
) -> ChartModel:
    """Candles, axes, levels and panes; what a signal adds is left empty."""
    prices = [line[1] for line in lines]
    low, high = price_range(min(candle.low for candle in shown), max(candle.high for candle in shown), prices)
    volume = tuple(float(candle.volume) for candle in shown)
    first = shown[0]
    return ChartModel(
        theme=look.theme,
        scale=look.scale,
        title=first.symbol if len(first.symbol) <= _SYMBOL_MAX else first.symbol[: _SYMBOL_MAX - 1] + "…",
        timeframe=first.timeframe.value,
        subtitle="",
        badge="",
        result="",
        footer="",
        footer_right="",
        volume_title=chart_words(look.language).volume,
        side=0,
        won=None,
        open_time_ms=tuple(candle.open_time_ms for candle in shown),
        open=tuple(candle.open for candle in shown),
        high=tuple(candle.high for candle in shown),
        low=tuple(candle.low for candle in shown),
        close=tuple(candle.close for candle in shown),
        volume=volume,
        price_decimals=decimals,
        price_low=low,
        price_high=high,
        price_ticks=round_ticks(low, high, count=6, decimals=decimals),
        volume_ticks=volume_ticks(max(volume)),
        time_ticks=time_ticks(
            [candle.open_time_ms for candle in shown],
            duration_ms=first.timeframe.duration_ms,
            bars=right - left,
            zone=look.zone,
        ),
        bar_left=left,
        bar_right=right,
        decision_bar=len(shown) - 1,
        levels=level_labels(lines, low, high, pane_count=len(view.panes)),
        marks=(),
        clouds=view.clouds,
        lines=view.lines,
        panes=view.panes,
        zone=zone_name(shown[-1].close_time_ms, look.zone),
        holes=_holes(shown),
    )


def _check_series(candles: Sequence[Candle], place: str) -> None:
    require(len(candles) > 0, "a chart needs at least one candle", 0, place)
    first = candles[0]
    for before, after in pairwise(candles):
        same = (after.exchange, after.symbol, after.timeframe) == (first.exchange, first.symbol, first.timeframe)
        require(same, "candles must be of one series", (after.exchange, after.symbol, after.timeframe.value), place)
        ordered = after.open_time_ms > before.open_time_ms
        require(ordered, "candles must be oldest first, each once", after.open_time_ms, place)


def _time_axis(bars: int, margin_share: float) -> tuple[float, float]:
    span = max(bars, _SPAN_MIN)
    return bars - span - 1.2, bars - 1 + max(2.0, span * margin_share)


def _holes(shown: Sequence[Candle]) -> tuple[int, ...]:
    """The bars before which candles are missing."""
    return tuple(bar for bar, (a, b) in enumerate(pairwise(shown), 1) if b.open_time_ms != a.close_time_ms)


def _decimals(candles: Sequence[Candle]) -> int:
    """As many decimals as the closes were printed with."""
    return max(len(plain_text(candle.close).partition(".")[2]) for candle in candles)
