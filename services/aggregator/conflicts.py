"""Ids with two contents: the loser is dead-lettered once, the minute is marked by a log line and a system event."""

from collections.abc import Sequence

import msgspec

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.identities import Conflict, content_of
from services.aggregator.state import State
from shared.domain.exclusions import Exclusion
from shared.domain.minute_trades import MinuteTrades

_CONTENT = ("traded_at_ms", "price", "quantity_units", "quantity_scale", "taker_is_buyer")


async def report(state: State, conflict: Conflict) -> None:
    """Dead-letter the loser and tell; a repetition of the same conflict is known by its row and passes silently."""
    key, minute_ms = conflict.key, conflict.excluded_minute_ms
    identity = (conflict.trade_id, *(conflict.loser[name] for name in _CONTENT))
    if await state.tape.is_reported(*key, minute_ms, identity):
        return
    reason = (
        f"a trade id has one content: the earliest arrival counts ({key.exchange} symbol={key.symbol} "
        f"trade_id={conflict.trade_id}; counts {conflict.winner}; refused {conflict.loser})"
    )
    data = msgspec.json.encode({"trade_id": conflict.trade_id, **conflict.loser})
    await state.bus.refuse(state.subscription_of(key.exchange), data, {"symbol": key.symbol}, reason)
    await state.announce_system("trade_conflict", key, version=minute_ms, text=reason)
    await state.tape.mark_reported(*key, minute_ms, identity)
    state.counters["conflicts"] += 1
    state.log.warning("trade_conflict", symbol=key.symbol, minute_ms=minute_ms, reason=reason)


async def report_in_minute(state: State, key: SeriesKey, minute_ms: int, ids: Sequence[str]) -> None:
    """Report ids that the fold found twice in one minute; the contents are read from the tape."""
    kept = (await state.tape.load(*key, minute_ms, minute_ms + 1)).get(minute_ms)
    if kept is None:
        return
    pieces = sorted(kept.counted(), key=lambda piece: piece.arrival)
    for trade_id in ids:
        for conflict in _within(key, minute_ms, trade_id, pieces):
            await report(state, conflict)


def _within(key: SeriesKey, minute_ms: int, trade_id: str, pieces: Sequence[MinuteTrades]) -> list[Conflict]:
    contents = [(piece, content) for piece in pieces if (content := content_of(piece, trade_id))]
    if not contents:
        return []
    first, winner = contents[0]
    said = {tuple(winner[name] for name in _CONTENT)}
    found = []
    for _, loser in contents[1:]:
        said_now = tuple(loser[name] for name in _CONTENT)
        if said_now not in said:
            said.add(said_now)
            found.append(
                Conflict(key, trade_id, winner, loser, minute_ms, Exclusion(trade_id, first.arrival, minute_ms))
            )
    return found
