"""What a message says, as Telegram HTML. Every value is escaped; prices have the instrument's decimals."""

import html
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from services.notifier.core.languages import Words
from services.notifier.core.voice import Voice
from shared.domain.bias import Direction
from shared.domain.decisions import Condition, Sizing
from shared.domain.pairs import base_and_quote
from shared.domain.signals import Resolution, Signal, SignalExit

TEXT_LENGTH_MAX: Final = 4_096  # Telegram's, after its markup is parsed, in UTF-16 units
CAPTION_LENGTH_MAX: Final = 1_024
FREE_TEXT_MAX: Final = 3_000
NAME_MAX: Final = 60
_NOTE_MAX: Final = 300
_NOTES_MAX: Final = 8
_CONDITIONS_MAX: Final = 12
_CENT: Final = Decimal("0.01")
_TAG: Final = re.compile(r"</?(?:b|i|code)>")

Notes = tuple[tuple[int, str], ...]


def signal_text(voice: Voice, signal: Signal, *, notes: Notes = (), repeats: int = 0) -> str:
    """The living message of a signal: its entry, and once it has ended how it ended."""
    parts = [
        _head(voice, signal),
        _levels(voice.words, signal),
        _reasons(voice.words, signal, _CONDITIONS_MAX),
        _notes(voice.words, notes[-_NOTES_MAX:]),
        _foot(voice, signal, repeats),
    ]
    return "\n\n".join(part for part in parts if part)


def signal_caption(voice: Voice, signal: Signal, *, notes: Notes = (), repeats: int = 0) -> str:
    """The same under a picture, where Telegram takes 1,024 characters: what explains goes first, then older notes."""
    full = signal_text(voice, signal, notes=notes, repeats=repeats)
    if utf16_length(plain_text(full)) <= CAPTION_LENGTH_MAX:
        return full
    head, levels, foot = _head(voice, signal), _levels(voice.words, signal), _foot(voice, signal, repeats)
    shorter = [
        [head, levels, _reasons(voice.words, signal, count), _notes(voice.words, notes[-told:] if told else ()), foot]
        for count, told in ((3, 2), (0, 1), (0, 0))
    ]
    for parts in (*shorter, [head, levels, foot]):
        text = "\n\n".join(part for part in [*parts[:-1], voice.words.picture, parts[-1]] if part)
        if utf16_length(plain_text(text)) <= CAPTION_LENGTH_MAX:
            return text
    return _foot(voice, signal, repeats)


def exit_notice(voice: Voice, signal: Signal, *, repeats: int = 0) -> str:
    """The short reply that makes a phone ring: an edit does not. Raises ValueError for an open signal."""
    end = signal.exit
    if end is None:
        raise ValueError(f"an exit notice needs a closed signal, was open ({signal.signal_id})")
    words = voice.words
    text = words.exit_notice.format(
        mark=exit_mark(end),
        side=words.side[signal.side.value],
        symbol=clipped(signal.symbol, NAME_MAX),
        price=price_text(end.price, signal.price_decimals),
        pnl=signed_percent(end.pnl_pct),
        gain=_gain(words, words.gain_short, signal),
        reason=_capital(words.exit_reason[end.reason.value]),
        lasted=words.duration.format(duration=duration_text(end.closed_at_ms - signal.opened_at_ms)),
    )
    mark = repeat_mark(words, repeats)
    return f"{text}\n{mark}" if mark else text


def chart_caption(voice: Voice, signal: Signal) -> str:
    """The line under a chart."""
    words = voice.words
    values = {"side": words.side[signal.side.value], "symbol": clipped(signal.symbol, NAME_MAX)}
    values |= {"timeframe": signal.timeframe.value, "signal_id": signal.signal_id}
    if signal.exit is None:
        return words.chart_caption.format(**values)
    return words.chart_caption_closed.format(**values, pnl=signed_percent(signal.exit.pnl_pct))


