"""Whatever the cuts, delays and splits of frames: what ingestion asserts is true, and every trade keeps its place."""

import itertools
import math
from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.ingestion.core.frontier import Frontier
from services.ingestion.core.refill import Hole, refill_batch, refill_hole
from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import SessionIdentity, Window, WindowLimits, exact_units
from shared.domain.decimals import plain_text, units_of_text
from shared.domain.errors import TransientError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.domain.venue_trade import VenueTrade

START_MS = 1_786_310_820_000
LATENESS_MS = 50
ANSWER_MAX = 12
SYMBOLS = ("BTCUSDT", "SEIUSDT")
INSTRUMENTS = {
    symbol: Instrument(
        exchange="bybit-linear", symbol=symbol, base=symbol[:3], quote="USDT", price_scale=1, quantity_scale=3
    )
    for symbol in SYMBOLS
}


class Sent(msgspec.Struct, frozen=True):
    """A frame of the venue: made at made_ms, on the wire at sent_ms."""

    made_ms: int
    sent_ms: int
    trades: tuple[VenueTrade, ...]


@st.composite
def markets(draw) -> list[Sent]:
    """Frames in the order they are sent: groups of equal (T, seq), split over frames at random; clock frames between."""
    frames, time_ms, sent_ms, number = [], START_MS, START_MS, 0
    for sequence in range(draw(st.integers(3, 40))):
        time_ms += draw(st.sampled_from([0, 0, 1, 3, 20, 90]))
        symbol = draw(st.sampled_from(SYMBOLS))
        group = []
        for _ in range(draw(st.integers(0, 4))):
            number += 1
            group.append(
                VenueTrade(
                    symbol=symbol,
                    trade_id=f"id-{number}",
                    price_text="10.5",
                    quantity_text="0.001",
                    traded_at_ms=time_ms,
                    taker_is_buyer=True,
                    venue_sequence=sequence // 2,
                )
            )
        cut = draw(st.integers(0, len(group)))
        for part in (group[:cut], group[cut:]) if 0 < cut < len(group) else (group,):
            # The wire keeps the order of matching; a frame is at most LATENESS_MS old when it is sent.
            sent_ms = min(max(sent_ms, time_ms + draw(st.integers(0, LATENESS_MS))), time_ms + LATENESS_MS)
            frames.append(Sent(time_ms, sent_ms, tuple(part)))
    # The clock's topic keeps no order with the trades: its frames may overtake them.
    ticks = [Sent(at_ms, at_ms, ()) for at_ms in draw(st.lists(st.integers(START_MS, time_ms + 100), max_size=10))]
    return sorted(frames + ticks, key=lambda frame: frame.sent_ms)


def true_ranks(frames: list[Sent]) -> dict[str, int]:
    places: Counter = Counter()
    ranks = {}
    for trade in (trade for frame in frames for trade in frame.trades):
        key = (trade.symbol, trade.traded_at_ms, trade.venue_sequence)
        ranks[trade.trade_id] = places[key]
        places[key] += 1
    return ranks


def rest_answer(frames: list[Sent], symbol: str, asked_ms: int) -> list[VenueTrade]:
    """The venue shows what was matched LATENESS_MS ago, maybe more (here: what was sent)."""
    shown = [
        trade
        for frame in frames
        for trade in frame.trades
        if trade.symbol == symbol and (frame.sent_ms <= asked_ms or trade.traded_at_ms < asked_ms - LATENESS_MS)
    ]
    return shown[-ANSWER_MAX:]


def run_ingestion(frames: list[Sent], cuts: list[int], batch_every: int, asked_after_ms: int) -> list[TradeBatch]:
    """Sessions over the frames, cut before the given frame numbers; each refills once from REST."""
    limits = SessionLimits(
        window=WindowLimits(window_ms=1, trades_max=batch_every, heartbeat_ms=3),
        time=TimeLimits(lateness_ms=LATENESS_MS),
    )
    published: list[TradeBatch] = []
    frontier = Frontier()
    bounds = [0, *sorted(set(cuts)), len(frames)]
    for number, (first, end) in enumerate(itertools.pairwise(bounds)):
        clock, session = VenueClock(limits.time), None
        refilled = False
        for position, frame in enumerate(frames[first:end]):
            assert clock.advance(frame.made_ms) is None
            if session is None:
                session = StreamSession(
                    exchange="bybit-linear",
                    session=f"s{number}",
                    started_at_ms=START_MS + number,
                    instruments=INSTRUMENTS,
                    clock=clock,
                    limits=limits,
                    now_ms=0,
                )
            for trade in frame.trades:
                session.add(trade)
            asked_ms = session.identity.covers_from_ms + LATENESS_MS + asked_after_ms
            if not refilled and frame.sent_ms >= asked_ms:
                refilled = True
                published += refills(frames, frontier, session.identity, frame.sent_ms)
            if session.is_due(position):
                published.append(session.take(position))
                frontier.published(published[-1])
        if session is not None:
            published.append(session.take(math.inf))
            frontier.published(published[-1])
    return published


