"""What a message says, as Telegram HTML. Every value is escaped; prices have the instrument's decimals."""

import html
import re
from datetime import UTC, datetime
from typing import Final

from services.notifier.core.languages import Words
from shared.domain.bias import Direction
from shared.domain.decisions import Condition
from shared.domain.events import AlertRaised, Severity, SystemEvent
from shared.domain.signals import Resolution, Signal, SignalExit

TEXT_LENGTH_MAX: Final = 4_096  # Telegram's, after its markup is parsed
_FREE_TEXT_MAX: Final = 3_000
_NOTE_MAX: Final = 300
_NOTES_MAX: Final = 8
_CONDITIONS_MAX: Final = 12
_SEVERITY_MARKS: Final = {Severity.INFO: "\N{INFORMATION SOURCE}\ufe0f", Severity.WARNING: "⚠️", Severity.ERROR: "🛑"}
_TAG: Final = re.compile(r"</?(?:b|i|code)>")


def signal_text(words: Words, signal: Signal, *, notes: tuple[tuple[int, str], ...] = (), repeats: int = 0) -> str:
    """The living message of a signal: its entry, and once it has ended how it ended."""
    head = _entry_head(words, signal) if signal.exit is None else _exit_head(words, signal, signal.exit)
    parts = [head, _levels(words, signal), _reasons(words, signal), _notes(words, notes), _foot(words, signal, repeats)]
    return "\n\n".join(part for part in parts if part)


def alert_text(words: Words, alert: AlertRaised, *, repeats: int = 0) -> str:
    """A latched condition without a life."""
    title = words.alert.format(symbol=_escape(alert.symbol), alert=f"<b>{_escape(alert.alert)}</b>")
    where = f"<i>{_escape(alert.strategy)}</i> · {alert.timeframe.value} · {_escape(alert.exchange)}"
    closed_at_ms = alert.candle_open_time_ms + alert.timeframe.duration_ms
    return _joined(title, _clipped(alert.text, _FREE_TEXT_MAX), where, utc_text(closed_at_ms), _repeat(words, repeats))


def system_text(words: Words, event: SystemEvent, *, repeats: int = 0) -> str:
    """Something about the platform itself."""
    mark = _SEVERITY_MARKS[event.severity]
    kind = _escape(event.kind.replace("_", " "))
    title = f"{mark} <b>{words.severity[event.severity.value]}</b> {kind} <code>{_escape(event.subject)}</code>"
    return _joined(title, _clipped(event.text, _FREE_TEXT_MAX), utc_text(event.at_ms), _repeat(words, repeats))


def chart_caption(words: Words, signal: Signal) -> str:
    """The line under a chart."""
    values = {"side": words.side[signal.side.value], "symbol": _escape(signal.symbol)}
    values |= {"timeframe": signal.timeframe.value, "signal_id": signal.signal_id}
    if signal.exit is None:
        return words.chart_caption.format(**values)
    return words.chart_caption_closed.format(**values, pnl=signed_percent(signal.exit.pnl_pct))


def plain_text(text: str) -> str:
    """The message without its markup, for consoles and logs."""
    return html.unescape(_TAG.sub("", text))


def price_text(price: float, decimals: int) -> str:
    """The price with the instrument's decimals."""
    return f"{price:.{decimals}f}"


def signed_percent(value: float) -> str:
    """+1.50 or -0.70; a rounded zero has no minus."""
    text = f"{value:+.2f}"
    return "+0.00" if text == "-0.00" else text


def utc_text(time_ms: int) -> str:
    """2026-11-20 13:53 UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration_text(span_ms: int) -> str:
    """The two largest units: 45 s, 23 min, 2 h 05 min, 3 d 4 h."""
    seconds = max(0, span_ms) // 1000
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if not minutes:
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min"
    if not days:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24} h"


def _entry_head(words: Words, signal: Signal) -> str:
    arrow = "⬆️" if signal.side is Direction.LONG else "⬇️"
    return words.entry_title.format(arrow=arrow, side=words.side[signal.side.value], symbol=_escape(signal.symbol))


def _exit_head(words: Words, signal: Signal, end: SignalExit) -> str:
    mark = "✅" if end.pnl_pct > 0 else "❌"
    title = words.exit_title.format(mark=mark, side=words.side[signal.side.value], symbol=_escape(signal.symbol))
    reason = words.exit_reason[end.reason.value]
    lasted = words.duration.format(duration=duration_text(end.closed_at_ms - signal.opened_at_ms))
    how = "" if end.resolution is Resolution.CANDLE else f"\n<i>{words.resolution[end.resolution.value]}</i>"
    price = words.exit.format(price=price_text(end.price, signal.price_decimals))
    result = words.result.format(pnl=signed_percent(end.pnl_pct))
    told = f"{reason[:1].upper()}{reason[1:]} {lasted} · {utc_text(end.closed_at_ms)}{how}"
    return f"{title}\n\n{price}\n{result}\n{told}"


def _levels(words: Words, signal: Signal) -> str:
    lines = [words.entry.format(price=price_text(signal.entry_price, signal.price_decimals))]
    for template, level in ((words.take_profit, signal.take_profit), (words.stop_loss, signal.stop_loss)):
        if level is not None:
            distance = signed_percent((level / signal.entry_price - 1) * 100)
            lines.append(template.format(price=price_text(level, signal.price_decimals), distance=distance))
    return "\n".join(lines)


def _reasons(words: Words, signal: Signal) -> str:
    trigger = f" · {_escape(signal.trigger)}" if signal.trigger else ""
    where = f"{signal.timeframe.value} · {_escape(signal.exchange)}"
    lines = [f"<i>{_escape(signal.strategy)}{trigger}</i> · {where}"]
    passed = [condition for condition in signal.conditions if condition.passed]
    lines += [f"✓ {_condition(condition)}" for condition in passed[:_CONDITIONS_MAX]]
    if len(passed) > _CONDITIONS_MAX:
        lines.append(words.more.format(count=len(passed) - _CONDITIONS_MAX))
    if signal.bias and signal.bias != "none":
        lines.append(words.bias.format(bias=_clipped(signal.bias, _NOTE_MAX)))
    return "\n".join(lines)


def _condition(condition: Condition) -> str:
    name = _clipped(condition.name.replace("_", " "), 60)
    value = "n/a" if condition.value is None else _figure(condition.value)
    return f"{name}: {value} (threshold {_figure(condition.threshold)})"


def _figure(value: float) -> str:
    """Four significant digits without an exponent for everyday sizes."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - from here digits group better


def _notes(words: Words, notes: tuple[tuple[int, str], ...]) -> str:
    lines = [words.note.format(note=_clipped(note, _NOTE_MAX)) for _, note in notes[-_NOTES_MAX:]]
    return "\n".join(lines)


def _foot(words: Words, signal: Signal, repeats: int) -> str:
    line = f"<code>{signal.signal_id}</code> · {utc_text(signal.opened_at_ms)}"
    mark = _repeat(words, repeats)
    return f"{line}\n{mark}" if mark else line


def _repeat(words: Words, repeats: int) -> str:
    return words.repeat.format(count=repeats) if repeats else ""


def _joined(title: str, text: str, *lines: str) -> str:
    return "\n".join([title, "", text, "", *(line for line in lines if line)])


def _clipped(text: str, length_max: int) -> str:
    """Escaped, cut before escaping so that no entity is torn."""
    return _escape(text if len(text) <= length_max else text[: length_max - 1] + "…")


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
