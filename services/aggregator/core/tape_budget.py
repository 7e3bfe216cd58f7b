"""How much of the tape is kept: by age and by size, whole hours, the oldest first. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from services.aggregator.core.coverage import SeriesKey
from shared.domain.timeframe import MINUTE_MS

HOUR_MS: Final = 60 * MINUTE_MS
HOURS_MIN: Final = 2  # the hour under way and the one before are kept, however large: open minutes are folded from them


class TapeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """hours_max: market time, behind the newest of an exchange. bytes_max: keys and values, over all exchanges."""

    hours_max: int = 72
    bytes_max: int = 5_000_000_000


class TapeHour(NamedTuple):
    """One hour of one exchange's trades, open time in UTC epoch milliseconds."""

    exchange: str
    hour_ms: int


class TapeBudget:
    """Bytes of the tape by series and hour. A series without a symbol holds what batches said of themselves."""

    def __init__(self, limits: TapeLimits) -> None:
        self._limits = limits
        self._bytes: dict[TapeHour, dict[str, int]] = {}
        self._changed: set[tuple[TapeHour, str]] = set()
        self.total_bytes = 0

    def add(self, key: SeriesKey, minute_ms: int, count: int) -> None:
        """So many bytes were written for the minute."""
        hour = TapeHour(key.exchange, minute_ms - minute_ms % HOUR_MS)
        series = self._bytes.setdefault(hour, {})
        series[key.symbol] = series.get(key.symbol, 0) + count
        self.total_bytes += count
        self._changed.add((hour, key.symbol))

    def restore(self, hour: TapeHour, symbol: str, count: int) -> None:
        """What was noted of it earlier."""
        self.add(SeriesKey(hour.exchange, symbol), hour.hour_ms, count)
        self._changed.discard((hour, symbol))

    def take_changed(self) -> list[tuple[TapeHour, str, int]]:
        """What is to be noted: changed since the last call, with its bytes."""
        changed, self._changed = self._changed, set()
        return [(hour, symbol, self._bytes[hour][symbol]) for hour, symbol in sorted(changed) if hour in self._bytes]

    def give_back(self, changed: Iterable[tuple[TapeHour, str, int]]) -> None:
        """It could not be noted: it stays due."""
        self._changed.update((hour, symbol) for hour, symbol, _ in changed)

    def symbols_of(self, hour: TapeHour) -> list[str]:
        """Whose trades the hour holds."""
        return sorted(self._bytes.get(hour, ()))

    def due(self) -> list[TapeHour]:
        """The hours to drop, oldest first."""
        newest: dict[str, int] = {}
        for hour in self._bytes:
            newest[hour.exchange] = max(newest.get(hour.exchange, 0), hour.hour_ms)
        left_bytes, found = self.total_bytes, []
        for hour in sorted(self._bytes, key=lambda one: (one.hour_ms, one.exchange)):
            hours_behind = (newest[hour.exchange] - hour.hour_ms) // HOUR_MS
            too_old = hours_behind > self._limits.hours_max
            too_much = left_bytes > self._limits.bytes_max and hours_behind >= HOURS_MIN
            if too_old or too_much:
                found.append(hour)
                left_bytes -= sum(self._bytes[hour].values())
        return found

    def dropped(self, hour: TapeHour) -> None:
        """Its rows are gone."""
        self.total_bytes -= sum(self._bytes.pop(hour, {}).values())
        self._changed = {(one, symbol) for one, symbol in self._changed if one != hour}
