"""What a batch's trades amount to, found while they are split, is what folding them finds; and so are sums of it."""

from unittest.mock import patch

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.series import Series
from shared.domain import splitting
from shared.domain.fold import FoldedMinute, edge_texts, fold_minutes, folded_of
from shared.domain.minute_trades import COLUMN_NAMES, Figures, MinuteTrades
from shared.domain.splitting import split_by_minute
from shared.domain.trades import TradeBatch, id_column

START_MS = 1_700_000_040_000
MINUTE_MS = 60_000


@st.composite
def batches(draw: st.DrawFn) -> list[TradeBatch]:
    """Some batches of two symbols over three minutes: repeated ids, equal places in the market's order, wide quantities."""
    texts = draw(st.booleans())
    made = []
    for sequence in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 8))
        column = st.lists(st.integers(0, 3), min_size=count, max_size=count)
        ids = draw(st.lists(st.integers(1, 60), min_size=count, max_size=count, unique=draw(st.booleans())))
        units = draw(st.lists(st.one_of(st.integers(1, 50), st.integers(2**61, 2**62)), min_size=count, max_size=count))
        made.append(
            TradeBatch(
                exchange="e",
                session="s",
                session_started_at_ms=START_MS,
                sequence=sequence,
                covers_from_ms=START_MS,
                watermark_ms=START_MS,
                symbols=("A", "B"),
                price_scales=(draw(st.sampled_from([2, 2, 3])), 12),
                quantity_scales=(3, 0),
                symbol_index=[draw(st.integers(0, 1)) for _ in ids],
                trade_id=id_column([f"t{number}" for number in ids] if texts else ids),
                price=[draw(st.integers(1, 900_000)) / 100 for _ in ids],
                quantity_units=units,
                traded_at_ms=[START_MS + 25_000 * value for value in draw(column)],
                taker_is_buyer=[True] * count,
                venue_sequence=draw(column),
                tie_rank=draw(st.one_of(column, st.just(list(range(count))))),
            )
        )
    return made


@given(batches())
def test_figures_are_what_a_fold_finds(made):
    for piece in split_by_minute(made[0]):
        if piece.figures is not None:
            [folded] = fold_minutes([[piece]])
            assert summed([piece], piece.figures, piece.price_scale, piece.quantity_scale) == folded


@given(batches())
def test_compiled_and_plain_splits_are_the_same(made):
    with patch.object(splitting, "compiled", lambda: None):
        plain = split_by_minute(made[0])
    compiled = split_by_minute(made[0])

    assert [told(piece) for piece in compiled] == [told(piece) for piece in plain]
    assert all(piece.figures is None for piece in plain)


@given(batches(), st.randoms(use_true_random=False))
def test_an_open_minute_adds_its_pieces_up_to_what_a_fold_finds(made, chance):
    pieces = [piece for batch in made for piece in split_by_minute(batch)]
    chance.shuffle(pieces)
    series = {symbol: Series(SeriesKey("e", symbol)) for symbol in "AB"}
    for piece in [*pieces, *pieces[:2]]:
        series[piece.symbol].add(piece)

    for symbol, minute_ms in {(piece.symbol, piece.minute_ms) for piece in pieces}:
        group = [piece for piece in pieces if (piece.symbol, piece.minute_ms) == (symbol, minute_ms)]
        taken = series[symbol].take(minute_ms)
        [folded] = fold_minutes([group])
        assert fold_minutes([taken.pieces]) == [folded]
        if taken.figures is not None:
            assert summed(taken.pieces, *taken.figures) == folded


def test_rising_trades_of_many_batches_are_never_folded_again():
    series = Series(SeriesKey("e", "A"))
    for sequence in range(40):
        [piece] = split_by_minute(a_rising_batch(sequence))
        series.add(piece)

    taken = series.take(START_MS)

    assert taken.figures is not None
    assert folded_of(*taken.figures) == fold_minutes([taken.pieces])[0]
    assert taken.figures[0].trade_count == 200


def summed(pieces: list[MinuteTrades], figures: Figures, price_scale: int, quantity_scale: int) -> FoldedMinute:
    """What a close makes of figures: text ids are looked up in the pieces."""
    minute = folded_of(figures, price_scale, quantity_scale)
    if minute.first_trade_id is None:
        first_id, last_id = edge_texts(pieces, figures)
        minute = msgspec.structs.replace(minute, first_trade_id=first_id, last_trade_id=last_id)
    return minute


def a_rising_batch(sequence: int) -> TradeBatch:
    numbers = range(5 * sequence, 5 * sequence + 5)
    return TradeBatch(
        exchange="e",
        session="s",
        session_started_at_ms=START_MS,
        sequence=sequence,
        covers_from_ms=START_MS,
        watermark_ms=START_MS,
        symbols=("A",),
        price_scales=(2,),
        quantity_scales=(3,),
        symbol_index=[0] * 5,
        trade_id=list(numbers),
        price=[100 + (number * 7 % 13) / 100 for number in numbers],
        quantity_units=[1 + number for number in numbers],
        traded_at_ms=[START_MS + 10 * number for number in numbers],
        taker_is_buyer=[True] * 5,
        venue_sequence=list(numbers),
        tie_rank=[0] * 5,
    )


def told(piece: MinuteTrades) -> tuple:
    header = (piece.symbol, piece.minute_ms, piece.sequence, piece.price_scale, piece.quantity_scale)
    return (*header, *(np.asarray(getattr(piece, name)).tolist() for name in COLUMN_NAMES))
