"""What is known of one symbol between its last closed minute and the market."""

from typing import Final

import msgspec
import numpy as np

from services.aggregator.core.coverage import SeriesKey
from shared.domain.candles import Candle
from shared.domain.exclusions import Exclusion, counted
from shared.domain.klines import Kline
from shared.domain.minute_trades import ID, Figures, MinuteTrades, apart, joined, merged
from shared.domain.timeframe import MINUTE_MS

JOIN_AT = 8


class Taken(msgspec.Struct, frozen=True):
    """What an open minute held. figures: what its trades amount to, with their price and quantity scale; None where the
    pieces must be folded.
    """

    pieces: list[MinuteTrades]
    figures: tuple[Figures, int, int] | None


NOTHING: Final = Taken([], None)


class Ids(msgspec.Struct, frozen=True, gc=False):
    """The ids of a minute's trades, where they are integers: lowest, highest, how many different ones."""

    low: int
    high: int
    number: int

    @property
    def are_consecutive(self) -> bool:
        """Whether none is missing between the lowest and the highest."""
        return self.high - self.low + 1 == self.number


class _OpenMinute:
    """The pieces of an open minute; a repeated one changes nothing. They are joined as they come, not all at the close.

    Their figures are added up as they come, as long as no trade can stand in two of them; then the close folds nothing.
    """

    __slots__ = ("_figures", "_ids", "_known", "_loose", "_scales", "_texts", "_whole")

    def __init__(self, first: MinuteTrades) -> None:
        self._known: set[tuple[str, int]] = {(first.session, first.sequence)}
        self._loose: list[MinuteTrades] = [first]
        self._whole: list[MinuteTrades] = []
        self._figures = first.figures
        self._scales = (first.price_scale, first.quantity_scale)
        self._texts: set[str] | None = None
        self._ids: Ids | None = None
        if first.texts is not None and first.figures is not None:
            self._texts = set(first.texts.tolist())

    def add(self, piece: MinuteTrades) -> None:
        place = (piece.session, piece.sequence)
        if place in self._known:
            return
        self._count(piece)
        self._ids = None
        self._known.add(place)
        self._loose.append(piece)
        if len(self._loose) >= JOIN_AT:
            self._whole += joined(self._loose)
            self._loose = []
            if len(self._whole) >= JOIN_AT:
                self._whole = joined(self._whole)

    def taken(self) -> Taken:
        pieces = self._whole + self._loose
        return Taken(pieces, None if self._figures is None else (self._figures, *self._scales))

    def ids(self) -> Ids | None:
        """None where ids are texts. Asked for twice: before the minute closes, and when it does."""
        if self._ids is None:
            self._ids = self._known_ids()
        return self._ids

    def _known_ids(self) -> Ids | None:
        if self._figures is not None:
            low, high = self._figures.id_low, self._figures.id_high
            return Ids(low, high, self._figures.trade_count) if low <= high else None
        pieces = self._whole + self._loose
        if any(piece.texts is not None for piece in pieces):
            return None
        known = np.unique(np.concatenate([piece.rows[ID] for piece in pieces]))
        return Ids(int(known[0]), int(known[-1]), len(known))

    def _count(self, piece: MinuteTrades) -> None:
        known = self._figures
        if known is None:
            return
        self._figures = None
        scales = (piece.price_scale, piece.quantity_scale)
        if piece.figures is None or scales != self._scales or (piece.texts is None) != (self._texts is None):
            return
        if piece.texts is not None and self._texts is not None:
            ids = piece.texts.tolist()
            if not self._texts.isdisjoint(ids):
                return
            self._texts.update(ids)
        self._figures = merged(known, piece.figures)


class Series:
    """Mutable state of one symbol; everything in it can be read again from the store.

    ready:          its last stored candle has been looked up, and its backfill tried where there was none.
    next_ms:        the first minute not closed yet; None before the symbol's first trade or candle.
    previous:       the last closed 1m candle.
    late:           closed minutes that must be folded again.
    holes:          closed minutes that are partial and are to be repaired.
    klines:         the venue's own candles, fetched for minutes nothing covers.
    asked_until_ms: uncovered minutes before this have been asked for, with whatever success.
    last_id, last_id_ms: of a venue that numbers its trades, the highest id closed and the minute it stands in.
    """

    __slots__ = (
        "_exclusions",
        "_hot",
        "asked_until_ms",
        "holes",
        "key",
        "klines",
        "last_id",
        "last_id_ms",
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
        self.last_id: int | None = None
        self.last_id_ms = 0
        self._hot: dict[int, _OpenMinute] = {}
        self._exclusions: dict[int, list[Exclusion]] = {}

    def add(self, piece: MinuteTrades) -> None:
        """Keep a piece of an open minute; a piece of a closed one only says that the minute must be folded again."""
        if self.is_closed(piece.minute_ms):
            self.late.add(piece.minute_ms)
        else:
            minute = self._hot.get(piece.minute_ms)
            if minute is None:
                self._hot[piece.minute_ms] = _OpenMinute(piece)
            else:
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

    def is_joined(self, minute_ms: int) -> bool:
        """Whether the open minute's ids follow the last closed one without a hole, as far as ids can tell."""
        minute = self._hot.get(minute_ms)
        ids = minute.ids() if minute is not None else None
        if ids is None:
            return True
        return ids.are_consecutive and (self.last_id is None or ids.low <= self.last_id + 1)

    def close_ids(self, minute_ms: int) -> list[int]:
        """The minute closes with the ids it has. Returns the closed minutes that a hole before it touches."""
        minute = self._hot.get(minute_ms)
        ids = minute.ids() if minute is not None else None
        if ids is None:
            return []
        last_id, last_ms = self.last_id, self.last_id_ms
        if last_id is None or ids.high > last_id:
            self.last_id, self.last_id_ms = ids.high, minute_ms
        if last_id is None or ids.low <= last_id + 1:
            return []
        return list(range(last_ms, minute_ms, MINUTE_MS))

    def know_ids(self, minute_ms: int, last_id: int) -> None:
        """A closed minute was folded again: the open ones follow what it ends with now."""
        if self.last_id is not None and minute_ms >= self.last_id_ms and last_id > self.last_id:
            self.last_id, self.last_id_ms = last_id, minute_ms

    def oldest_open_ms(self) -> int | None:
        """The first minute with trades that is not folded yet."""
        return min(self._hot, default=None)

    def open_minutes(self) -> int:
        """How many open minutes have trades."""
        return len(self._hot)

    def take(self, minute_ms: int) -> Taken:
        """Hand over the open minute's trades, without excluded ones; they are the caller's to fold."""
        minute = self._hot.pop(minute_ms, None)
        taken = NOTHING if minute is None else minute.taken()
        exclusions = self._exclusions.pop(minute_ms, None)
        if not exclusions:
            return taken
        return Taken(counted([part for piece in taken.pieces for part in apart(piece)], exclusions), None)
