"""What is told besides signals: alerts (several of a pair as a tree), the market's bias, the platform, digests."""

from collections.abc import Sequence
from typing import Final

from services.notifier.core.languages import Words
from services.notifier.core.texts import (
    FREE_TEXT_MAX,
    NAME_MAX,
    clipped,
    exit_mark,
    figure,
    price_text,
    repeat_mark,
    side_mark,
    signed_percent,
)
from services.notifier.core.voice import Voice
from shared.domain.bias import Direction, MacroBias
from shared.domain.events import AlertRaised, MacroBiasUpdated, Severity, SystemEvent
from shared.domain.outbox import OutboxEvent
from shared.domain.signals import Signal

_ALERT_MARKS: Final = {Direction.LONG: "🟢", Direction.SHORT: "🔴", Direction.NEUTRAL: "🔔"}
_SEVERITY_MARKS: Final = {Severity.INFO: "\N{INFORMATION SOURCE}\ufe0f", Severity.WARNING: "⚠️", Severity.ERROR: "🛑"}
_LOUDNESS: Final = (Severity.INFO, Severity.WARNING, Severity.ERROR)
_VALUES_MAX: Final = 8
_LINES_MAX: Final = 30
_LINE_TEXT_MAX: Final = 300
_BUDGET: Final = 3_700  # of 4,096, the rest for head and foot; tags count as text here, which errs on the safe side


def alerts_text(voice: Voice, alerts: Sequence[AlertRaised], *, repeats: int = 0) -> str:
    """One alert, or several of one pair as a tree under one headline (SYSTEMS 1.6). alerts: not empty."""
    newest = max(alerts, key=lambda alert: alert.candle_close_time_ms)
    values = {"symbol": clipped(newest.symbol, NAME_MAX), "price": price_text(newest.price, newest.price_decimals)}
    sides = {alert.side for alert in alerts}
    mark = _ALERT_MARKS[sides.pop() if len(sides) == 1 else Direction.NEUTRAL]
    time = voice.time(newest.candle_close_time_ms)
    repeat = repeat_mark(voice.words, repeats)
    if len(alerts) == 1:
        extra = _values(newest)
        title = f"<b>{_alert_title(voice.words, newest)}</b>"
        body = voice.words.alert.format(mark=mark, **values, title=title, values=f" : {extra}" if extra else "")
        return _lines(body, clipped(newest.text, FREE_TEXT_MAX), f"{_where(newest)}\n{time}", repeat)
    headline = voice.words.alert_several.format(mark=mark, **values, time=time)
    lines = [_branch(voice.words, alert) for alert in sorted(alerts, key=_alert_order)]
    shown, hidden = _fitting(lines)
    if hidden:
        shown.append(voice.words.more.format(count=hidden))
    tree = [f"{'└➤' if index == len(shown) - 1 else '├➤'} {line}" for index, line in enumerate(shown)]
    return _lines("\n".join([headline, *tree]), _where(newest), repeat)


def system_text(voice: Voice, events: Sequence[SystemEvent], *, repeats: int = 0) -> str:
    """Something about the platform itself; several reports of one kind in one message. events: not empty."""
    words, repeat = voice.words, repeat_mark(voice.words, repeats)
    if len(events) == 1:
        event = events[0]
        if event.kind in words.platform:
            what = clipped(event.text, FREE_TEXT_MAX)
            return _lines(words.platform[event.kind], what, voice.time(event.at_ms), repeat, gap="\n\n")
        subject = f"<code>{clipped(event.subject, NAME_MAX)}</code>"
        title = f"{_SEVERITY_MARKS[event.severity]} <b>{words.severity[event.severity.value]}</b> {_kind(words, event)} {subject}"
        return _lines(title, clipped(event.text, FREE_TEXT_MAX), voice.time(event.at_ms), repeat, gap="\n\n")
    loudest = max((event.severity for event in events), key=_LOUDNESS.index)
    ordered = sorted(events, key=lambda event: (event.at_ms, event.version))
    headline = words.system_several.format(
        mark=_SEVERITY_MARKS[loudest],
        severity=words.severity[loudest.value],
        count=len(events),
        time=voice.time(ordered[0].at_ms),
    )
    shown, hidden = _fitting([_report(words, event) for event in reversed(ordered)])  # the newest are what matters
    more = words.more.format(count=hidden) if hidden else ""
    return _lines(headline, "\n".join(reversed(shown)), more, voice.time(ordered[-1].at_ms), repeat)


