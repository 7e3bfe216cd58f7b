"""One run: sources and candles in, a version of every pair's bias out, whatever of them could be had.

A run is named by the time it is as of, the newest 15m close. A repeated run for it makes no other versions: it publishes the stored
ones again, which changes nothing for whoever has them, and tries the pairs that failed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.macro_engine.core.bias_score import BiasScore
from services.macro_engine.core.evaluate import PairCandles, as_of, evaluate
from services.macro_engine.core.regime import SOURCE_AGE_MS_MAX, RegimeReading, Sources, read_regime
from services.macro_engine.core.versions import TTL_MS, Moment, Pair, carried_version, scored_version
from services.macro_engine.health import PAIR, Health
from services.macro_engine.history import CandleHistory
from services.macro_engine.markets import MarketBook
from services.macro_engine.memory import Memory
from services.macro_engine.sources import NOT_CONFIGURED, RegimeSources
from services.macro_engine.venue_candles import VenueCandles
from shared.bus.port import Bus
from shared.domain.bias import MacroBias
from shared.domain.errors import PermanentError, TransientError
from shared.domain.events import MacroBiasUpdated
from shared.domain.timeframe import Timeframe
from shared.exchanges.kraken.rest import KrakenRest
from shared.runtime.clock import Clock
from shared.store.bias import PUBLISHED_TABLE, BiasStore
from shared.store.port import Store

BIAS_TOPIC: Final = "macro-bias-updates"
SYSTEM_TOPIC: Final = "system-events"


class MacroLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Market time, but for run_seconds_max. quotes_like: by quote, those that stand for it where the venue lacks it."""

    ttl_ms: int = TTL_MS
    candle_age_ms_max: int = Timeframe.M15.duration_ms
    source_age_ms_max: int = SOURCE_AGE_MS_MAX
    calendar_warning_days: int = 30
    run_seconds_max: float = 240.0
    quotes_like: Mapping[str, Sequence[str]] = {}
    candle_bases: frozenset[str] = frozenset()


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. missing: why a pair has no version; repeated: pairs whose version was there and was published again."""

    as_of_ms: int
    regime: str
    score: float
    published: list[str]
    repeated: list[str]
    missing: dict[str, str]


class MacroEngine:
    """Runs over these pairs whenever it is told to."""

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        venue: KrakenRest,
        sources: RegimeSources,
        pairs: Sequence[Pair],
        limits: MacroLimits,
        log: Any,
    ) -> None:
        memory = Memory(store)
        self._bus = bus
        self._clock = clock
        self._sources = sources
        self._pairs = tuple(dict.fromkeys(pairs))
        self._limits = limits
        self._log = log
        self._published = BiasStore(store, PUBLISHED_TABLE)
        self._markets = MarketBook(memory, venue, quotes_like=limits.quotes_like)
        self._candles = VenueCandles(venue, CandleHistory(store), seconds_max=limits.run_seconds_max)
        self._health = Health(memory)

    async def run(self) -> RunReport:
        """Make and publish this quarter of an hour's versions. Raises TransientError where store or bus are away: nothing is lost by a repeat."""
        as_of_ms = as_of(self._clock.market_ms())
        latest = await self._latest(as_of_ms)
        done = {pair: bias for pair, bias in latest.items() if bias.version == as_of_ms}
        waiting = [pair for pair in self._pairs if pair not in done]
        (sources, problems), scores = await asyncio.gather(self._sources.read(), self._scores(waiting, as_of_ms))
        reading = read_regime(sources, as_of_ms, age_ms_max=self._limits.source_age_ms_max)
        inputs = self._inputs(sources, reading, problems, as_of_ms)
        made = self._versions(
            scores, latest, reading, tuple(f"{name}: {text}" for name, text in inputs.items()), as_of_ms
        )
        new = await self._claim(made)
        missing = {str(pair): str(score) for pair, score in scores.items() if not isinstance(score, BiasScore)}
        await self._publish([*done.values(), *new])
        await self._tell(inputs, missing, as_of_ms)
        report = RunReport(
            as_of_ms=as_of_ms,
            regime=reading.regime,
            score=reading.score,
            published=[f"{bias.base}/{bias.quote} {bias.direction} {bias.confidence:g}" for bias in new],
            repeated=[str(pair) for pair in done],
            missing={**inputs, **missing},
        )
        self._log.info("macro_run", **msgspec.structs.asdict(report))
        return report

    def _inputs(
        self, sources: Sources, reading: RegimeReading, problems: Mapping[str, str], as_of_ms: int
    ) -> dict[str, str]:
        """What is out of order with the regime's inputs, by name."""
        found = {**problems, **reading.missing}
        left = sources.fomc.days_left(as_of_ms) if sources.fomc else -1
        if sources.fomc and 0 <= left < self._limits.calendar_warning_days:
            found["fomc calendar"] = f"its last day is {sources.fomc.days[-1]}, in {left} days: add the next year's"
        return dict(sorted(found.items()))

    async def _latest(self, as_of_ms: int) -> dict[Pair, MacroBias]:
        """The newest version of each pair that may still hold, or be of this very time."""
        from_version = as_of_ms - self._limits.ttl_ms - Timeframe.M15.duration_ms
        found = await asyncio.gather(
            *(self._published.versions(pair.base, pair.quote, from_version=from_version) for pair in self._pairs)
        )
        known = ([bias for bias in versions if bias.version <= as_of_ms] for versions in found)
        return {pair: versions[-1] for pair, versions in zip(self._pairs, known, strict=True) if versions}

    async def _scores(self, pairs: Sequence[Pair], as_of_ms: int) -> dict[Pair, BiasScore | Exception]:
        """Each pair's score, or the error that says why there is none."""
        if not pairs:
            return {}
        try:
            named = await self._markets.symbols(pairs, self._clock.market_ms())
        except (TransientError, PermanentError) as error:
            return dict.fromkeys(pairs, error)
        symbols = {pair: symbol for pair, symbol in named.items() if isinstance(symbol, str)}
        answers = await self._candles.read(symbols, as_of_ms)
        found: dict[Pair, BiasScore | Exception] = {}
        for pair in pairs:
            symbol = named[pair]
            answer = answers[pair] if isinstance(symbol, str) else symbol
            found[pair] = self._score(pair, answer, as_of_ms) if isinstance(answer, PairCandles) else answer
        return found

    def _score(self, pair: Pair, candles: PairCandles, as_of_ms: int) -> BiasScore | PermanentError:
        try:
            return evaluate(
                candles,
                as_of_ms,
                age_ms_max=self._limits.candle_age_ms_max,
                candle_decides=pair.base in self._limits.candle_bases,
            )
        except PermanentError as error:
            return error

    def _versions(
        self,
        scores: Mapping[Pair, BiasScore | Exception],
        latest: Mapping[Pair, MacroBias],
        reading: RegimeReading,
        notes: tuple[str, ...],
        as_of_ms: int,
    ) -> list[MacroBias]:
        published_at_ms = self._clock.market_ms()
        moment = Moment(as_of_ms=as_of_ms, published_at_ms=published_at_ms, ttl_ms=self._limits.ttl_ms, notes=notes)
        made: list[MacroBias] = []
        for pair, score in scores.items():
            if isinstance(score, BiasScore):
                made.append(scored_version(pair, score, reading, moment))
            elif carried := carried_version(pair, latest.get(pair), reading, str(score), moment):
                made.append(carried)
        return made

    async def _claim(self, made: Sequence[MacroBias]) -> list[MacroBias]:
        """Store what is to be published; where another run was quicker, its version is the one."""
        if not made:
            return []
        stored = await self._published.save(made, fence=None)
        claimed = []
        for bias, ours in zip(made, stored, strict=True):
            theirs = [] if ours else await self._published.versions(bias.base, bias.quote, from_version=bias.version)
            claimed.append(theirs[0] if theirs else bias)
        return claimed

    async def _publish(self, versions: Sequence[MacroBias]) -> None:
        if versions:
            await self._bus.publish(BIAS_TOPIC, [MacroBiasUpdated(bias=bias) for bias in versions])

    async def _tell(self, inputs: Mapping[str, str], missing: Mapping[str, str], as_of_ms: int) -> None:
        """Say what has begun or ceased to be out of order."""
        begun = {name: reason for name, reason in inputs.items() if reason != NOT_CONFIGURED}
        state = {**begun, **{PAIR + name: reason for name, reason in missing.items()}}
        events = await self._health.changes(state, as_of_ms=as_of_ms, at_ms=self._clock.market_ms())
        if events:
            await self._bus.publish(SYSTEM_TOPIC, events)
        await self._health.remember(state)
