"""The live screen: a table of symbols under the messages as they go out; plain lines without a terminal."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.supervisor.view import SymbolView
from shared.domain.bias import Direction
from shared.domain.decimals import plain_text

_QUALITY_STYLES = {"partial": "red", "repaired_kline": "yellow", "repaired": "green", "complete": "green"}
_STALE_SECONDS = 10.0
_KIND_MARKS = {"new": ("✉", "bold green"), "edit": ("✎", "bold cyan"), "chart": ("▣", "bold magenta")}


class Screen:
    """Shows messages as they come and, on a terminal, the table below them."""

    def __init__(self, headline: str, speed: float, console: Console | None = None) -> None:
        self._console = console or Console()
        self._headline = headline
        self._speed = speed
        self._live: Live | None = None
        self._seen_candles: set[tuple[str, int]] = set()

    def start(self) -> None:
        """Take over the terminal's lower part; without a terminal nothing happens until there is a line to print."""
        self.line(f"[bold]Crypto Signal Tracker[/bold] · {self._headline}")
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def stop(self) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()
            self._live = None

    def line(self, text: str) -> None:
        """One line for people."""
        self._console.print(Text.from_markup(text), soft_wrap=not self._console.is_terminal)

    def message(self, raw: bytes) -> None:
        """A line of the notifier: a message, an edit or a chart as JSON; anything else is shown as it is."""
        try:
            item = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.MsgspecError:
            text = raw.decode("utf-8", "replace").rstrip()
            if text:
                self.line(escape(text))
            return
        mark, style = _KIND_MARKS.get(str(item.get("kind")), ("•", "bold"))
        kind = str(item.get("kind", "")).upper()
        if item.get("chart_path") and not item.get("text"):
            self.line(f"[{style}]{mark} {kind}[/] {escape(str(item['chart_path']))}")
            return
        body = escape(str(item.get("text", "")).strip())
        if item.get("chart_path"):
            body += f"\n[dim]chart: {escape(str(item['chart_path']))}[/dim]"
        if self._console.is_terminal:
            self._console.print(Panel(Text.from_markup(body), title=f"[{style}]{mark} {kind}[/]", title_align="left"))
        else:
            self.line(f"{mark} {kind} " + body.replace("\n", " | "))

    def update(self, views: list[SymbolView], statuses: dict[str, dict[str, Any]], market_ms: int) -> None:
        """Show the newest state; without a terminal only candles that are new, one line each."""
        if self._live:
            self._live.update(Group(self._table(views, market_ms), _status_line(statuses)))
            return
        for view in views:
            candle = view.candle
            if candle and (view.symbol, candle.open_time_ms) not in self._seen_candles:
                self._seen_candles.add((view.symbol, candle.open_time_ms))
                self.line(
                    f"candle {view.symbol} {_clock_text(candle.open_time_ms)} close {plain_text(candle.close)} "
                    f"volume {plain_text(candle.volume)} {candle.quality}"
                )

    def _table(self, views: list[SymbolView], market_ms: int) -> RenderableType:
        table = Table(expand=True, title=f"market time {_clock_text(market_ms, seconds=True)} UTC", title_style="dim")
        for name, justify in (
            ("symbol", "left"),
            ("last candle", "left"),
            ("close", "right"),
            ("change", "right"),
            ("trades", "right"),
            ("quality", "left"),
            ("watermark age", "right"),
            ("open signal", "left"),
        ):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]  # literals, seen as text here
        for view in views:
            table.add_row(*self._cells(view, market_ms))
        return table

    def _cells(self, view: SymbolView, market_ms: int) -> tuple[RenderableType, ...]:
        signals = Text(" ").join(_signal_text(signal, view) for signal in view.open_signals)
        candle = view.candle
        if candle is None:
            return (view.symbol, "-", "-", "-", "-", "[dim]waiting[/dim]", self._age(view, market_ms), signals)
        change_pct = (candle.close / candle.open - 1) * 100
        style = _QUALITY_STYLES.get(candle.quality.value, "bold green")
        return (
            view.symbol,
            _clock_text(candle.open_time_ms),
            plain_text(candle.close),
            Text(f"{change_pct:+.2f} %", style="green" if change_pct >= 0 else "red"),
            "-" if candle.trade_count is None else str(candle.trade_count),
            Text(candle.quality.value, style=style),
            self._age(view, market_ms),
            signals,
        )

    def _age(self, view: SymbolView, market_ms: int) -> Text:
        if view.watermark_ms is None:
            return Text("-")
        seconds = max(0.0, (market_ms - view.watermark_ms) / 1000 / self._speed)
        return Text(f"{seconds:.1f} s", style="red" if seconds > _STALE_SECONDS else "")


def _signal_text(signal: Any, view: SymbolView) -> Text:
    price = view.candle.close if view.candle else signal.entry_price
    sign = 1 if signal.side is Direction.LONG else -1
    pnl_pct = (price / signal.entry_price - 1) * 100 * sign
    arrow = "▲" if signal.side is Direction.LONG else "▼"
    return Text(f"{arrow} {plain_text(signal.entry_price)} {pnl_pct:+.2f} %", style="green" if pnl_pct >= 0 else "red")


def _status_line(statuses: dict[str, dict[str, Any]]) -> Text:
    parts = [f"{name} ✓" for name in statuses]
    return Text("  ".join(parts) or "starting …", style="dim")


def _clock_text(time_ms: int, *, seconds: bool = False) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%S" if seconds else "%H:%M")


async def pump_lines(stream: asyncio.StreamReader, screen: Screen) -> None:
    """Hand every line of the front process to the screen until it ends."""
    while line := await stream.readline():
        screen.message(line)
