"""Which versions of the macro bias are worth a message: a new regime, or a strong bias that begins, ends or turns."""

import msgspec

from shared.domain.bias import Direction, MacroBias, bias_in_force


class KnownBias(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a pair. binding: the side that holds since `bias`; told: what the chats were told last."""

    bias: MacroBias
    binding: Direction | None
    told: MacroBias
    told_binding: Direction | None


def follow(known: KnownBias | None, bias: MacroBias) -> tuple[KnownBias, bool]:
    """The next state, and whether the version is worth a message. A version that is not newer changes nothing.

    The first version is told, unless it says nothing: neutral and no regime.
    """
    if known is not None and bias.version <= known.bias.version:
        return known, False
    binding = _binding(known, bias)
    if known is None:
        worth = binding is not None or bias.regime not in {"", "unknown"}
        return KnownBias(bias=bias, binding=binding, told=bias, told_binding=binding), worth
    worth = binding is not known.told_binding or bias.regime != known.told.regime
    told, told_binding = (bias, binding) if worth else (known.told, known.told_binding)
    return KnownBias(bias=bias, binding=binding, told=told, told_binding=told_binding), worth


def _binding(known: KnownBias | None, bias: MacroBias) -> Direction | None:
    """Strong from 80, kept until below 70, exactly as signals see it: the same fold over what holds and what is new."""
    before = [] if known is None else [_as_strong(known)]
    return bias_in_force([*before, bias], max(bias.effective_from_ms, bias.published_at_ms)).side


def _as_strong(known: KnownBias) -> MacroBias:
    """The state so far as one version: the fold needs only which side holds."""
    if known.binding is None:
        return msgspec.structs.replace(known.bias, direction=Direction.NEUTRAL)
    return msgspec.structs.replace(known.bias, direction=known.binding, confidence=100.0)
