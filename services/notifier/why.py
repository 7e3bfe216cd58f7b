"""Finds what explains a candle: the stored Decisions, and for a strategy without one the reason why there is none."""

from collections.abc import Sequence
from typing import Final

import msgspec

from services.notifier.core.why_texts import NoDecision
from shared.domain.candles import Candle
from shared.domain.decisions import Decision, DecisionKind
from shared.domain.timeframe import Timeframe
from shared.runtime.config import TrackerConfig
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store

_LOOK_BACK_CANDLES: Final = 10  # how far the newest Decision may lie behind where no time was named
_RUN_MAX: Final = 500  # candles looked back through: more than any strategy reads


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Of one candle: what was decided on it, and why the other strategies decided nothing."""

    open_time_ms: int
    decisions: tuple[Decision, ...]
    missing: tuple[NoDecision, ...]


class Why:
    """Reads decisions and candles; makes nothing up."""

    def __init__(self, store: Store, config: TrackerConfig) -> None:
        self._candles = CandleStore(store)
        self._decisions = DecisionStore(store)
        self._config = config

    async def explain(
        self, exchange: str, symbol: str, timeframe: Timeframe, *, at_ms: int | None, now_ms: int
    ) -> Explanation:
        """The candle that holds at_ms (market time); without one the newest that was decided on."""
        strategies = [one.name for one in self._config.enabled_strategies if one.timeframe is timeframe]
        if at_ms is None:
            open_time_ms = await self._newest(strategies, exchange, symbol, timeframe, now_ms)
        else:
            open_time_ms = timeframe.open_time_ms(at_ms)
        if not strategies:
            known = ", ".join(f"{one.name} {one.timeframe.value}" for one in self._config.enabled_strategies)
            nobody = _missing("–", exchange, symbol, timeframe, open_time_ms, "not_followed", known=known)  # noqa: RUF001 - a dash for people
            return Explanation(open_time_ms=open_time_ms, decisions=(), missing=(nobody,))
        found = [await self._decisions.get(name, exchange, symbol, timeframe, open_time_ms) for name in strategies]
        missing = [
            await self._reason(name, exchange, symbol, timeframe, open_time_ms, now_ms)
            for name, decision in zip(strategies, found, strict=True)
            if decision is None
        ]
        decisions = tuple(decision for decision in found if decision is not None)
        return Explanation(open_time_ms=open_time_ms, decisions=decisions, missing=tuple(missing))

    async def _newest(
        self, strategies: Sequence[str], exchange: str, symbol: str, timeframe: Timeframe, now_ms: int
    ) -> int:
        """The newest decided candle of the last few; else the one that closed last."""
        last_ms = timeframe.open_time_ms(now_ms) - timeframe.duration_ms
        start_ms = max(0, last_ms - _LOOK_BACK_CANDLES * timeframe.duration_ms)
        times = [max(0, last_ms)] if not strategies else []
        for name in strategies:
            end_ms = last_ms + timeframe.duration_ms
            decisions = await self._decisions.between(name, exchange, symbol, timeframe, start_ms, end_ms)
            times += [decision.open_time_ms for decision in decisions if decision.kind is DecisionKind.FIRST]
        return max(times, default=max(0, last_ms))

    async def _reason(
        self, strategy: str, exchange: str, symbol: str, timeframe: Timeframe, open_time_ms: int, now_ms: int
    ) -> NoDecision:
        place = (strategy, exchange, symbol, timeframe, open_time_ms)
        if open_time_ms + timeframe.duration_ms > now_ms:
            return _missing(*place, "not_closed")
        start_ms = max(0, open_time_ms - (_RUN_MAX - 1) * timeframe.duration_ms)
        end_ms = open_time_ms + timeframe.duration_ms
        candles = await self._candles.between(exchange, symbol, timeframe, start_ms, end_ms)
        if not candles or candles[-1].open_time_ms != open_time_ms:
            return _missing(*place, "no_candle")
        if not candles[-1].usable:
            return _missing(*place, "partial", quality=candles[-1].quality.value)
        have = _run_length(candles)
        need = await self._window_length(strategy, exchange, symbol, timeframe, (open_time_ms, now_ms))
        if need is None and have < _RUN_MAX:
            return _missing(*place, "window_unknown", have=str(have))
        if need is not None and have < need:
            return _missing(*place, "window", have=str(have), need=str(need))
        return _missing(*place, "not_decided")

    async def _window_length(
        self, strategy: str, exchange: str, symbol: str, timeframe: Timeframe, times_ms: Sequence[int]
    ) -> int | None:
        """How many candles of its timeframe it reads, as Decisions near these times recorded; None where there are none.

        The strategy itself would say so, but loading it compiles its kernels, which the notifier has no use for.
        """
        reach_ms = _LOOK_BACK_CANDLES * timeframe.duration_ms
        for at_ms in times_ms:
            near = (max(0, at_ms - reach_ms), at_ms + reach_ms)
            decisions = await self._decisions.between(strategy, exchange, symbol, timeframe, *near)
            lengths = [one.length for item in decisions for one in item.windows if one.timeframe is timeframe]
            if lengths:
                return lengths[-1]
        return None


def _run_length(candles: Sequence[Candle]) -> int:
    """How many usable candles without a hole end at the newest of these, which are ordered by time."""
    count = 0
    for candle in reversed(candles):
        expected_ms = candles[-1].open_time_ms - count * candle.timeframe.duration_ms
        if not candle.usable or candle.open_time_ms != expected_ms:
            break
        count += 1
    return count


def _missing(
    strategy: str, exchange: str, symbol: str, timeframe: Timeframe, open_time_ms: int, reason: str, **values: str
) -> NoDecision:
    return NoDecision(
        strategy=strategy,
        exchange=exchange,
        symbol=symbol,
        timeframe=timeframe,
        open_time_ms=open_time_ms,
        reason=reason,
        values=values,
    )
