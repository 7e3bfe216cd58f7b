"""How far each symbol's published trades are known to be without a hole: where a refill must begin."""

from typing import Any

import msgspec

from services.ingestion.core.id_gaps import IdGap
from shared.domain.errors import InvalidValueError
from shared.domain.trades import TradeBatch, TradeSource


class KnownTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade that was published."""

    trade_id: int | str
    traded_at_ms: int


class SymbolFrontier(msgspec.Struct, frozen=True, kw_only=True):
    """covered_to_ms: every trade before it is published, or given up as a hole. last_trade: the newest published.

    reached: the newest published before covered_to_ms, of a venue that numbers its trades: what follows has higher ids.
    gaps:    ids that were missing in a session and are not filled yet.
    """

    covered_to_ms: int | None = None
    last_trade: KnownTrade | None = None
    reached: KnownTrade | None = None
    gaps: tuple[IdGap, ...] = ()


_DECODER = msgspec.json.Decoder(dict[str, SymbolFrontier])
SESSIONS_KEPT = 64
SYMBOLS_EXPECTED = 64
GAPS_MAX = 1_000
AHEAD_MAX = 200_000


class Frontier:
    """Driven by what was published, so that it is true after a kill at any instant.

    A session moves the frontier only once it is settled for the symbol: its refill was published, or given up.
    """

    def __init__(self) -> None:
        self._symbols: dict[str, SymbolFrontier] = {}
        self._settled: dict[tuple[str, str], None] = {}
        self._awaited: dict[tuple[str, int], tuple[str, str, IdGap | None, KnownTrade | None]] = {}
        self._ahead: dict[str, list[KnownTrade]] = {}  # published, but not before covered_to_ms

    def of(self, symbol: str) -> SymbolFrontier:
        """What is known of the symbol."""
        return self._symbols.get(symbol, SymbolFrontier())

    def settle(self, session: str, symbol: str) -> None:
        """The hole before this session is filled as far as it ever will be: its batches count from now on."""
        self._settled[(session, symbol)] = None
        self._forget_oldest(self._settled)

    def fall_back(self, session: str, symbol: str, time_ms: int) -> None:
        """What this session published from the time on did not all arrive: it counts no more, and is filled again."""
        self._settled.pop((session, symbol), None)
        known = self.of(symbol)
        if known.covered_to_ms is not None and known.covered_to_ms > time_ms:
            self._symbols[symbol] = msgspec.structs.replace(known, covered_to_ms=time_ms, reached=None)

    def settle_after(
        self,
        refill: TradeBatch,
        session: str,
        symbol: str,
        *,
        gap: IdGap | None = None,
        reached: KnownTrade | None = None,
    ) -> None:
        """The refill's last batch is queued: stream batches queued before it must not count until it is published itself.

        gap:     what it fills inside the session, instead of the hole before it.
        reached: the last trade fetched for the hole; what follows has higher ids.
        """
        self._awaited[refill.session, refill.sequence] = (session, symbol, gap, reached)
        self._forget_oldest(self._awaited)

    def open_gap(self, gap: IdGap) -> None:
        """Ids are missing: they are asked for, by a later process too, until `close_gap`. The oldest go when too many are."""
        known = self.of(gap.symbol)
        if gap not in known.gaps:
            self._symbols[gap.symbol] = msgspec.structs.replace(known, gaps=(*known.gaps, gap)[-GAPS_MAX:])

    def close_gap(self, gap: IdGap) -> None:
        """Filled, or given up."""
        known = self.of(gap.symbol)
        kept = tuple(one for one in known.gaps if one != gap)
        self._symbols[gap.symbol] = msgspec.structs.replace(known, gaps=kept)

    def published(self, batch: TradeBatch) -> None:
        """A batch is durable on the bus."""
        if batch.source is not TradeSource.STREAM:
            awaited = self._awaited.pop((batch.session, batch.sequence), None)
            if awaited is not None:
                self._filled(*awaited)
            return
        last = self._last_trades(batch)
        for symbol in batch.symbols:
            known = self.of(symbol)
            covered_to_ms = known.covered_to_ms
            reached = known.reached
            if (batch.session, symbol) in self._settled and batch.watermark_ms > batch.covers_from_ms:
                covered_to_ms = max(covered_to_ms or 0, batch.watermark_ms)
                reached = self._reached(symbol, covered_to_ms, known.reached)
            last_trade = last.get(symbol, known.last_trade)
            self._symbols[symbol] = SymbolFrontier(
                covered_to_ms=covered_to_ms, last_trade=last_trade, reached=reached, gaps=known.gaps
            )

    def _filled(self, session: str, symbol: str, gap: IdGap | None, reached: KnownTrade | None) -> None:
        if gap is not None:
            self.close_gap(gap)
            return
        self.settle(session, symbol)
        known = self.of(symbol)
        if reached is not None and (known.reached is None or _number(reached) > _number(known.reached)):
            self._symbols[symbol] = msgspec.structs.replace(known, reached=reached)

    def _reached(self, symbol: str, covered_to_ms: int, reached: KnownTrade | None) -> KnownTrade | None:
        """The newest trade before the time; those after it wait for the next."""
        ahead = self._ahead.get(symbol)
        if not ahead:
            return reached
        before = [trade for trade in ahead if trade.traded_at_ms < covered_to_ms]
        if before:
            self._ahead[symbol] = [trade for trade in ahead if trade.traded_at_ms >= covered_to_ms]
            newest = max(before, key=_number)
            reached = newest if reached is None or _number(newest) > _number(reached) else reached
        return reached

    def _forget_oldest(self, kept: dict[Any, Any]) -> None:
        # Before the first batch no symbol is known, but all of them may be settled or awaited.
        while len(kept) > SESSIONS_KEPT * max(SYMBOLS_EXPECTED, len(self._symbols)):
            kept.pop(next(iter(kept)))

    def _last_trades(self, batch: TradeBatch) -> dict[str, KnownTrade]:
        found: dict[str, KnownTrade] = {}
        columns = (batch.symbol_index.tolist(), batch.trade_id.tolist(), batch.traded_at_ms.tolist())
        for number, trade_id, traded_at_ms in zip(*columns, strict=True):
            symbol = batch.symbols[number]
            last = found.get(symbol) or self.of(symbol).last_trade
            if last is None or traded_at_ms >= last.traded_at_ms:
                found[symbol] = KnownTrade(trade_id=trade_id, traded_at_ms=traded_at_ms)
            if isinstance(trade_id, int):
                ahead = self._ahead.setdefault(symbol, [])
                ahead.append(KnownTrade(trade_id=trade_id, traded_at_ms=traded_at_ms))
                del ahead[:-AHEAD_MAX]
        return found

    def encode(self) -> bytes:
        """For the store."""
        return msgspec.json.encode(self._symbols)

    def restore(self, data: bytes) -> None:
        """Take over what an earlier process stored; raises InvalidValueError where it is no frontier."""
        try:
            self._symbols = _DECODER.decode(data)
        except msgspec.MsgspecError as error:
            raise InvalidValueError(f"not a stored frontier: {error} (ingestion frontier)") from error


def _number(trade: KnownTrade) -> int:
    return trade.trade_id if isinstance(trade.trade_id, int) else -1
