"""Joining the pieces of a busy minute changes nothing that a fold can see, and can be undone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fold import fold_minutes
from shared.domain.minute_trades import MinuteTrades, apart, joined
from shared.domain.trades import TradeSource, id_column

START_MS = 1_700_000_040_000


@st.composite
def pieces(draw: st.DrawFn) -> list[MinuteTrades]:
    """Pieces of one minute from up to three sessions, with repeated and contradicting ids, two scales, both sources."""
    made = {}
    for _ in range(draw(st.integers(1, 12))):
        session = draw(st.sampled_from(["a", "b", "c"]))
        sequence = draw(st.integers(0, 5))
        ids = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True))
        made[session, sequence] = MinuteTrades.of_columns(
            {
                "trade_id": id_column(ids),
                "price": np.array([draw(st.integers(1, 500)) / 100 for _ in ids]),
                "quantity_units": [draw(st.integers(1, 9)) for _ in ids],
                "traded_at_ms": [START_MS + draw(st.integers(0, 3)) for _ in ids],
                "taker_is_buyer": [True for _ in ids],
                "venue_sequence": [draw(st.integers(0, 2)) for _ in ids],
                "tie_rank": [0 for _ in ids],
            },
            exchange="e",
            symbol="S",
            minute_ms=START_MS,
            session=session,
            session_started_at_ms={"a": 5, "b": 3, "c": 5}[session],
            sequence=sequence,
            source=TradeSource.REFILL if session == "b" else TradeSource.STREAM,
            price_scale=2,
            quantity_scale=draw(st.sampled_from([0, 3])),
        )
    return list(made.values())


@given(pieces())
def test_joined_pieces_fold_to_the_same_minute(group):
    assert fold_minutes([joined(group)]) == fold_minutes([group])


@given(pieces(), st.integers(0, 12))
def test_pieces_may_be_joined_a_few_at_a_time(group, cut):
    assert fold_minutes([joined(group[:cut]) + group[cut:]]) == fold_minutes([group])


@given(pieces())
def test_what_was_joined_comes_apart(group):
    parts = [part for piece in joined(group) for part in apart(piece)]

    def told(items: list[MinuteTrades]) -> list[tuple]:
        return sorted(
            (*item.arrival, item.quantity_scale, item.trade_id.tolist(), item.price.tolist()) for item in items
        )

    assert told(parts) == told(group)
