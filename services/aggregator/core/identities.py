"""Trade ids seen lately: finds an id that comes again in another minute, where the fold of one minute cannot see it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.aggregator.core.coverage import SeriesKey
from shared.domain.exclusions import Exclusion
from shared.domain.minute_trades import ID, MinuteTrades
from shared.domain.timeframe import MINUTE_MS, minute_ms

Moved = dict[int, list[int | str]]  # ids by the other minute they are known from


def _common(ids: npt.NDArray[Any], others: npt.NDArray[Any]) -> list[int]:
    found: list[int] = ids[np.isin(ids, others)].tolist()
    return found


def _bounds(piece: MinuteTrades) -> tuple[int, int]:
    if piece.figures is not None:
        return piece.figures.id_low, piece.figures.id_high
    ids = piece.rows[ID]
    return int(ids.min()), int(ids.max())


class _NumberedMinute:
    """Integer ids of one minute: their range decides almost always, the arrays when ranges overlap."""

    __slots__ = ("arrays", "highest", "lowest")

    def __init__(self, lowest: int, highest: int, ids: npt.NDArray[Any]) -> None:
        self.lowest = lowest
        self.highest = highest
        self.arrays: list[npt.NDArray[Any]] = [ids]


class _Known:
    """One symbol's ids. late: minutes whose older rows were looked up on the tape; kept_ms: until when late ones are kept."""

    def __init__(self) -> None:
        self.numbers: dict[int, _NumberedMinute] = {}
        self.highest = -(2**63)  # of the integer ids, also of forgotten minutes
        self.texts: dict[str, tuple[int, ...]] = {}  # every minute an id stands in
        self.texts_by_minute: defaultdict[int, set[str]] = defaultdict(set)
        self.late: set[int] = set()
        self.oldest_ms = 0
        self.kept_ms = 0

    def forget_before(self, oldest_ms: int) -> None:
        """Drop the minutes before this one."""
        self.oldest_ms = oldest_ms
        self.late = {minute for minute in self.late if minute >= oldest_ms}
        for minute in [minute for minute in self.numbers if minute < oldest_ms]:
            del self.numbers[minute]
        for minute in [minute for minute in self.texts_by_minute if minute < oldest_ms]:
            for trade_id in self.texts_by_minute.pop(minute):
                minutes = tuple(other for other in self.texts[trade_id] if other != minute)
                if minutes:
                    self.texts[trade_id] = minutes
                else:
                    del self.texts[trade_id]


def _moved_numbers(known: dict[int, _NumberedMinute], piece: MinuteTrades, lowest: int, highest: int) -> Moved:
    moved: Moved = {}
    for minute, entry in known.items():
        if entry.lowest <= highest and entry.highest >= lowest and minute != piece.minute_ms:
            repeated = {row for array in entry.arrays for row in _common(piece.rows[ID], array)}
            if repeated:
                moved[minute] = sorted(repeated)
    return moved


