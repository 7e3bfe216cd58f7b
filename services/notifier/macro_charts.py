"""Loads what the macro engine has published of a pair and draws it beside the messages."""

import math
from typing import Final

from services.notifier.chart_pool import ProcessChartPool
from services.notifier.core.event_texts import regime_name
from services.notifier.core.macro_texts import ToldBias
from services.notifier.core.voice import Voice
from services.notifier.macro_drawing import MacroChartModel, draw_macro
from shared.domain.bias import Direction, MacroBias, bias_in_force
from shared.store.bias import PUBLISHED_TABLE, BiasStore
from shared.store.port import Store

SPAN_MS: Final = 48 * 3_600_000
VERSIONS_MIN: Final = 4  # fewer show nothing that the text does not say
_FOLDED: Final = 16  # versions before one that can matter: more have expired


class MacroCharts:
    """Pictures of the last two days of a pair's bias."""

    def __init__(self, store: Store, pool: ProcessChartPool, *, theme: str) -> None:
        self._biases = BiasStore(store, PUBLISHED_TABLE)
        self._pool = pool
        self._theme = theme

    async def picture(self, voice: Voice, told: ToldBias) -> bytes | None:
        """The picture as PNG up to the told version; None while too little has been published."""
        from_version = told.bias.version - SPAN_MS
        stored = await self._biases.versions(told.bias.base, told.bias.quote, from_version=from_version)
        versions = [bias for bias in stored if bias.version <= told.bias.version]
        if len(versions) < VERSIONS_MIN:
            return None
        return await self._pool.drawn(draw_macro, macro_model(voice, told.pair, versions, theme=self._theme))


def macro_model(voice: Voice, pair: str, versions: list[MacroBias], *, theme: str) -> MacroChartModel:
    """What the picture shows. versions: of one pair, oldest first, not empty."""
    words, newest = voice.words, versions[-1]
    side = words.macro_side[newest.direction.value]
    binding = []
    for number, bias in enumerate(versions):
        force = bias_in_force(versions[max(0, number - _FOLDED) : number + 1], bias.effective_from_ms)
        binding.append(force.side.value if force.side else "")
    return MacroChartModel(
        title=f"{pair}  {side} {newest.confidence:g}/100  {regime_name(words, newest.regime)}",
        times_ms=tuple(bias.effective_from_ms for bias in versions),
        ends_ms=min(newest.expires_at_ms, newest.effective_from_ms + 900_000),
        closes=tuple(bias.components.get("value.close", math.nan) for bias in versions),
        scores=tuple(bias.confidence * (-1 if bias.direction is Direction.SHORT else 1) for bias in versions),
        binding=tuple(binding),
        regimes=tuple(bias.regime for bias in versions),
        theme=theme,
    )
