"""What can be looked at: status, health, open signals, followed markets, the bias. Reads, and changes nothing."""

import html
from collections.abc import Callable
from typing import Final

import msgspec

from services.notifier.core.chart_model import DEFAULT_LOOK, ChartLook
from services.notifier.core.macro_state import macro_state_text
from services.notifier.core.macro_texts import ToldBias
from services.notifier.core.results_texts import results_text
from services.notifier.core.texts import clipped, price_text, side_mark
from services.notifier.core.voice import Voice
from services.notifier.state import NotifierState
from shared.cache.port import Cache
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.config import TrackerConfig
from shared.store.port import Store
from shared.store.signals import SignalStore, SlotStore

SERVICES: Final = ("ingestion", "aggregator", "logic_engine", "notifier")  # as they report to the cache
_SIGNALS_SHOWN_MAX: Final = 30
_NAME_MAX: Final = 60
_SYMBOLS_MAX: Final = 200


class Looking:
    """Answers from store, cache and configuration. status: the figures of this process's sender, if it has one."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        config: TrackerConfig,
        status: Callable[[], dict[str, object]],
        look: ChartLook = DEFAULT_LOOK,
    ) -> None:
        self._slots = SlotStore(store)
        self._signals = SignalStore(store)
        self._state = NotifierState(store)
        self._cache = cache
        self._config = config
        self._status = status
        self._look = look
        self.markets = [(exchange, symbol) for exchange, venue in config.venues.items() for symbol in venue.symbols]

    @property
    def usual_timeframe(self) -> Timeframe:
        """Where none is named: the first strategy's."""
        enabled = self._config.enabled_strategies
        return enabled[0].timeframe if enabled else Timeframe.M15

    def look(self, voice: Voice) -> ChartLook:
        """A chart in the chat's language and time zone."""
        return msgspec.structs.replace(self._look, language=voice.words.code, zone=voice.zone)

    async def status_text(self, voice: Voice, now_ms: int, *, paused: bool) -> str:
        """What waits, what was sent since the sender started, and how the closed signals went. now_ms: market time."""
        figures = {**dict.fromkeys(_FIGURES, "?"), **(await self._reported("notifier")), **self._status()}
        known = {name: figures[name] for name in _FIGURES}
        text = voice.words.status.format(**known, signals="⏸" if paused else "▶️")
        kinds = {one.name: one.kind or one.name for one in self._config.strategies}
        results = results_text(voice, [record.signal for record in await self._signals.all()], kinds, now_ms)
        return f"{text}\n\n{results}" if results else text

    async def health_text(self, voice: Voice) -> str:
        """Which services report."""
        lines = []
        for name in SERVICES:
            words = voice.words
            report = await self._cache.get(f"status:{name}")
            lines.append((words.health_down if report is None else words.health_up).format(service=name))
        return "\n".join(lines)

    async def signals_text(self, voice: Voice) -> str:
        """Every open signal, the newest first."""
        open_ids = [slot.signal_id for slot in (await self._slots.all()).values() if slot.signal_id]
        records = await self._signals.get_many(open_ids)
        signals = sorted((record.signal for record in records.values()), key=lambda one: -one.opened_at_ms)
        signals = [signal for signal in signals if signal.exit is None]
        if not signals:
            return voice.words.signals_none
        lines = [voice.words.signals_title.format(count=len(signals))]
        lines += [_line(voice, signal) for signal in signals[:_SIGNALS_SHOWN_MAX]]
        if len(signals) > _SIGNALS_SHOWN_MAX:
            lines.append(voice.words.more.format(count=len(signals) - _SIGNALS_SHOWN_MAX))
        return "\n".join(lines)

    def symbols_text(self, voice: Voice) -> str:
        """Markets by venue, and the strategies over them."""
        strategies = ", ".join(
            f"{html.escape(one.name)} {one.timeframe.value}" for one in self._config.enabled_strategies
        )
        parts = []
        for exchange, venue in self._config.venues.items():
            shown = [html.escape(symbol) for symbol in venue.symbols[:_SYMBOLS_MAX]]
            if len(venue.symbols) > len(shown):
                shown.append(voice.words.more.format(count=len(venue.symbols) - len(shown)))
            parts.append(
                voice.words.symbols_title.format(
                    exchange=html.escape(exchange), symbols=", ".join(shown), strategies=strategies
                )
            )
        return "\n\n".join(parts)

    async def macro_text(self, voice: Voice, now_ms: int) -> str:
        """State, parts and expiry of every pair's bias."""
        known = await self._state.biases()
        if not known:
            return voice.words.macro_none
        held = [
            ToldBias(bias=one.bias, binding=one.binding if one.bias.expires_at_ms > now_ms else None, before=None)
            for one in known
        ]
        return macro_state_text(voice, held, now_ms)

    async def _reported(self, service: str) -> dict[str, object]:
        value = await self._cache.get(f"status:{service}")
        return msgspec.json.decode(value, type=dict[str, object]) if value else {}


_FIGURES: Final = ("open", "in_flight", "sent", "edited", "merged", "repeats", "failed", "expired", "digests")


def _line(voice: Voice, signal: Signal) -> str:
    return voice.words.signal_line.format(
        arrow=side_mark(signal.side),
        side=voice.words.side[signal.side.value],
        symbol=clipped(signal.symbol, _NAME_MAX),
        timeframe=signal.timeframe.value,
        price=price_text(signal.entry_price, signal.price_decimals),
        time=voice.time(signal.opened_at_ms),
    )
