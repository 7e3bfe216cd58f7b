"""What a REST answer proves about a hole, edge by edge."""

import pytest

from services.ingestion.core.frontier import Frontier, KnownTrade
from services.ingestion.core.refill import Hole, refill_batch, refill_hole
from shared.domain.errors import InvalidValueError, TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeSource
from shared.domain.venue_trade import VenueTrade

INSTRUMENT = Instrument(
    exchange="bybit-linear", symbol="BTCUSDT", base="BTC", quote="USDT", price_scale=1, quantity_scale=3
)


def a_trade(trade_id: str, at_ms: int, sequence: int = 1) -> VenueTrade:
    return VenueTrade(
        symbol="BTCUSDT",
        trade_id=trade_id,
        price_text="10",
        quantity_text="1",
        traded_at_ms=at_ms,
        taker_is_buyer=True,
        venue_sequence=sequence,
    )


def a_hole(from_ms: int, to_ms: int, *known: KnownTrade) -> Hole:
    return Hole(exchange="bybit-linear", symbol="BTCUSDT", from_ms=from_ms, to_ms=to_ms, known=known)


def test_an_answer_older_than_the_hole_fills_it():
    answer = [a_trade("a", 99), a_trade("b", 100), a_trade("c", 150), a_trade("d", 200)]
    refill = refill_hole(a_hole(100, 200), answer, visible_to_ms=200, answer_max=4)
    assert refill.reaches
    assert refill.covers_from_ms == 100
    assert [trade.trade_id for trade in refill.trades] == ["b", "c"]


def test_the_oldest_millisecond_of_a_full_answer_may_be_cut_and_is_not_claimed():
    answer = [a_trade("a", 100, 1), a_trade("b", 100, 2), a_trade("c", 150, 3), a_trade("d", 200, 4)]
    refill = refill_hole(a_hole(100, 200), answer, visible_to_ms=200, answer_max=4)
    assert not refill.reaches
    assert refill.covers_from_ms == 101
    assert [trade.trade_id for trade in refill.trades] == ["b", "c"]  # a's group may have begun before the answer


def test_an_answer_shorter_than_the_limit_is_the_whole_history():
    refill = refill_hole(a_hole(100, 200), [a_trade("a", 150)], visible_to_ms=200, answer_max=4)
    assert refill.reaches
    assert refill.covers_from_ms == 100


def test_an_answer_that_begins_after_the_hole_says_nothing():
    answer = [a_trade("a", 300), a_trade("b", 301)]
    refill = refill_hole(a_hole(100, 200), answer, visible_to_ms=400, answer_max=2)
    batch = refill_batch(a_hole(100, 200), refill, session="s", started_at_ms=1, instrument=INSTRUMENT)
    assert batch is None


@pytest.mark.parametrize("answer", [[], [a_trade("x", 50), a_trade("y", 190)]])
def test_an_answer_without_the_known_trade_is_not_believed(answer):
    known = KnownTrade(trade_id="known", traded_at_ms=120)
    with pytest.raises(TransientError, match="refill bybit-linear BTCUSDT"):
        refill_hole(a_hole(100, 200, known), answer, visible_to_ms=200, answer_max=2)


def test_an_answer_that_may_lack_the_newest_is_too_early():
    with pytest.raises(TransientError, match="younger than 200"):
        refill_hole(a_hole(100, 200), [a_trade("a", 1)], visible_to_ms=199, answer_max=2)


def test_the_batch_is_a_session_of_its_own_with_places_counted_from_the_oldest():
    hole = a_hole(100, 200)
    answer = [a_trade("a", 99), a_trade("b", 150), a_trade("c", 150)]
    refill = refill_hole(hole, answer, visible_to_ms=200, answer_max=3)
    batch = refill_batch(hole, refill, session="s", started_at_ms=7, instrument=INSTRUMENT)
    assert batch is not None
    assert (batch.session, batch.sequence, batch.source) == ("s-refill-BTCUSDT", 0, TradeSource.REFILL)
    assert (batch.covers_from_ms, batch.watermark_ms, batch.symbols) == (100, 200, ("BTCUSDT",))
    assert [row.tie_rank for row in batch.rows()] == [0, 1]


def test_the_frontier_moves_with_settled_sessions_only_and_survives_a_restart():
    hole = a_hole(100, 200)
    answer = [a_trade("a", 99), a_trade("b", 150), a_trade("c", 150)]
    refill = refill_hole(hole, answer, visible_to_ms=200, answer_max=3)
    refilled = refill_batch(hole, refill, session="s", started_at_ms=7, instrument=INSTRUMENT)
    assert refilled is not None
    fields = {name: getattr(refilled, name) for name in refilled.__struct_fields__}
    streamed = type(refilled)(**(fields | {"source": TradeSource.STREAM, "session": "s"}))
    frontier = Frontier()
    frontier.published(refilled)
    assert frontier.of("BTCUSDT").covered_to_ms is None

    frontier.published(streamed)
    assert frontier.of("BTCUSDT").covered_to_ms is None
    assert frontier.of("BTCUSDT").last_trade == KnownTrade(trade_id="c", traded_at_ms=150)
    frontier.settle("s", "BTCUSDT")
    frontier.published(streamed)
    assert frontier.of("BTCUSDT").covered_to_ms == 200

    restarted = Frontier()
    restarted.restore(frontier.encode())
    assert restarted.of("BTCUSDT") == frontier.of("BTCUSDT")
    with pytest.raises(InvalidValueError, match="frontier"):
        restarted.restore(b"nonsense")
