"""report.html: one file that shows a backtest without a network: curves as SVG, tables as HTML, no script."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import numpy as np

from research.history import FloatArray, History, IntArray
from research.metrics import monthly_returns
from research.portfolio import Book, Trade
from shared.domain.bias import Direction

_WIDTH, _HEIGHT, _LEFT = 960, 220, 70
_POINTS_MAX: Final = 1_200  # per curve; a screen has no more
_MARKS_MAX: Final = 400
_BINS: Final = 40
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#1c2430;background:#fff}
h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .3em}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #e3e7ec}
td:first-child,th:first-child{text-align:left}.note{background:#fff4d6;padding:.6em 1em}svg{width:100%;height:auto}.up{color:#0a7a4b}.down{color:#b3261e}
text{font:11px system-ui,sans-serif;fill:#5b6675}
"""


def report_html(
    title: str, facts: Sequence[tuple[str, str]], metrics: dict[str, Any], book: Book, history: History
) -> str:
    """The whole page. facts: what was run, on what, at which costs; shown first, so that nobody reads a number without them."""
    equity = book.equity
    peak = np.maximum(np.maximum.accumulate(equity), book.account.start_cash) if len(equity) else equity
    drawdown = 100.0 * (equity / np.maximum(peak, 1e-9) - 1.0)
    sections = [
        f"<h1>{escape(title)}</h1>",
        _table(["", ""], [[name, value] for name, value in facts]),
        _metrics(metrics),
        "<h2>Equity, quote currency, all costs paid</h2>" + _curve(book.closes_ms, equity, "#1f6feb"),
        "<h2>Drawdown, %</h2>" + _curve(book.closes_ms, drawdown, "#b3261e"),
        "<h2>Return by month, %</h2>" + _months(book),
        "<h2>Returns of the trades, % of equity</h2>" + _distribution(book.trades),
        f"<h2>Entries and exits{_newest(book.trades)}</h2>" + _marked(history, book.trades),
        "<p>What happened once need not happen again. This is a record of recorded candles, no promise.</p>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>{"".join(sections)}</body></html>\n'
    )


