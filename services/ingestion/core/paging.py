"""What pages of consecutively numbered trades prove about a hole. Pure; nothing is claimed that may be false."""

from collections.abc import Sequence

import msgspec

from services.ingestion.core.refill import Hole
from services.ingestion.core.window import SessionIdentity, Window
from shared.domain.errors import TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.domain.venue_trade import VenueTrade


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of the hole on one page; every trade of the hole before covers_to_ms has been seen with it."""

    trades: list[VenueTrade]
    covers_to_ms: int
    is_last: bool


def judge_page(hole: Hole, next_id: int, answer: Sequence[VenueTrade], *, page_max: int) -> Page:
    """Judge an answer to "trades from next_id on", oldest first; asked when the venue's time had passed the hole.

    Ids rise with time, so that all trades before the page's last one have been seen. A short page ends at the newest.
    Raises TransientError where the answer is not the run of ids that was asked for: ask again.
    """
    place = f"refill {hole.exchange} {hole.symbol} from id {next_id}"
    ids = [trade.trade_id for trade in answer]
    if ids != list(range(next_id, next_id + len(ids))):
        raise TransientError(f"the answer must be the trades {next_id}, {next_id + 1}, …, was {ids[:3]} ({place})")
    trades = [trade for trade in answer if _inside(hole, trade)]
    if len(answer) < page_max or len(trades) < len(answer):
        return Page(trades=trades, covers_to_ms=hole.to_ms, is_last=True)
    return Page(trades=trades, covers_to_ms=min(answer[-1].traded_at_ms, hole.to_ms), is_last=False)


def _inside(hole: Hole, trade: VenueTrade) -> bool:
    """Of a gap the trades with its ids, of a hole those before its end."""
    if hole.end_id is not None:
        return isinstance(trade.trade_id, int) and trade.trade_id < hole.end_id
    return trade.traded_at_ms < hole.to_ms


class PagedRefill:
    """The batches of one refill: a session of its own, one batch per page."""

    def __init__(self, hole: Hole, *, session: str, started_at_ms: int, instrument: Instrument) -> None:
        suffix = "refill" if hole.end_id is None else f"gap-{hole.first_id}"
        self.session = f"{session}-{suffix}-{hole.symbol}"
        self._hole = hole
        identity = SessionIdentity(
            exchange=hole.exchange,
            session=self.session,
            started_at_ms=started_at_ms,
            source=TradeSource.REFILL,
            covers_from_ms=hole.from_ms,
        )
        self._window = Window(identity, {hole.symbol: instrument})
        self.next_id = hole.first_id or 0
        self.trades = 0

    def batch(self, page: Page) -> TradeBatch:
        """The next batch, with the page's trades."""
        for trade in page.trades:
            self._window.add(trade)
        self.trades += len(page.trades)
        self.next_id += len(page.trades)
        return self._window.take(max(self._hole.from_ms, page.covers_to_ms))