class Identities:
    """The ids of each symbol's newest minutes: those up to `minutes` behind its watermark.

    A trade of an older minute is late. Before it is added, the tape's rows around it (`late_reach` minutes to each side) are
    looked up and remembered, until the watermark has gone on by `minutes` without another late trade; at most
    `late_minutes_max` of them per symbol. So every id is compared with all rows of its symbol that are in reach.
    """

    def __init__(self, minutes: int, *, late_reach: int = 30, late_minutes_max: int = 360) -> None:
        self._minutes_ms = minutes * MINUTE_MS
        self._late_reach_ms = late_reach * MINUTE_MS
        self._late_minutes_max = late_minutes_max
        self._known: defaultdict[tuple[str, str], _Known] = defaultdict(_Known)  # by SeriesKey

    def advance(self, key: SeriesKey, watermark_ms: int) -> None:
        """The symbol's market has been seen so far: forget what is older than what is remembered."""
        known, now_ms = self._known[key], minute_ms(watermark_ms)
        oldest_ms = max(0, now_ms - self._minutes_ms)
        if oldest_ms > known.oldest_ms and now_ms > known.kept_ms:
            known.forget_before(oldest_ms)

    def late(self, minutes: Iterable[int], watermark_ms: int) -> list[int]:
        """Those of the minutes that are older than what is remembered as a matter of course."""
        oldest_ms = minute_ms(watermark_ms) - self._minutes_ms
        return [minute for minute in minutes if minute < oldest_ms]

    def unseen_minutes(self, key: SeriesKey, minute: int, watermark_ms: int) -> list[int]:
        """The minutes whose tape must be `remember`ed before a trade of this minute is added, oldest first.

        None for a trade in time, and none where so many are remembered that no more are.
        """
        now_ms = minute_ms(watermark_ms)
        oldest_ms = now_ms - self._minutes_ms
        if minute >= oldest_ms:
            return []
        known = self._known[key]
        known.kept_ms = max(known.kept_ms, now_ms + self._minutes_ms)
        first_ms, end_ms = (
            max(0, minute - self._late_reach_ms),
            min(minute + self._late_reach_ms + MINUTE_MS, oldest_ms),
        )
        unseen = [one for one in range(first_ms, end_ms, MINUTE_MS) if one not in known.late]
        nearest = sorted(unseen, key=lambda one: abs(one - minute))
        return sorted(nearest[: self._late_minutes_max - len(known.late)])

    def remember(self, key: SeriesKey, minutes: Sequence[int], pieces: Sequence[MinuteTrades]) -> None:
        """These minutes were looked up; the pieces are all that the tape holds of them."""
        if pieces:
            self.add(pieces)
        self._known[key].late.update(minutes)

    def add(self, pieces: Sequence[MinuteTrades]) -> list[tuple[MinuteTrades, Moved]]:
        """Remember the pieces' ids. Returns those pieces whose ids are known from other minutes; repetition is harmless."""
        numbered = [piece for piece in pieces if piece.texts is None]
        found = self._add_numbers(numbered) if numbered else []
        for piece in pieces:
            if piece.texts is not None and (
                moved := self._add_texts(self._known[SeriesKey(piece.exchange, piece.symbol)], piece)
            ):
                found.append((piece, moved))
        return found

    def _add_numbers(self, pieces: Sequence[MinuteTrades]) -> list[tuple[MinuteTrades, Moved]]:
        found = []
        for piece in pieces:
            lowest, highest = _bounds(piece)
            known = self._known[piece.exchange, piece.symbol]
            if (
                lowest <= known.highest
            ):  # else no minute can hold any of them: ids rise where the venue numbers its trades
                moved = _moved_numbers(known.numbers, piece, lowest, highest)
                if moved:
                    found.append((piece, moved))
            known.highest = max(known.highest, highest)
            entry = known.numbers.get(piece.minute_ms)
            if entry is None:
                known.numbers[piece.minute_ms] = _NumberedMinute(lowest, highest, piece.rows[ID])
                continue
            entry.lowest, entry.highest = min(lowest, entry.lowest), max(highest, entry.highest)
            entry.arrays.append(piece.rows[ID])
        return found

    def _add_texts(self, known: _Known, piece: MinuteTrades) -> Moved:
        ids: list[str] = piece.trade_id.tolist()
        moved: defaultdict[int, list[int | str]] = defaultdict(list)
        if not known.texts.keys().isdisjoint(ids):
            for trade_id in ids:
                minutes = known.texts.get(trade_id, ())
                for minute in minutes:
                    if minute != piece.minute_ms:
                        moved[minute].append(trade_id)
                if minutes and piece.minute_ms not in minutes:
                    known.texts[trade_id] = (*minutes, piece.minute_ms)
        known.texts.update((trade_id, (piece.minute_ms,)) for trade_id in ids if trade_id not in known.texts)
        known.texts_by_minute[piece.minute_ms].update(ids)
        return dict(moved)


class Conflict(NamedTuple):
    """One id with two contents. The winner counts; `excluded_minute_ms` is where the loser would have counted."""

    key: SeriesKey
    trade_id: int | str
    winner: dict[str, object]
    loser: dict[str, object]
    excluded_minute_ms: int
    exclusion: Exclusion


def settle_move(trade_id: int | str, pieces: Sequence[MinuteTrades]) -> list[Conflict]:
    """The id stands in several minutes: the earliest arrival wins, each of the others is excluded from its minute.

    Of one batch's rows, that of the earliest minute wins.
    """
    holders = sorted(
        (piece for piece in pieces if _row_of(piece, trade_id) is not None),
        key=lambda piece: (piece.arrival, piece.minute_ms),
    )
    if not holders:
        return []
    winner = holders[0]
    exclusion = Exclusion(trade_id, winner.arrival, winner.minute_ms)
    key = SeriesKey(winner.exchange, winner.symbol)
    conflicts = {
        loser.minute_ms: Conflict(
            key, trade_id, content_of(winner, trade_id), content_of(loser, trade_id), loser.minute_ms, exclusion
        )
        for loser in reversed(holders)
        if loser.minute_ms != winner.minute_ms
    }
    return [conflicts[minute] for minute in sorted(conflicts)]


def content_of(piece: MinuteTrades, trade_id: int | str) -> dict[str, object]:
    """What the piece says about the trade, for people; empty where it does not hold it."""
    row = _row_of(piece, trade_id)
    if row is None:
        return {}
    return {
        "session": piece.session,
        "sequence": piece.sequence,
        "traded_at_ms": int(piece.traded_at_ms[row]),
        "price": float(piece.price[row]),
        "quantity_units": int(piece.quantity_units[row]),
        "quantity_scale": piece.quantity_scale,
        "taker_is_buyer": bool(piece.taker_is_buyer[row]),
    }


def _row_of(piece: MinuteTrades, trade_id: int | str) -> int | None:
    rows = np.flatnonzero(piece.trade_id.astype(str) == str(trade_id))
    return int(rows[0]) if len(rows) else None
