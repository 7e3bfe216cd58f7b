"""What is known of one symbol between its last closed minute and the market."""

from services.aggregator.core.coverage import SeriesKey
from shared.domain.candles import Candle
from shared.domain.exclusions import Exclusion, counted
from shared.domain.klines import Kline
from shared.domain.minute_trades import MinuteTrades, apart, joined

JOIN_AT = 8


class _OpenMinute:
    """The pieces of an open minute; a repeated one changes nothing. They are joined as they come, not all at the close."""

    __slots__ = ("_known", "_loose", "_whole")

    def __init__(self) -> None:
        self._known: set[tuple[str, int]] = set()
        self._loose: list[MinuteTrades] = []
        self._whole: list[MinuteTrades] = []

    def add(self, piece: MinuteTrades) -> None:
        place = (piece.session, piece.sequence)
        if place in self._known:
            return
        self._known.add(place)
        self._loose.append(piece)
        if len(self._loose) >= JOIN_AT:
            self._whole += joined(self._loose)
            self._loose = []
            if len(self._whole) >= JOIN_AT:
                self._whole = joined(self._whole)

    def pieces(self) -> list[MinuteTrades]:
        return self._whole + self._loose


class Series:
    """Mutable state of one symbol; everything in it can be read again from the store.

    ready:          its last stored candle has been looked up, and its backfill tried where there was none.
    next_ms:        the first minute not closed yet; None before the symbol's first trade or candle.
    previous:       the last closed 1m candle.
    late:           closed minutes that must be folded again.
    holes:          closed minutes that are partial and are to be repaired.
    klines:         the venue's own candles, fetched for minutes nothing covers.
    asked_until_ms: uncovered minutes before this have been asked for, with whatever success.
    """

    __slots__ = (
        "_exclusions",
        "_hot",
        "asked_until_ms",
        "holes",
        "key",
        "klines",
        "late",
        "next_ms",
        "previous",
        "ready",
    )

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.ready = False
        self.next_ms: int | None = None
        self.previous: Candle | None = None
        self.late: set[int] = set()
        self.holes: set[int] = set()
        self.klines: dict[int, Kline] = {}
        self.asked_until_ms = 0
        self._hot: dict[int, _OpenMinute] = {}
        self._exclusions: dict[int, list[Exclusion]] = {}

    def add(self, piece: MinuteTrades) -> None:
        """Keep a piece of an open minute; a piece of a closed one only says that the minute must be folded again."""
        if self.is_closed(piece.minute_ms):
            self.late.add(piece.minute_ms)
        else:
            minute = self._hot.get(piece.minute_ms)
            if minute is None:
                minute = self._hot[piece.minute_ms] = _OpenMinute()
            minute.add(piece)

    def exclude(self, minute_ms: int, exclusion: Exclusion) -> None:
        """Rule a trade out of the minute."""
        if self.is_closed(minute_ms):
            self.late.add(minute_ms)
        else:
            self._exclusions.setdefault(minute_ms, []).append(exclusion)

    def is_closed(self, minute_ms: int) -> bool:
        """Whether the minute lies before the next one to close."""
        return self.next_ms is not None and minute_ms < self.next_ms

    def begin_at(self, next_ms: int, previous: Candle | None) -> None:
        """History ends before next_ms: what is known of earlier minutes is late."""
        self.next_ms, self.previous = next_ms, previous
        for minute_ms in [minute for minute in {*self._hot, *self._exclusions} if minute < next_ms]:
            self._hot.pop(minute_ms, None)
            self._exclusions.pop(minute_ms, None)
            self.late.add(minute_ms)

    def first_open_ms(self) -> int | None:
        """The minute to close next; before a symbol's first candle the earliest with a trade, which may still change."""
        if self.next_ms is not None:
            return self.next_ms
        return min(self._hot) if self._hot else None

    def open_minutes(self) -> int:
        """How many open minutes have trades."""
        return len(self._hot)

    def take(self, minute_ms: int) -> list[MinuteTrades]:
        """Hand over the open minute's pieces, without excluded trades; it is the caller's to fold."""
        minute = self._hot.pop(minute_ms, None)
        pieces = [] if minute is None else minute.pieces()
        exclusions = self._exclusions.pop(minute_ms, None)
        if not exclusions:
            return pieces
        return counted([part for piece in pieces for part in apart(piece)], exclusions)
