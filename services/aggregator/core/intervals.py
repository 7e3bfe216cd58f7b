"""A set of instants as disjoint half-open spans."""

from bisect import bisect_left, bisect_right

from shared.domain.coverage import Span


class Intervals:
    """The union of all spans added, [start, end) in milliseconds."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start_ms: int, end_ms: int) -> None:
        """Unite with the span; an empty span changes nothing."""
        if start_ms >= end_ms:
            return
        if self._ends and self._starts[-1] <= start_ms <= self._ends[-1]:  # the newest span grows: the usual case
            self._ends[-1] = max(self._ends[-1], end_ms)
            return
        first = bisect_left(self._ends, start_ms)  # spans that touch are joined
        last = bisect_right(self._starts, end_ms)
        if first < last:
            start_ms = min(start_ms, self._starts[first])
            end_ms = max(end_ms, self._ends[last - 1])
        self._starts[first:last] = [start_ms]
        self._ends[first:last] = [end_ms]

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """Whether the whole span is in the set."""
        place = bisect_right(self._starts, start_ms) - 1
        return place >= 0 and self._ends[place] >= end_ms

    def missing(self, start_ms: int, end_ms: int) -> list[Span]:
        """The parts of the span that are not in the set, oldest first."""
        gaps = []
        place = bisect_right(self._ends, start_ms)
        while start_ms < end_ms:
            if place == len(self._starts) or self._starts[place] >= end_ms:
                gaps.append((start_ms, end_ms))
                break
            if self._starts[place] > start_ms:
                gaps.append((start_ms, self._starts[place]))
            start_ms = self._ends[place]
            place += 1
        return gaps

    def forget_before(self, time_ms: int) -> None:
        """Drop spans that end before the time."""
        place = bisect_left(self._ends, time_ms)
        del self._starts[:place], self._ends[:place]

    def spans(self) -> list[Span]:
        """Every span, oldest first."""
        return list(zip(self._starts, self._ends, strict=True))
