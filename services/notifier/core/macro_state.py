"""What /macro answers: the regime with its parts, then every pair's side, score, parts and expiry."""

from collections.abc import Sequence
from typing import Final

from services.notifier.core.event_texts import macro_text
from services.notifier.core.macro_texts import ToldBias, bias_head, pair_line
from services.notifier.core.texts import NAME_MAX, clipped, figure
from services.notifier.core.voice import Voice
from shared.domain.bias import MacroBias

_TEXT_BUDGET: Final = 3_400  # of 4,096; one more pair's part fits behind it
_NOTE_MAX: Final = 120
_NOTES_MAX: Final = 5


def macro_state_text(voice: Voice, known: Sequence[ToldBias], now_ms: int) -> str:
    """One pair in full; of several the market's part once and a paragraph for each. known: what holds, not empty."""
    ordered = sorted(known, key=lambda one: one.pair)
    newest = max(ordered, key=lambda one: one.bias.version).bias
    if len(ordered) == 1:
        whole = [macro_text(voice, newest, binding=ordered[0].binding), _expiry(voice, newest, now_ms)]
        return "\n".join(part for part in (*whole, _notes(voice, newest)) if part)
    parts = [_joined(bias_head(voice, ordered, newest), _regime_parts(voice, newest), _notes(voice, newest))]
    for index, one in enumerate(ordered):
        if sum(len(part) for part in parts) > _TEXT_BUDGET:
            parts.append(voice.words.more.format(count=len(ordered) - index))
            break
        parts.append(_paragraph(voice, one, now_ms))
    return "\n\n".join(parts)


def _paragraph(voice: Voice, one: ToldBias, now_ms: int) -> str:
    bias = one.bias
    scored = [
        f"{clipped(name.removeprefix('score.').replace('_', ' '), NAME_MAX)} {figure(value)}"
        for name, value in bias.components.items()
        if name.startswith("score.")
    ]
    until = voice.words.macro_times.format(
        effective=voice.time(bias.effective_from_ms), expires=voice.time(bias.expires_at_ms)
    )
    return _joined(pair_line(voice, one), ", ".join(scored), _expiry(voice, bias, now_ms) or until)


def _expiry(voice: Voice, bias: MacroBias, now_ms: int) -> str:
    return voice.words.macro_expired if bias.expires_at_ms <= now_ms else ""


def _regime_parts(voice: Voice, bias: MacroBias) -> str:
    return "\n".join(
        voice.words.macro_part.format(
            name=clipped(name.removeprefix("regime.").replace("_", " "), NAME_MAX), value=figure(value)
        )
        for name, value in bias.components.items()
        if name.startswith("regime.")
    )


def _notes(voice: Voice, bias: MacroBias) -> str:
    """What was missing, in the macro engine's own words."""
    noted = (note.partition(": ") for note in bias.notes[:_NOTES_MAX])
    return "\n".join(
        voice.words.macro_part.format(name=clipped(name, NAME_MAX), value=clipped(reason, _NOTE_MAX))
        for name, _, reason in noted
    )


def _joined(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
