"""What can be looked at: status, health, open signals, followed markets, the bias. Reads, and changes nothing."""

import asyncio
import html
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from services.notifier.core.chart_model import DEFAULT_LOOK, ChartLook
from services.notifier.core.macro_state import macro_state_text
from services.notifier.core.macro_texts import ToldBias
from services.notifier.core.results_texts import Running, results_text
from services.notifier.core.texts import clipped, price_text, side_mark
from services.notifier.core.voice import Voice
from services.notifier.state import NotifierState
from shared.cache.port import Cache
from shared.domain.models import SCORE_MIN, SIGNALS_PER_DAY_MAX
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.config import StrategyConfig, TrackerConfig
from shared.store.port import Store
from shared.store.signals import SignalStore, SlotStore

MACRO_ENGINE: Final = "macro_engine"
SERVICES: Final = ("ingestion", "aggregator", "logic_engine", MACRO_ENGINE, "notifier")  # as they report to the cache
_SIGNALS_SHOWN_MAX: Final = 30
_NAME_MAX: Final = 60
_SYMBOLS_MAX: Final = 200


class Looking:
    """Answers from store, cache and configuration.

    status: the figures of this process's sender, if it has one. results_seconds: how old the results in /status may be.
    """

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        config: TrackerConfig,
        status: Callable[[], dict[str, object]],
        look: ChartLook = DEFAULT_LOOK,
        results_seconds: float = 0.0,
    ) -> None:
        self._slots = SlotStore(store)
        self._signals = SignalStore(store)
        self._state = NotifierState(store)
        self._cache = cache
        self._config = config
        self._status = status
        self._look = look
        self._results = _StoredSignals(self._signals, results_seconds)
        self._strategies = {one.name: _running(one) for one in config.strategies}
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
        results = results_text(voice, await self._results.all(), self._strategies, now_ms)
        return f"{text}\n\n{results}" if results else text

    async def health_text(self, voice: Voice, now_ms: int) -> str:
        """Which services report. The macro engine may be a function that only runs now and then: its bias speaks for it."""
        lines = []
        for name in SERVICES:
            up = await self._cache.get(f"status:{name}") is not None
            if name == MACRO_ENGINE and not up:
                up = any(one.bias.expires_at_ms > now_ms for one in await self._state.biases())
            lines.append((voice.words.health_up if up else voice.words.health_down).format(service=name))
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


class _StoredSignals:
    """Every stored signal, read again only after so many seconds: the table grows for ever, and anybody's /status reads it."""

    def __init__(self, signals: SignalStore, kept_seconds: float) -> None:
        self._store = signals
        self._kept_seconds = kept_seconds
        self._known: Sequence[Signal] = ()
        self._fresh_until = float("-inf")
        self._reading = asyncio.Lock()

    async def all(self) -> Sequence[Signal]:
        """Ordered by opening time; whoever asks meanwhile waits for the one reading."""
        async with self._reading:
            clock = asyncio.get_running_loop().time
            if clock() >= self._fresh_until:
                self._known = [record.signal for record in await self._store.all()]
                self._fresh_until = clock() + self._kept_seconds
            return self._known


_FIGURES: Final = ("open", "in_flight", "sent", "edited", "merged", "repeats", "failed", "expired", "digests")


def _running(strategy: StrategyConfig) -> Running:
    """Parameters that are not numbers stop the logic engine, which names them: here the defaults stand for them."""
    given = {name: strategy.parameters.get(name) for name in ("score_min", "signals_per_day_max")}
    score_min, per_day = (value if isinstance(value, int | float) else None for value in given.values())
    return Running(
        kind=strategy.kind or strategy.name,
        enabled=strategy.enabled,
        score_min=SCORE_MIN if score_min is None else score_min,
        per_day_max=SIGNALS_PER_DAY_MAX if per_day is None else int(per_day),
    )


def _line(voice: Voice, signal: Signal) -> str:
    return voice.words.signal_line.format(
        arrow=side_mark(signal.side),
        side=voice.words.side[signal.side.value],
        symbol=clipped(signal.symbol, _NAME_MAX),
        timeframe=signal.timeframe.value,
        price=price_text(signal.entry_price, signal.price_decimals),
        time=voice.time(signal.opened_at_ms),
    )
