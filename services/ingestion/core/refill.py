"""What a venue's newest trades prove about the hole before a session. Pure; nothing is claimed that may be false."""

from collections.abc import Sequence

import msgspec

from services.ingestion.core.frontier import KnownTrade
from services.ingestion.core.window import SessionIdentity, Window
from shared.domain.errors import TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.domain.venue_trade import VenueTrade


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """The trades of one symbol with from_ms <= T < to_ms may be missing.

    to_ms: where the new session's promise begins. known: trades published before and after the cut; an answer that
    spans their time must contain them.
    first_id: of a venue that numbers its trades, the first id that may be missing; None where no trade is known.
    end_id:   the id after the last missing one, where both ends are known (a gap inside a session).
    """

    exchange: str
    symbol: str
    from_ms: int
    to_ms: int
    known: tuple[KnownTrade, ...] = ()
    first_id: int | None = None
    end_id: int | None = None


class Refill(msgspec.Struct, frozen=True, kw_only=True):
    """The trades of the hole that the answer holds; it proves covers_from_ms <= T < hole.to_ms, maybe nothing."""

    trades: list[VenueTrade]
    covers_from_ms: int
    reaches: bool


def refill_hole(hole: Hole, answer: Sequence[VenueTrade], *, visible_to_ms: int, answer_max: int) -> Refill:
    """Judge an answer of the venue's newest trades, oldest first.

    visible_to_ms: every trade before it must be in the answer (the venue's time before asking minus the lateness).
    answer_max:    a shorter answer is the whole history.
    Of a full answer the oldest millisecond may be cut: it proves only what lies after it, and the oldest group of equal
    (time, sequence) is dropped, as its places cannot be told.
    Raises TransientError when the answer is too early, empty, or lacks a trade it must have: ask again.
    """
    place = f"refill {hole.exchange} {hole.symbol} {hole.from_ms}..{hole.to_ms}"
    if visible_to_ms < hole.to_ms:
        raise TransientError(
            f"the answer must be younger than {hole.to_ms}, shows all before {visible_to_ms} ({place})"
        )
    if not answer:
        raise TransientError(f"an empty answer proves nothing ({place})")
    oldest = answer[0]
    whole_history = len(answer) < answer_max
    ids = {trade.trade_id for trade in answer}
    for known in hole.known:
        expected = known.traded_at_ms < visible_to_ms and (whole_history or known.traded_at_ms > oldest.traded_at_ms)
        if expected and known.trade_id not in ids:
            raise TransientError(f"the answer must hold the known trade {known.trade_id} ({place})")
    reaches = whole_history or oldest.traded_at_ms < hole.from_ms
    covers_from_ms = hole.from_ms if reaches else min(hole.to_ms, oldest.traded_at_ms + 1)
    cut_group = None if whole_history else (oldest.traded_at_ms, oldest.venue_sequence)
    trades = [
        trade
        for trade in answer
        if hole.from_ms <= trade.traded_at_ms < hole.to_ms and (trade.traded_at_ms, trade.venue_sequence) != cut_group
    ]
    return Refill(trades=trades, covers_from_ms=covers_from_ms, reaches=reaches)


def refill_batch(
    hole: Hole, refill: Refill, *, session: str, started_at_ms: int, instrument: Instrument
) -> TradeBatch | None:
    """The refill as the only batch of a session of its own; None when it says nothing."""
    if not refill.trades and refill.covers_from_ms >= hole.to_ms:
        return None
    identity = SessionIdentity(
        exchange=hole.exchange,
        session=f"{session}-refill-{hole.symbol}",
        started_at_ms=started_at_ms,
        source=TradeSource.REFILL,
        covers_from_ms=refill.covers_from_ms,
    )
    window = Window(identity, {hole.symbol: instrument})
    for trade in refill.trades:
        window.add(trade)
    return window.take(hole.to_ms)