def macro_text(voice: Voice, bias: MacroBias, *, binding: Direction | None, before: MacroBias | None = None) -> str:
    """The bias and regime of one pair. binding: the side that holds; before: what was told last."""
    words, pair = voice.words, f"{clipped(bias.base, NAME_MAX)}/{clipped(bias.quote, NAME_MAX)}"
    strength = words.macro_strength["weak" if binding is None else "strong"]
    lines = [words.macro_title.format(pair=pair)]
    if before is not None and before.regime != bias.regime:
        known = {"regime": regime_name(words, bias.regime), "before": regime_name(words, before.regime)}
        lines.append(words.macro_regime_change.format(**known))
    else:
        lines.append(words.macro_regime_line.format(regime=regime_name(words, bias.regime)))
    lines.append(strength.format(side=words.macro_side[bias.direction.value], confidence=f"{bias.confidence:g}"))
    if before is not None:
        told = f"{words.macro_side[before.direction.value]} {before.confidence:g}/100"
        lines.append(words.macro_change.format(before=told))
    parts = [
        words.macro_part.format(name=clipped(name.replace("_", " "), NAME_MAX), value=figure(value))
        for name, value in list(bias.components.items())[:_LINES_MAX]
    ]
    times = words.macro_times.format(
        effective=voice.time(bias.effective_from_ms), expires=voice.time(bias.expires_at_ms)
    )
    return _lines("\n".join(lines), "\n".join(parts), times)


def regime_name(words: Words, regime: str) -> str:
    """In the chat's language, where it is one of the known ones."""
    return words.macro_regime.get(regime, clipped(regime, NAME_MAX))


def digest_text(voice: Voice, events: Sequence[OutboxEvent], *, since_ms: int, repeats: int = 0) -> str:
    """Many events in one message, a line each, newest last; what does not fit is counted."""
    headline = voice.words.digest.format(count=len(events), time=voice.time(since_ms))
    shown, hidden = _fitting([digest_line(voice.words, event) for event in reversed(events)])
    more = voice.words.more.format(count=hidden) if hidden else ""
    return _lines(headline, more, "\n".join(reversed(shown)), repeat_mark(voice.words, repeats))


def digest_line(words: Words, event: OutboxEvent) -> str:
    """One event in a digest."""
    if isinstance(event, AlertRaised):
        return words.digest_other.format(text=f"<code>{clipped(event.symbol, NAME_MAX)}</code> {_branch(words, event)}")
    if isinstance(event, SystemEvent):
        return _report(words, event)
    if isinstance(event, MacroBiasUpdated):
        bias = event.bias
        side = words.macro_side[bias.direction.value]
        text = f"{clipped(bias.base, NAME_MAX)}/{clipped(bias.quote, NAME_MAX)}: {side} {bias.confidence:g}/100, "
        return words.digest_other.format(text=text + regime_name(words, bias.regime))
    return _signal_line(words, event.signal)


def _signal_line(words: Words, signal: Signal) -> str:
    values = {"side": words.side[signal.side.value], "symbol": clipped(signal.symbol, NAME_MAX)}
    if signal.exit is not None:
        end = signal.exit
        return words.digest_exit.format(mark=exit_mark(end), pnl=signed_percent(end.pnl_pct), **values)
    price = price_text(signal.entry_price, signal.price_decimals)
    timeframe = signal.timeframe.value
    return words.digest_entry.format(arrow=side_mark(signal.side), price=price, timeframe=timeframe, **values)


def _alert_title(words: Words, alert: AlertRaised) -> str:
    return words.alert_title.get(alert.alert, clipped(alert.alert.replace("_", " "), NAME_MAX))


def _values(alert: AlertRaised) -> str:
    pairs = list(alert.values.items())[:_VALUES_MAX]
    return " · ".join(f"{clipped(name.replace('_', ' '), NAME_MAX)} {figure(value)}" for name, value in pairs)


def _branch(words: Words, alert: AlertRaised) -> str:
    extra = _values(alert) or clipped(alert.text, _LINE_TEXT_MAX)
    title = f"{_ALERT_MARKS[alert.side]} <b>{_alert_title(words, alert)}</b> {alert.timeframe.value}"
    return f"{title} | {extra}" if extra else title


def _alert_order(alert: AlertRaised) -> tuple[int, str, str]:
    return alert.candle_close_time_ms, alert.strategy, alert.alert


def _where(alert: AlertRaised) -> str:
    strategy, exchange = clipped(alert.strategy, NAME_MAX), clipped(alert.exchange, NAME_MAX)
    return f"<i>{strategy}</i> · {alert.timeframe.value} · {exchange}"


def _kind(words: Words, event: SystemEvent) -> str:
    return words.system_kind.get(event.kind, clipped(event.kind.replace("_", " "), NAME_MAX))


def _report(words: Words, event: SystemEvent) -> str:
    return words.system_line.format(
        mark=_SEVERITY_MARKS[event.severity],
        kind=_kind(words, event),
        subject=clipped(event.subject, NAME_MAX),
        text=clipped(event.text, _LINE_TEXT_MAX),
    )


def _fitting(lines: Sequence[str]) -> tuple[list[str], int]:
    """The first lines that fit into one message, and how many do not."""
    shown: list[str] = []
    length = 0
    for line in lines[:_LINES_MAX]:
        length += len(line) + 1
        if length > _BUDGET:
            break
        shown.append(line)
    return shown, len(lines) - len(shown)


def _lines(*parts: str, gap: str = "\n") -> str:
    return gap.join(part for part in parts if part)