def score_of(conditions: tuple[Condition, ...], score: float | None = None) -> float | None:
    """What a strategy with a score of 0..100 gave, as such or as a condition; None where it has none."""
    if score is not None:
        return score
    return next((condition.value for condition in conditions if condition.name == "score"), None)


def plain_text(text: str) -> str:
    """The message without its markup, for consoles and logs."""
    return html.unescape(_TAG.sub("", text))


def utf16_length(text: str) -> int:
    """As Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def price_text(price: float, decimals: int | None) -> str:
    """The price with the instrument's decimals; without them as it is."""
    return f"{price!r}" if decimals is None else f"{price:.{decimals}f}"


def signed_percent(value: float) -> str:
    """+1.50 or -0.70; a rounded zero has no minus."""
    text = f"{value:+.2f}"
    return "+0.00" if text == "-0.00" else text


def gain_of(signal: Signal) -> Decimal | None:
    """What the move was worth on the size its strategy gave it: quote currency, before fees, negative for a loss.

    None while the signal is open, and where its strategy gave no size.
    """
    if signal.exit is None or signal.sizing is None:
        return None
    entry, end, quantity = (Decimal(repr(x)) for x in (signal.entry_price, signal.exit.price, signal.sizing.quantity))
    return (end - entry if signal.side is Direction.LONG else entry - end) * quantity


def signed_money(value: Decimal) -> str:
    """+1,234.50 or -0.07; below a hundredth two significant digits, +0.0012 say; a zero is +0.00."""
    if not value:
        return "+0.00"
    return f"{value:+,.2f}" if abs(value) >= _CENT else f"{value:+.{1 - value.adjusted()}f}"


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


def side_mark(side: Direction) -> str:
    """An arrow for a signal's side."""
    return "⬆️" if side is Direction.LONG else "⬇️"


def exit_mark(end: SignalExit) -> str:
    """Whether it gained."""
    return "✅" if end.pnl_pct > 0 else "❌"


def figure(value: float | None) -> str:
    """Four significant digits without an exponent for everyday sizes."""
    if value is None:
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - from here digits group better


def condition_text(words: Words, condition: Condition) -> str:
    """One condition with its value and threshold."""
    name = clipped(condition.name.replace("_", " "), NAME_MAX)
    return words.condition.format(name=name, value=figure(condition.value), threshold=figure(condition.threshold))


def repeat_mark(words: Words, repeats: int) -> str:
    """The line that says a copy may have arrived before; empty without repeats."""
    return words.repeat.format(count=repeats) if repeats else ""


def clipped(text: str, length_max: int) -> str:
    """Escaped, cut before escaping so that no entity is torn."""
    return html.escape(text if len(text) <= length_max else text[: length_max - 1] + "…", quote=False)


def _head(voice: Voice, signal: Signal) -> str:
    return _entry_head(voice.words, signal) if signal.exit is None else _exit_head(voice, signal, signal.exit)


def _entry_head(words: Words, signal: Signal) -> str:
    symbol = clipped(signal.symbol, NAME_MAX)
    return words.entry_title.format(arrow=side_mark(signal.side), side=words.side[signal.side.value], symbol=symbol)


def _exit_head(voice: Voice, signal: Signal, end: SignalExit) -> str:
    words, symbol = voice.words, clipped(signal.symbol, NAME_MAX)
    outcome = words.outcome["won" if end.pnl_pct > 0 else "lost"]
    title = words.exit_title.format(
        mark=exit_mark(end), outcome=outcome, side=words.side[signal.side.value], symbol=symbol
    )
    reason = _capital(words.exit_reason[end.reason.value])
    lasted = words.duration.format(duration=duration_text(end.closed_at_ms - signal.opened_at_ms))
    how = "" if end.resolution is Resolution.CANDLE else f"\n<i>{words.resolution[end.resolution.value]}</i>"
    price = words.exit.format(price=price_text(end.price, signal.price_decimals))
    result = words.result.format(pnl=signed_percent(end.pnl_pct), gain=_gain(words, words.gain, signal))
    told = f"{reason} {lasted} · {voice.time(end.closed_at_ms)}{how}"
    return f"{title}\n\n{price}\n{result}\n{told}"