def refills(frames, frontier: Frontier, identity: SessionIdentity, asked_ms: int) -> list[TradeBatch]:
    batches = []
    for symbol in SYMBOLS:
        known = frontier.of(symbol)
        from_ms = START_MS if known.covered_to_ms is None else known.covered_to_ms
        trades = (known.last_trade,) if known.last_trade else ()
        hole = Hole(
            exchange="bybit-linear", symbol=symbol, from_ms=from_ms, to_ms=identity.covers_from_ms, known=trades
        )
        if hole.from_ms < hole.to_ms:
            try:
                answer = rest_answer(frames, symbol, asked_ms)
                refill = refill_hole(hole, answer, visible_to_ms=asked_ms - LATENESS_MS, answer_max=ANSWER_MAX)
            except TransientError:
                pass
            else:
                batch = refill_batch(
                    hole,
                    refill,
                    session=identity.session,
                    started_at_ms=identity.started_at_ms,
                    instrument=INSTRUMENTS[symbol],
                )
                batches += [batch] if batch is not None else []
        frontier.settle(identity.session, symbol)
    return batches


@given(
    frames=markets(),
    cuts=st.lists(st.integers(1, 60), max_size=4),
    batch_every=st.integers(1, 9),
    asked_after_ms=st.integers(0, 60),
)
def test_every_assertion_is_true_at_every_cut(frames, cuts, batch_every, asked_after_ms):
    published = run_ingestion(frames, [cut for cut in cuts if cut < len(frames)], batch_every, asked_after_ms)

    market = [trade for frame in frames for trade in frame.trades]
    ranks = true_ranks(frames)
    sessions: dict[str, list[TradeBatch]] = {}
    for batch in published:
        sessions.setdefault(batch.session, []).append(batch)
    for batches in sessions.values():
        assert [batch.sequence for batch in batches] == list(range(len(batches)))
        assert len({batch.covers_from_ms for batch in batches}) == 1
        watermarks = [batch.watermark_ms for batch in batches]
        assert watermarks == sorted(watermarks)
        held: set[str] = set()
        for batch in batches:
            rows = list(batch.rows())
            held |= {row.trade_id for row in rows}
            assert {row.trade_id: row.tie_rank for row in rows} == {row.trade_id: ranks[row.trade_id] for row in rows}
            promised = {
                trade.trade_id
                for trade in market
                if trade.symbol in batch.symbols and batch.covers_from_ms <= trade.traded_at_ms < batch.watermark_ms
            }
            assert promised <= held


@given(frames=markets(), cut=st.integers(1, 60))
def test_a_refill_that_reaches_leaves_no_hole_between_two_sessions(frames, cut):
    last_ms = max(frame.sent_ms for frame in frames)
    tail = [Sent(last_ms + step, last_ms + step, ()) for step in range(1, 400, 10)]
    market, cuts = frames + tail, [min(cut, len(frames))]
    published = run_ingestion(market, cuts, 5, 0)

    refilled = {batch.symbols[0]: batch for batch in published if batch.source is TradeSource.REFILL}
    first = [batch for batch in published if batch.session == "s0"]
    second = [batch for batch in published if batch.session == "s1"]
    for symbol, batch in refilled.items():
        if batch.session != f"s1-refill-{symbol}":
            continue
        assert batch.watermark_ms == second[0].covers_from_ms
        reach = max((old.watermark_ms for old in first if old.watermark_ms > old.covers_from_ms), default=START_MS)
        market_trades = [trade for frame in market for trade in frame.trades if trade.symbol == symbol]
        if len(market_trades) < ANSWER_MAX:
            assert batch.covers_from_ms <= reach


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=5), st.integers(5, 9))
def test_units_of_the_quick_path_are_those_of_the_exact_one(value, scale):
    text = f"{value:.5f}"
    assert exact_units(text, scale) == units_of_text(text, scale)
    assert exact_units(plain_text(value), scale) == units_of_text(plain_text(value), scale)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=40), st.data()
)
def test_batches_carry_the_rows_whatever_the_windows(rows, data):
    """A venue may refine its steps in the middle of a session: no digit is lost, quantities stay equal."""
    identity = SessionIdentity(
        exchange="bybit-linear", session="s", started_at_ms=1, source=TradeSource.STREAM, covers_from_ms=START_MS
    )
    window, batches = Window(identity, INSTRUMENTS), []
    texts = [f"1.{'0' * decimals}{1 + number % 9}" for number, (decimals, _, _) in enumerate(rows)]
    for number, (text, (_, symbol, at_ms)) in enumerate(zip(texts, rows, strict=True)):
        window.add(
            VenueTrade(
                symbol=SYMBOLS[symbol % 2],
                trade_id=number,
                price_text="3.25",
                quantity_text=text,
                traded_at_ms=START_MS + at_ms,
                taker_is_buyer=False,
                venue_sequence=0,
            )
        )
        if data.draw(st.booleans()):
            batches.append(window.take(START_MS))
    batches.append(window.take(START_MS))

    found = [row for batch in batches for row in batch.rows()]
    assert [row.quantity_units * 10 ** (9 - row.quantity_scale) for row in found] == [
        units_of_text(text, 9) for text in texts
    ]
    assert all(row.price == 3.25 for row in found)
