"""Symbols that stand still while their exchange goes on: said once, taken back once, with what was missed. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from services.aggregator.core.coverage import SeriesKey


class SymbolVerdict(NamedTuple):
    """What is to be told of a symbol. since_ms: its watermark when it was last seen to move; now_ms: its exchange's."""

    key: SeriesKey
    is_blind: bool
    since_ms: int
    now_ms: int


class SymbolFreshness:
    """Compares each symbol's watermark with the newest of its exchange, in market time. budget_ms: how far it may lag.

    A verdict stays due until it is `told`, so that a failed publication is repeated.
    """

    def __init__(self, *, budget_ms: int) -> None:
        self._budget_ms = budget_ms
        self._blind_since_ms: dict[SeriesKey, int] = {}

    @property
    def blind(self) -> tuple[SeriesKey, ...]:
        """The symbols told to be blind, sorted."""
        return tuple(sorted(self._blind_since_ms))

    def due(self, watermarks_ms: Mapping[SeriesKey, int]) -> list[SymbolVerdict]:
        """What changed, by symbol."""
        newest: dict[str, int] = {}
        for key, watermark_ms in watermarks_ms.items():
            newest[key.exchange] = max(newest.get(key.exchange, 0), watermark_ms)
        found = []
        for key in sorted(watermarks_ms):
            watermark_ms, now_ms = watermarks_ms[key], newest[key.exchange]
            since_ms = self._blind_since_ms.get(key)
            lags = now_ms - watermark_ms > self._budget_ms
            if lags and since_ms is None:
                found.append(SymbolVerdict(key, is_blind=True, since_ms=watermark_ms, now_ms=now_ms))
            elif since_ms is not None and not lags:
                found.append(SymbolVerdict(key, is_blind=False, since_ms=since_ms, now_ms=now_ms))
        return found

    def told(self, verdict: SymbolVerdict) -> None:
        """It was published."""
        if verdict.is_blind:
            self._blind_since_ms[verdict.key] = verdict.since_ms
        else:
            self._blind_since_ms.pop(verdict.key, None)
