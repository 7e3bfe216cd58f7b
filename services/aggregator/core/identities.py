"""Trade ids seen lately: finds an id that comes again in another minute, where the fold of one minute cannot see it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.aggregator.core.coverage import SeriesKey
from shared.domain.exclusions import Exclusion
from shared.domain.minute_trades import MinuteTrades


class _NumberedMinute:
    """Integer ids of one minute: their range decides almost always, the arrays when ranges overlap."""

    __slots__ = ("arrays", "highest", "lowest")

    def __init__(self) -> None:
        self.lowest = np.iinfo(np.int64).max
        self.highest = np.iinfo(np.int64).min
        self.arrays: list[npt.NDArray[Any]] = []


class _Known:
    def __init__(self) -> None:
        self.numbers: dict[int, _NumberedMinute] = {}
        self.texts: dict[str, int] = {}
        self.texts_by_minute: defaultdict[int, list[str]] = defaultdict(list)


class Identities:
    """The ids of the newest minutes of each symbol, up to `minutes_max` of them."""

    def __init__(self, minutes_max: int) -> None:
        self._minutes_max = minutes_max
        self._known: defaultdict[SeriesKey, _Known] = defaultdict(_Known)

    def add(self, piece: MinuteTrades) -> dict[int, list[int | str]]:
        """Remember the piece's ids. Returns those known from other minutes, by that minute; repetition is harmless."""
        known = self._known[SeriesKey(piece.exchange, piece.symbol)]
        if piece.trade_id.dtype == object:
            return self._add_texts(known, piece)
        return self._add_numbers(known, piece)

    def _add_numbers(self, known: _Known, piece: MinuteTrades) -> dict[int, list[int | str]]:
        ids = piece.trade_id
        lowest, highest = int(ids.min()), int(ids.max())
        moved: dict[int, list[int | str]] = {}
        for minute, entry in known.numbers.items():
            if entry.lowest <= highest and entry.highest >= lowest and minute != piece.minute_ms:
                repeated = [row for array in entry.arrays for row in ids[np.isin(ids, array)].tolist()]
                if repeated:
                    moved[minute] = sorted(set(repeated))
        entry = known.numbers.get(piece.minute_ms) or _NumberedMinute()
        entry.lowest, entry.highest = min(lowest, entry.lowest), max(highest, entry.highest)
        entry.arrays.append(ids)
        known.numbers[piece.minute_ms] = entry
        if len(known.numbers) > self._minutes_max:
            del known.numbers[min(known.numbers)]
        return moved

    def _add_texts(self, known: _Known, piece: MinuteTrades) -> dict[int, list[int | str]]:
        ids: list[str] = piece.trade_id.tolist()
        moved: defaultdict[int, list[int | str]] = defaultdict(list)
        if not known.texts.keys().isdisjoint(ids):
            for trade_id in ids:
                minute = known.texts.get(trade_id, piece.minute_ms)
                if minute != piece.minute_ms:
                    moved[minute].append(trade_id)
            ids = [trade_id for trade_id in ids if trade_id not in known.texts]
        known.texts.update(dict.fromkeys(ids, piece.minute_ms))
        known.texts_by_minute[piece.minute_ms].extend(ids)
        if len(known.texts_by_minute) > self._minutes_max:
            for trade_id in known.texts_by_minute.pop(min(known.texts_by_minute)):
                known.texts.pop(trade_id, None)
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
    """The id stands in several minutes: the earliest arrival wins, each of the others is excluded from its minute."""
    holders = sorted(
        (piece for piece in pieces if _row_of(piece, trade_id) is not None), key=lambda piece: piece.arrival
    )
    if not holders:
        return []
    winner = holders[0]
    exclusion = Exclusion(trade_id, winner.arrival)
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
