"""What a message about the macro bias says: of one pair, or of several that changed together."""

from collections.abc import Sequence
from typing import Final

import msgspec

from services.notifier.core.event_texts import macro_text, regime_name
from services.notifier.core.texts import CAPTION_LENGTH_MAX, NAME_MAX, clipped, plain_text, repeat_mark, utf16_length
from services.notifier.core.voice import Voice
from shared.domain.bias import Direction, MacroBias
from shared.domain.events import MacroBiasUpdated
from shared.domain.outbox import OutboxRow

_PAIRS_MAX: Final = 30
_NAMED_MAX: Final = 4


class ToldBias(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's newest bias, the side that binds, and what its chat was told before."""

    bias: MacroBias
    binding: Direction | None
    before: MacroBias | None

    @property
    def pair(self) -> str:
        """BTC/USDT."""
        return f"{self.bias.base}/{self.bias.quote}"

    @property
    def regime_changed(self) -> bool:
        """Whether the chat knew of another regime."""
        return self.before is not None and self.before.regime != self.bias.regime


def told_biases(rows: Sequence[OutboxRow]) -> list[ToldBias]:
    """Of each pair the newest version, in order of names. rows: in the order of their versions."""
    found: dict[str, ToldBias] = {}
    for row in rows:
        if isinstance(row.event, MacroBiasUpdated):
            told = ToldBias(bias=row.event.bias, binding=row.bias_binding, before=row.bias_before)
            first = found.get(told.pair)
            found[told.pair] = msgspec.structs.replace(told, before=first.before) if first else told
    return [found[pair] for pair in sorted(found)]


def bias_text(voice: Voice, told: Sequence[ToldBias], *, repeats: int = 0, short: bool = False) -> str:
    """One pair in full (short: without its parts); of several the regime once, and a line for each. told: not empty."""
    newest = max(told, key=lambda one: one.bias.version).bias
    if len(told) == 1:
        [only] = told
        shown = msgspec.structs.replace(newest, components={}) if short else newest
        paragraphs = [macro_text(voice, shown, binding=only.binding, before=only.before)]
    else:
        paragraphs = [bias_head(voice, told, newest), "\n".join(pair_line(voice, one) for one in told[:_PAIRS_MAX])]
        effective, expires = voice.time(newest.effective_from_ms), voice.time(newest.expires_at_ms)
        paragraphs.append(voice.words.macro_times.format(effective=effective, expires=expires))
    return "\n\n".join(part for part in (*paragraphs, repeat_mark(voice.words, repeats)) if part)


def bias_caption(voice: Voice, told: Sequence[ToldBias], *, repeats: int = 0) -> str:
    """The text under a picture: the whole, else without the parts; empty where even that is too long for Telegram."""
    for short in (False, True):
        text = bias_text(voice, told, repeats=repeats, short=short)
        if utf16_length(plain_text(text)) <= CAPTION_LENGTH_MAX:
            return text
    return ""


def bias_head(voice: Voice, told: Sequence[ToldBias], newest: MacroBias) -> str:
    """Which pairs, and the regime with the one known before."""
    words = voice.words
    names = [clipped(one.pair, NAME_MAX) for one in told]
    if len(names) > _NAMED_MAX:
        names = [*names[:_NAMED_MAX], words.more.format(count=len(names) - _NAMED_MAX)]
    before = sorted({regime_name(words, one.before.regime) for one in told if one.before and one.regime_changed})
    line = words.macro_regime_change if before else words.macro_regime_line
    regime = line.format(regime=regime_name(words, newest.regime), before=", ".join(before))
    return f"{words.macro_title.format(pair=', '.join(names))}\n{regime}"


def pair_line(voice: Voice, one: ToldBias) -> str:
    """A pair's side, score and whether it binds."""
    words = voice.words
    strength = words.macro_strength["weak" if one.binding is None else "strong"]
    side = words.macro_side[one.bias.direction.value]
    return f"<code>{clipped(one.pair, NAME_MAX)}</code> {strength.format(side=side, confidence=f'{one.bias.confidence:g}')}"