def _metrics(metrics: dict[str, Any]) -> str:
    note = f'<p class="note">{escape(str(metrics["note"]))}</p>' if "note" in metrics else ""
    rows = [
        [name.replace("_", " "), f"{value['value']:,.2f}", f"{value['low']:,.2f} … {value['high']:,.2f}"]
        for name, value in metrics.items()
        if isinstance(value, dict)
    ]
    counts = f"<p>{metrics['trades']:,} trades on {metrics['days']:,} days</p>"
    return f"<h2>Metrics</h2>{counts}{note}" + (_table(["", "value", "5 % … 95 %, bootstrapped"], rows) if rows else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _months(book: Book) -> str:
    changes = monthly_returns(book.closes_ms, book.equity, book.account.start_cash)
    years = sorted({month[:4] for month in changes})
    head = "".join(f"<th>{month:02d}</th>" for month in range(1, 13))
    lines = []
    for year in years:
        cells = [changes.get(f"{year}-{month:02d}") for month in range(1, 13)]
        lines.append(f"<tr><td>{year}</td>" + "".join(_cell(value) for value in cells) + "</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _cell(value: float | None) -> str:
    return "<td></td>" if value is None else f'<td class="{"up" if value >= 0 else "down"}">{value:.1f}</td>'


def _curve(times_ms: IntArray, values: FloatArray, colour: str) -> str:
    if len(values) < 2:  # noqa: PLR2004 - a line has two ends
        return "<p>nothing to draw</p>"
    picked = _thinned(values)
    low, high = float(values.min()), float(values.max())
    x, y = _across(times_ms, times_ms)[picked], _down(values, low, high)[picked]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    line = f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{points}"/>'
    return _frame(times_ms, low, high, line)


def _thinned(values: FloatArray) -> IntArray:
    """Indices of the lowest and highest of each stretch, so that no peak is lost."""
    size = -(-2 * len(values) // _POINTS_MAX)
    if size <= 1:
        return np.arange(len(values))
    found = {0, len(values) - 1}
    for begin in range(0, len(values), size):
        part = values[begin : begin + size]
        found |= {begin + int(part.argmin()), begin + int(part.argmax())}
    return np.array(sorted(found))


def _distribution(trades: Sequence[Trade]) -> str:
    if not trades:
        return "<p>no trade</p>"
    counts, edges = np.histogram([trade.return_pct for trade in trades], bins=_BINS)
    width = (_WIDTH - _LEFT) / _BINS
    bars = []
    for place, count in enumerate(counts.tolist()):
        height = count / counts.max() * (_HEIGHT - 40)
        middle = (edges[place] + edges[place + 1]) / 2
        fill = "#0a7a4b" if middle >= 0 else "#b3261e"
        left = _LEFT + place * width
        bars.append(
            f'<rect x="{left:.1f}" y="{_HEIGHT - 20 - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}" fill="{fill}"/>'
        )
    labels = "".join(
        f'<text x="{_LEFT + place * width:.0f}" y="{_HEIGHT - 5}">{edges[place]:.2f}</text>'
        for place in range(0, _BINS, 5)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><text x="5" y="24">{counts.max()}</text>{"".join(bars)}{labels}</svg>'


def _newest(trades: Sequence[Trade]) -> str:
    return f", the newest {_MARKS_MAX} of {len(trades):,} trades" if len(trades) > _MARKS_MAX else ""


def _marked(history: History, trades: Sequence[Trade]) -> str:
    """Closes with a triangle per entry, a cross per exit; only the stretch that the shown trades cover."""
    shown = trades[-_MARKS_MAX:]
    series = history.series[history.base]
    times, closes = series.close_time_ms, series.values[3]
    if len(shown) < len(trades):
        keep = times >= shown[0].opened_at_ms
        times, closes = times[keep], closes[keep]
    if len(closes) < 2:  # noqa: PLR2004 - a line has two ends
        return "<p>nothing to draw</p>"
    low, high = float(closes.min()), float(closes.max())
    picked = _thinned(closes)
    x, y = _across(times, times)[picked], _down(closes, low, high)[picked]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    marks = [f'<polyline fill="none" stroke="#5b6675" stroke-width="1" points="{points}"/>']
    for trade in shown:
        up = trade.side is Direction.LONG
        ends = _across(np.array([trade.opened_at_ms, trade.closed_at_ms]), times).tolist()
        heights = _down(np.array([float(trade.entry_price), float(trade.exit_price)]), low, high).tolist()
        colour = "#0a7a4b" if up else "#b3261e"
        tip = 5 if up else -5
        a, b = ends[0], heights[0]
        marks.append(
            f'<path d="M{a - 4:.1f},{b + tip:.1f} L{a + 4:.1f},{b + tip:.1f} L{a:.1f},{b - tip:.1f}Z" fill="{colour}"/>'
        )
        a, b = ends[1], heights[1]
        marks.append(f'<path d="M{a - 3:.1f},{b - 3:.1f} l6,6 m0,-6 l-6,6" stroke="#1c2430" fill="none"/>')
    return _frame(times, low, high, "".join(marks))


def _frame(times_ms: IntArray, low: float, high: float, content: str) -> str:
    labels = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e7ec"/><text x="0" y="{y + 4:.1f}">{value:,.6g}</text>'
        for value in np.linspace(low, high, 4).tolist()
        for y in _down(np.array([value]), low, high).tolist()
    )
    days = "".join(
        f'<text x="{x:.0f}" y="{_HEIGHT - 2}">{_day(time_ms)}</text>'
        for time_ms in np.linspace(times_ms[0], times_ms[-1], 6)[:-1].astype(np.int64).tolist()
        for x in _across(np.array([time_ms]), times_ms).tolist()
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{labels}{days}{content}</svg>'


def _across(times_ms: IntArray, span_ms: IntArray) -> FloatArray:
    whole = max(int(span_ms[-1] - span_ms[0]), 1)
    found: FloatArray = _LEFT + (times_ms - span_ms[0]) / whole * (_WIDTH - _LEFT)
    return found


def _down(values: FloatArray, low: float, high: float) -> FloatArray:
    span = high - low
    share = (values - low) / span if span > 0 else np.full(len(values), 0.5)
    found: FloatArray = 10 + (1 - share) * (_HEIGHT - 30)
    return found


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d")
