"""Lost trades of venues that number them: a missing number says that a trade is missing, and between which two."""

import msgspec

from shared.domain.venue_trade import VenueTrade


class IdGap(msgspec.Struct, frozen=True, kw_only=True):
    """Ids first_id <= id < end_id of a symbol are missing; after_ms and before_ms: the times of the trades around them."""

    symbol: str
    first_id: int
    end_id: int
    after_ms: int
    before_ms: int


class IdWatch:
    """The ids of each symbol in one session. Its first trade is compared with where the refill before the session ended,
    whichever of the two is known first: a trade lost between them would else be missed by both.
    """

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, tuple[int, int]] = {}

    def observe(self, trade: VenueTrade) -> IdGap | None:
        """The gap that this trade shows. An id that comes again or late shows none; texts are no numbers."""
        trade_id = trade.trade_id
        if not isinstance(trade_id, int):
            return None
        now = (trade_id, trade.traded_at_ms)
        self._first.setdefault(trade.symbol, now)
        newest = self._newest.get(trade.symbol)
        if newest is not None and trade_id <= newest[0]:
            return None
        self._newest[trade.symbol] = now
        return _between(trade.symbol, newest, now)

    def refilled(self, symbol: str, *, last_id: int, at_ms: int) -> IdGap | None:
        """Every id up to this one was fetched; at_ms: no trade with a higher id happened before it."""
        last = (last_id, at_ms)
        first = self._first.get(symbol)
        if first is None:
            self._newest[symbol] = last
        return _between(symbol, last, first)


def _between(symbol: str, before: tuple[int, int] | None, after: tuple[int, int] | None) -> IdGap | None:
    if before is None or after is None or after[0] <= before[0] + 1:
        return None
    return IdGap(symbol=symbol, first_id=before[0] + 1, end_id=after[0], after_ms=before[1], before_ms=after[1])
