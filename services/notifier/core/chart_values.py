"""What a chart is made of: plain values that cross into the drawing process, every text and place already decided."""

from typing import Final

import msgspec

from shared.domain.identity import digest_text

DRAWING_VERSION: Final = 4  # raise it when the drawing changes: cached pictures are then drawn anew
Column = tuple[float | None, ...]  # one entry per bar, oldest first; None where there is no value


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A curve over the bars. colour: a role of the theme (first, second, third, fourth, up, down, faint)."""

    name: str
    values: Column
    colour: str
    dashed: bool = False


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """The area between two curves: `colour` while upper >= lower, `colour_below` elsewhere."""

    upper: Column
    lower: Column
    colour: str
    colour_below: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of the Decision in words."""

    text: str
    passed: bool


class Tick(msgspec.Struct, frozen=True):
    """A place on an axis and its text."""

    at: float
    text: str


class Pane(msgspec.Struct, frozen=True, kw_only=True):
    """An indicator below the price: curves, bars from zero, thresholds, a shaded band; or rows of text instead.

    low, high: the axis. told: the value of `lines[0]` on the Decision's candle, written beside the pane.
    """

    title: str
    low: float = 0.0
    high: float = 1.0
    lines: tuple[Line, ...] = ()
    bars: Column = ()
    thresholds: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    ticks: tuple[Tick, ...] = ()
    rows: tuple[Row, ...] = ()
    told: Tick | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A horizontal line with its label. kind: entry, take_profit, stop_loss, exit or last (of a chart without a signal).

    label_price: where the label sits on the price axis; moved off `price` where labels would overlap.
    outside:     the price lies beyond the axis: a label at the edge, no line.
    """

    kind: str
    price: float
    label: str
    label_price: float
    outside: bool = False


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Where the position began or ended. kind: entry or exit; bar may lie between or beyond the candles."""

    kind: str
    bar: float
    price: float


class BiasSpan(msgspec.Struct, frozen=True, kw_only=True):
    """The macro bias over bars first..last. kind: long, short, neutral or none; binding ones are drawn stronger."""

    first: int
    last: int
    kind: str
    binding: bool


class ChartModel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything drawn. Columns have one entry per bar, oldest first.

    theme:       dark or light. scale: pixels per unit of the 640 x 720 layout.
    side:        1 long, -1 short, 0 a chart without a signal. won: whether a closed signal gained; None otherwise.
    price_low, price_high: the price axis. bar_left, bar_right: the time axis, room for the position included.
    decision_bar: the bar of the Decision; what follows was not known to it and is drawn on another ground.
    lines, clouds: over the candles. holes: bars before which candles are missing. zone: name of the times' zone.
    bias_text:   empty draws no band.
    """

    theme: str = "dark"
    scale: float = 1.0
    title: str
    timeframe: str
    subtitle: str
    badge: str
    result: str
    footer: str
    footer_right: str
    volume_title: str
    side: int
    won: bool | None
    open_time_ms: tuple[int, ...]
    open: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...]
    close: tuple[float, ...]
    volume: tuple[float, ...]
    price_decimals: int
    price_low: float
    price_high: float
    price_ticks: tuple[Tick, ...]
    volume_ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]
    bar_left: float
    bar_right: float
    decision_bar: int
    levels: tuple[Level, ...]
    marks: tuple[Mark, ...]
    clouds: tuple[Cloud, ...] = ()
    lines: tuple[Line, ...] = ()
    panes: tuple[Pane, ...] = ()
    zone: str = "UTC"
    holes: tuple[int, ...] = ()
    bias_text: str = ""
    bias_spans: tuple[BiasSpan, ...] = ()

    @property
    def digest(self) -> str:
        """Over everything drawn: equal models give equal pictures."""
        return digest_text((DRAWING_VERSION, msgspec.json.encode(self).decode()))

    def level_price(self, kind: str) -> float | None:
        """The price of that level; None where the chart has none."""
        return next((level.price for level in self.levels if level.kind == kind), None)
