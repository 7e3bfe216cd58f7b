"""How far each symbol's published trades are known to be without a hole: where a refill must begin."""

from typing import Any

import msgspec

from shared.domain.errors import InvalidValueError
from shared.domain.trades import TradeBatch, TradeSource


class KnownTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade that was published."""

    trade_id: int | str
    traded_at_ms: int


class SymbolFrontier(msgspec.Struct, frozen=True, kw_only=True):
    """covered_to_ms: every trade before it is published, or given up as a hole. last_trade: the newest published."""

    covered_to_ms: int | None = None
    last_trade: KnownTrade | None = None


_DECODER = msgspec.json.Decoder(dict[str, SymbolFrontier])
SESSIONS_KEPT = 64
SYMBOLS_EXPECTED = 64


class Frontier:
    """Driven by what was published, so that it is true after a kill at any instant.

    A session moves the frontier only once it is settled for the symbol: its refill was published, or given up.
    """

    def __init__(self) -> None:
        self._symbols: dict[str, SymbolFrontier] = {}
        self._settled: dict[tuple[str, str], None] = {}
        self._awaited: dict[str, tuple[str, str]] = {}

    def of(self, symbol: str) -> SymbolFrontier:
        """What is known of the symbol."""
        return self._symbols.get(symbol, SymbolFrontier())

    def settle(self, session: str, symbol: str) -> None:
        """The hole before this session is filled as far as it ever will be: its batches count from now on."""
        self._settled[(session, symbol)] = None
        self._forget_oldest(self._settled)

    def settle_after(self, refill_session: str, session: str, symbol: str) -> None:
        """The refill is queued: stream batches queued before it must not count until it is published itself."""
        self._awaited[refill_session] = (session, symbol)
        self._forget_oldest(self._awaited)

    def published(self, batch: TradeBatch) -> None:
        """A batch is durable on the bus."""
        if batch.source is not TradeSource.STREAM:
            awaited = self._awaited.pop(batch.session, None)
            if awaited is not None:
                self.settle(*awaited)
            return
        last = self._last_trades(batch)
        for symbol in batch.symbols:
            known = self.of(symbol)
            covered_to_ms = known.covered_to_ms
            if (batch.session, symbol) in self._settled and batch.watermark_ms > batch.covers_from_ms:
                covered_to_ms = max(covered_to_ms or 0, batch.watermark_ms)
            last_trade = last.get(symbol, known.last_trade)
            self._symbols[symbol] = SymbolFrontier(covered_to_ms=covered_to_ms, last_trade=last_trade)

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
