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
    """The newest id of each symbol in one session. The first trade of a symbol is compared with nothing: the session's
    refill begins at the last one known before it.
    """

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}

    def observe(self, trade: VenueTrade) -> IdGap | None:
        """The gap that this trade shows. An id that comes again or late shows none; texts are no numbers."""
        trade_id = trade.trade_id
        if not isinstance(trade_id, int):
            return None
        newest = self._newest.get(trade.symbol)
        if newest is not None and trade_id <= newest[0]:
            return None
        self._newest[trade.symbol] = (trade_id, trade.traded_at_ms)
        if newest is None or trade_id == newest[0] + 1:
            return None
        return IdGap(
            symbol=trade.symbol,
            first_id=newest[0] + 1,
            end_id=trade_id,
            after_ms=newest[1],
            before_ms=trade.traded_at_ms,
        )
