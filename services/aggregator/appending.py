"""Batches to durable rows: tape, marks and coverage in one write, before anything is acknowledged."""

from collections.abc import Sequence
from typing import Final

import msgspec

from services.aggregator.conflicts import report
from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.identities import Conflict, settle_move
from services.aggregator.core.series import Series
from services.aggregator.state import State
from services.aggregator.tape_keeping import TapeKeeper
from shared.domain.coverage import SessionCoverage
from shared.domain.minute_trades import MinuteTrades
from shared.domain.splitting import split_by_minute
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.domain.trades import TradeBatch
from shared.store.pending import MarkKind, MinuteKey

_LOOKED_UP_TOGETHER: Final = 10  # minutes of the tape, so that a busy symbol's do not hold up everything else


class Appender:
    """Appends batches to the tape; afterwards the cores know them."""

    def __init__(self, state: State, keeper: TapeKeeper) -> None:
        self._state = state
        self._keeper = keeper

    async def append(self, batches: Sequence[TradeBatch]) -> bool:
        """Make the batches durable. Repeated ones cost nothing; raises FencedError where a newer owner is active.

        False: they are durable, but memory does not know them, and must be read again before anything closes. So it is where
        the stored coverage names batches that never came here: another owner's, or our own of a write that was reported as
        failed. To take that coverage over without their trades would close minutes as complete that lack them.
        """
        sessions, fresh = self._join(batches)
        if not sessions:
            return True
        pieces: list[MinuteTrades] = []
        for batch in fresh:
            pieces.extend(await self._in_time(batch))
        conflicts = await self._moved(pieces)
        retold = self._minutes_with_new_evidence(list(sessions.values()))
        touched = {MinuteKey(piece.minute_ms, piece.exchange, piece.symbol) for piece in pieces}
        touched.update(MinuteKey(conflict.excluded_minute_ms, *conflict.key) for conflict in conflicts)
        touched.update(retold)
        stored = await self._write(list(sessions.values()), fresh, pieces, conflicts, touched)
        is_known = all(row.runs == mine.runs for row, mine in zip(stored, sessions.values(), strict=True))
        if is_known:
            self._take_over(stored, pieces, conflicts, retold)
        self._state.counters["batches"] += len(fresh)
        for conflict in conflicts:
            await report(self._state, conflict)
        return is_known

    def _join(self, batches: Sequence[TradeBatch]) -> tuple[dict[tuple[str, str], SessionCoverage], list[TradeBatch]]:
        """The batches not known yet, and the sessions as they are with them."""
        sessions: dict[tuple[str, str], SessionCoverage] = {}
        fresh = []
        for batch in batches:
            place = (batch.exchange, batch.session)
            known = sessions.get(place) or self._state.coverage.session(*place) or SessionCoverage.beginning(batch)
            # The coverage row is written behind the batch's other rows: what it names is durable already.
            if not known.holds(batch.sequence):
                sessions[place] = known.joined(batch)
                fresh.append(batch)
        return sessions, fresh

    async def _in_time(self, batch: TradeBatch) -> list[MinuteTrades]:
        """The batch's trades by minute; those far from the feed's own clock are refused one minute at a time."""
        limits = self._state.limits
        horizon_ms = self._state.first_foldable_ms(SeriesKey(batch.exchange, ""), batch.watermark_ms)
        first_ms = minute_ms(horizon_ms)
        last_ms = max(batch.watermark_ms, batch.covers_from_ms) + limits.future_max_ms
        pieces = split_by_minute(batch)
        kept = [piece for piece in pieces if first_ms <= piece.minute_ms <= last_ms]
        if len(kept) < len(pieces):
            for piece in pieces:
                if not first_ms <= piece.minute_ms <= last_ms:
                    await self._refuse(piece, f"a trade's minute must lie in {first_ms}..{last_ms} ms")
        return kept

    async def _refuse(self, piece: MinuteTrades, rule: str) -> None:
        place = f"{piece.exchange} session {piece.session} sequence {piece.sequence} symbol={piece.symbol}"
        reason = f"{rule}, was {piece.minute_ms} ({place} trade_id={piece.trade_id[0]}, {len(piece)} trades)"
        rows = {"trade_id": piece.trade_id.tolist(), "traded_at_ms": piece.traded_at_ms.tolist()}
        rows |= {"price": piece.price.tolist(), "quantity_units": piece.quantity_units.tolist()}
        await self._state.bus.refuse(
            self._state.subscription_of(piece.exchange), msgspec.json.encode(rows), {"symbol": piece.symbol}, reason
        )
        self._state.counters["refused"] += 1
        self._state.log.warning("trades_refused", reason=reason)

    async def _moved(self, pieces: Sequence[MinuteTrades]) -> list[Conflict]:
        """Ids that came again in another minute, with the exclusion that settles each."""
        await self._remember_around_late(pieces)
        conflicts: list[Conflict] = []
        for piece, moved in self._state.identities.add(pieces):
            involved = [one for one in pieces if one.symbol == piece.symbol and one.exchange == piece.exchange]
            for minute in (piece.minute_ms, *moved):
                on_tape = await self._state.tape.load(piece.exchange, piece.symbol, minute, minute + MINUTE_MS)
                involved.extend(row for tape_minute in on_tape.values() for row in tape_minute.pieces)
            for trade_id in dict.fromkeys(trade_id for ids in moved.values() for trade_id in ids):
                conflicts.extend(settle_move(trade_id, involved))
        return conflicts

    async def _remember_around_late(self, pieces: Sequence[MinuteTrades]) -> None:
        """Ids of minutes long past are not in memory: those around a late trade are read from the tape."""
        touched: dict[tuple[str, str], list[int]] = {}
        place, minutes = ("", ""), [0]
        for piece in pieces:  # a symbol's stand together
            if place != (piece.exchange, piece.symbol):
                place = (piece.exchange, piece.symbol)
                minutes = touched.setdefault(place, [])
            minutes.append(piece.minute_ms)
        for place in sorted(touched):
            key = SeriesKey(*place)
            watermark_ms = self._state.coverage.watermark_ms(key)
            self._state.identities.advance(key, watermark_ms)
            for minute in sorted(set(self._state.identities.late(touched[place], watermark_ms))):
                unseen = self._state.identities.unseen_minutes(key, minute, watermark_ms)
                for start in range(0, len(unseen), _LOOKED_UP_TOGETHER):
                    await self._look_up(key, unseen[start : start + _LOOKED_UP_TOGETHER])

    async def _look_up(self, key: SeriesKey, minutes: Sequence[int]) -> None:
        found = await self._state.tape.load(*key, minutes[0], minutes[-1] + MINUTE_MS)
        pieces = [piece for minute in minutes if minute in found for piece in found[minute].pieces]
        self._state.identities.remember(key, minutes, pieces)

    def _minutes_with_new_evidence(self, sessions: Sequence[SessionCoverage]) -> set[MinuteKey]:
        """Closed minutes that the sessions newly vouch for: they are folded again."""
        found = set()
        for session in sessions:
            closed = {}
            for symbol in session.symbols:
                series = self._state.builder.series.get(SeriesKey(session.exchange, symbol))
                if series is not None and series.next_ms is not None:
                    closed[series.key] = series.next_ms
            for key, spans in self._state.coverage.fresh(session, closed):
                oldest_ms = self._state.first_foldable_ms(key, session.watermark_ms)
                for start_ms, end_ms in spans:
                    for minute in range(minute_ms(max(start_ms, oldest_ms)), end_ms, MINUTE_MS):
                        found.add(MinuteKey(minute, *key))
        return found

    async def _write(
        self,
        sessions: list[SessionCoverage],
        batches: list[TradeBatch],
        pieces: list[MinuteTrades],
        conflicts: list[Conflict],
        touched: set[MinuteKey],
    ) -> list[SessionCoverage]:
        state = self._state
        async with state.marks_lock:
            marks = sorted([minute for minute in touched if state.marked.get(minute) is not MarkKind.TOUCHED])
            writes = [state.pending.write_of(minute) for minute in marks]
            on_tape = state.tape.writes_of(pieces)
            said = state.batches.writes_of(batches) if state.limits.keep_batches else []
            writes += [*on_tape, *said]
            writes += [
                state.tape.exclusion_of(*conflict.key, conflict.excluded_minute_ms, conflict.exclusion)
                for conflict in conflicts
            ]
            writes += [state.coverage_store.write_of(session, fence=state.fence) for session in sessions]
            outcomes = await state.store.write(writes)
            state.marked.update(dict.fromkeys(marks, MarkKind.TOUCHED))
        if state.limits.count_tape:
            self._keeper.appended(pieces, on_tape)
            self._keeper.noted(batches if said else (), said)
        return await state.coverage_store.settle(sessions, outcomes[-len(sessions) :], fence=state.fence)

    def _take_over(
        self,
        sessions: list[SessionCoverage],
        pieces: list[MinuteTrades],
        conflicts: list[Conflict],
        retold: set[MinuteKey],
    ) -> None:
        """The rows are durable: now the cores may know them, all at once."""
        builder = self._state.builder
        series: Series | None = None
        for piece in pieces:  # a symbol's stand together
            if series is None or series.key.symbol != piece.symbol or series.key.exchange != piece.exchange:
                series = builder.of(SeriesKey(piece.exchange, piece.symbol))
            series.add(piece)
        for conflict in conflicts:
            builder.of(conflict.key).exclude(conflict.excluded_minute_ms, conflict.exclusion)
        for minute in retold:
            builder.of(SeriesKey(minute.exchange, minute.symbol)).late.add(minute.minute_ms)
        for session in sessions:
            self._state.coverage.put(session)