def _gain(words: Words, template: str, signal: Signal) -> str:
    """Behind the percentage, where the strategy said how large; the percentage knows of no fees either."""
    gain = gain_of(signal)
    if gain is None or signal.sizing is None:
        return ""
    currency = clipped(base_and_quote(signal.symbol)[1], NAME_MAX) or words.quote_currency
    return template.format(gain=signed_money(gain), currency=currency, quantity=f"{signal.sizing.quantity:.8g}")


def _levels(words: Words, signal: Signal) -> str:
    lines = [words.entry.format(price=price_text(signal.entry_price, signal.price_decimals))]
    for template, level in ((words.take_profit, signal.take_profit), (words.stop_loss, signal.stop_loss)):
        if level is not None:
            distance = signed_percent((level / signal.entry_price - 1) * 100)
            lines.append(template.format(price=price_text(level, signal.price_decimals), distance=distance))
    extra = [_risk_reward(words, signal), _score(words, signal)]
    if any(extra):
        lines.append(" · ".join(part for part in extra if part))
    if signal.exit is None and signal.sizing is not None:
        lines.append(_sizing(words, signal.sizing))
    return "\n".join(lines)


def _sizing(words: Words, sizing: Sizing) -> str:
    """How large the strategy would make it, for the account it assumes, and what the stop would cost of that."""
    parts = [
        words.sizing.format(
            quantity=f"{sizing.quantity:.8g}",
            notional=f"{sizing.notional:,.2f}",
            fraction=figure(sizing.fraction * 100),
            equity=f"{sizing.equity:,.2f}",
        )
    ]
    if sizing.risk_pct is not None:
        parts.append(words.sizing_risk.format(risk=figure(sizing.risk_pct)))
    if sizing.open_risk_pct is not None and sizing.open_risk_pct_max is not None:
        risks = {"open_risk": figure(sizing.open_risk_pct), "max": figure(sizing.open_risk_pct_max)}
        parts.append(words.sizing_open_risk.format(**risks))
    return " · ".join(parts)


def _risk_reward(words: Words, signal: Signal) -> str:
    if signal.take_profit is None or signal.stop_loss is None:
        return ""
    ratio = abs(signal.take_profit - signal.entry_price) / abs(signal.entry_price - signal.stop_loss)
    return words.risk_reward.format(ratio=f"{ratio:.2f}")


def _score(words: Words, signal: Signal) -> str:
    score = score_of(signal.conditions, signal.score)
    return "" if score is None else words.score.format(score=f"{score:.1f}")


def _reasons(words: Words, signal: Signal, conditions_max: int) -> str:
    trigger = words.model.get(signal.trigger, signal.trigger)  # a model's trigger is its name
    trigger = f" · {clipped(trigger, NAME_MAX)}" if trigger else ""
    where = f"{signal.timeframe.value} · {clipped(signal.exchange, NAME_MAX)}"
    lines = [f"<i>{clipped(signal.strategy, NAME_MAX)}{trigger}</i> · {where}"]
    passed = [condition for condition in signal.conditions if condition.passed and condition.name != "score"]
    lines += [f"✓ {condition_text(words, condition)}" for condition in passed[:conditions_max]]
    if conditions_max and len(passed) > conditions_max:
        lines.append(words.more.format(count=len(passed) - conditions_max))
    if signal.bias and signal.bias != "none":
        lines.append(words.bias.format(bias=clipped(signal.bias, _NOTE_MAX)))
    return "\n".join(lines)


def _notes(words: Words, notes: Notes) -> str:
    return "\n".join(words.note.format(note=clipped(note, _NOTE_MAX)) for _, note in notes)


def _foot(voice: Voice, signal: Signal, repeats: int) -> str:
    line = f"<code>{signal.signal_id}</code> · {voice.time(signal.opened_at_ms)}"
    mark = repeat_mark(voice.words, repeats)
    return f"{line}\n{mark}" if mark else line


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
