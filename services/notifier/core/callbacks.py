"""Buttons: what fits into Telegram's 64 bytes and names what is asked for. Nothing is remembered: they survive restarts."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from services.notifier.core.languages import Words
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe

CALLBACK_BYTES_MAX: Final = 64
CHART_TIMEFRAMES: Final = (Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4)
_SIGNAL: Final = re.compile(r"(chart|why|took|skip|mute):([0-9a-f]{16})")
_TIMEFRAME: Final = re.compile(r"tf:([0-9a-z]{2,3}):([0-9a-f]{16})")
_MARKET: Final = re.compile(r"market:([0-9a-z]{2,3}):([^:#]+):([^:#]+)")
_SYMBOL_SHOWN_MAX: Final = 16
NO_CHOICES: Final[Mapping[str, int]] = {}


class Button(msgspec.Struct, frozen=True):
    """One button under a message."""

    text: str
    data: str


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """What a button asks for. action: chart, why, took, skip, mute (of a signal), tf (its chart in another timeframe), market."""

    action: str
    signal_id: str = ""
    timeframe: Timeframe | None = None
    exchange: str = ""
    symbol: str = ""


Keyboard = tuple[tuple[Button, ...], ...]


def chart_callback(signal_id: str) -> str:
    """The data of a chart button."""
    return f"chart:{signal_id}"


def signal_keyboard(words: Words, signal: Signal, choices: Mapping[str, int] = NO_CHOICES) -> Keyboard:
    """Under a signal: Chart and Why; while it is open also Took it, Skip and Mute.

    choices: how many people chose took or skip; once the signal has ended only what somebody chose stays.
    """
    names = words.button
    first = (Button(names["chart"], chart_callback(signal.signal_id)), Button(names["why"], f"why:{signal.signal_id}"))
    choosing = tuple(
        Button(_choice_text(words, choice, choices.get(choice, 0)), f"{choice}:{signal.signal_id}")
        for choice in ("took", "skip")
        if signal.exit is None or choices.get(choice)
    )
    if signal.exit is not None:
        return (first, choosing) if choosing else (first,)
    symbol = signal.symbol if len(signal.symbol) <= _SYMBOL_SHOWN_MAX else signal.symbol[: _SYMBOL_SHOWN_MAX - 1] + "…"
    return (
        first,
        choosing,
        (Button(names["mute"].format(symbol=symbol), f"mute:{signal.signal_id}"),),
    )


def _choice_text(words: Words, choice: str, count: int) -> str:
    if not count:
        return words.button[choice]
    chosen = words.button[f"{choice}_chosen"]
    return chosen if count == 1 else f"{chosen} · {count}"


def chart_keyboard(signal: Signal) -> Keyboard:
    """Under a signal's chart: the same market in other timeframes."""
    return (tuple(Button(frame.value, f"tf:{frame.value}:{signal.signal_id}") for frame in CHART_TIMEFRAMES),)


def market_keyboard(exchange: str, symbol: str) -> Keyboard:
    """Under a chart that was asked for by name; none where the names are too long for a button."""
    buttons = tuple(Button(frame.value, f"market:{frame.value}:{exchange}:{symbol}") for frame in CHART_TIMEFRAMES)
    fits = all(len(button.data.encode()) <= CALLBACK_BYTES_MAX for button in buttons)
    return (buttons,) if fits else ()


def press_of(data: str | None) -> Press | None:
    """What the data of a button asks for; None for anything that is no button of ours."""
    text = data or ""
    if match := _SIGNAL.fullmatch(text):
        return Press(action=match.group(1), signal_id=match.group(2))
    if match := _TIMEFRAME.fullmatch(text):
        return _with_timeframe(match.group(1), Press(action="tf", signal_id=match.group(2)))
    if match := _MARKET.fullmatch(text):
        press = Press(action="market", exchange=match.group(2), symbol=match.group(3))
        return _with_timeframe(match.group(1), press)
    return None


def _with_timeframe(name: str, press: Press) -> Press | None:
    if name not in {frame.value for frame in Timeframe}:
        return None
    return msgspec.structs.replace(press, timeframe=Timeframe(name))
