"""The life of a signal: each way it can end, on which price, and what decided it."""

import numpy as np
import pytest
from msgspec.structs import replace

from shared.domain.bias import Direction
from shared.domain.decisions import Action
from shared.domain.errors import InvalidValueError
from shared.domain.identity import signal_id
from shared.domain.signals import ExitReason, Resolution, Signal, SignalStatus
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.portfolio.signal_life import (
    chain_hash,
    closed,
    exit_on_candle,
    needs_tape,
    pnl_pct,
    reversal_exit,
    stop_in_force,
)
from shared.strategies.levels import percent_levels
from tests.support.engine_market import START_MS, VENUE, a_candle

OPENED_MS = START_MS + MINUTE_MS


def a_signal(side=Direction.LONG, **changes):
    take_profit, stop_loss = percent_levels(100.0, side, 1.5, 0.7)
    identity = {
        "strategy": "rsi_divergence",
        "trigger": "extreme",
        "exchange": VENUE,
        "symbol": "BTCUSDT",
        "timeframe": changes.get("timeframe", Timeframe.M1),
        "side": side,
        "candle_open_time_ms": START_MS,
    }
    values = {
        **identity,
        "signal_id": signal_id(**identity),
        "version": 1,
        "status": SignalStatus.OPEN,
        "opened_at_ms": OPENED_MS,
        "entry_price": 100.0,
        "take_profit": take_profit,
        "stop_loss": stop_loss,
        "max_age_candles": 240,
        "price_decimals": 1,
        "conditions": (),
        "bias": "none",
        "window_digest": "",
        "prev_hash": "",
    }
    return Signal(**{**values, **changes})


def bar(open_price, high, low, close, *, minute=1):
    return a_candle(START_MS + minute * MINUTE_MS, close, open=open_price, high=high, low=low)


def mirrored(prices):
    return [200 - prices[0], 200 - prices[2], 200 - prices[1], 200 - prices[3]]


CASES = [  # open, high, low, close, reason, price
    ((100, 101, 99.5, 100), None, None),
    ((100, 101.5, 99.5, 100), ExitReason.TAKE_PROFIT, 101.5),
    ((100, 101, 99.3, 100), ExitReason.STOP_LOSS, 99.3),
    ((102, 103, 101, 102), ExitReason.TAKE_PROFIT, 102),
    ((98, 103, 97, 102), ExitReason.STOP_LOSS, 98),
    ((99.3, 100, 99, 100), ExitReason.STOP_LOSS, 99.3),
    ((100, 102, 99, 100), ExitReason.STOP_LOSS, 99.3),
]


@pytest.mark.parametrize(("prices", "reason", "price"), CASES)
@pytest.mark.parametrize("side", [Direction.LONG, Direction.SHORT])
def test_levels_and_gaps(prices, reason, price, side):
    short = side is Direction.SHORT
    end = exit_on_candle(a_signal(side), bar(*(mirrored(prices) if short else prices)))
    assert (end.reason if end else None) == reason
    if end is not None:
        assert end.price == pytest.approx(200 - price if short else price, abs=1e-9)
        assert end.closed_at_ms == START_MS + 2 * MINUTE_MS


def test_golden_gains():
    assert pnl_pct(Direction.LONG, 100.0, 101.5) == 1.5
    assert pnl_pct(Direction.LONG, 100.0, 99.3) == -0.7
    assert pnl_pct(Direction.SHORT, 100.0, 98.5) == 1.5
    assert pnl_pct(Direction.SHORT, 100.0, 100.7) == -0.7
    assert str(pnl_pct(Direction.SHORT, 100.0, 100.0)) == "0.0"


@pytest.mark.parametrize(
    ("prices", "reason", "resolution"),
    [
        ([100, 101, 101.6, 99.2, 100], ExitReason.TAKE_PROFIT, Resolution.TAPE),
        ([100, 99.25, 101.6, 100], ExitReason.STOP_LOSS, Resolution.TAPE),
        (None, ExitReason.STOP_LOSS, Resolution.PESSIMISTIC),
        ([100, 100.5], ExitReason.STOP_LOSS, Resolution.PESSIMISTIC),
    ],
)
def test_both_levels_in_one_candle(prices, reason, resolution):
    candle = bar(100, 102, 99, 100)
    assert needs_tape(a_signal(), candle)
    end = exit_on_candle(a_signal(), candle, None if prices is None else np.array(prices, dtype=np.float64))
    assert (end.reason, end.resolution) == (reason, resolution)
    assert end.price in {101.5, 99.3}


def test_the_entry_candle_and_older_ones_do_not_count():
    assert exit_on_candle(a_signal(), bar(100, 200, 1, 100, minute=0)) is None
    assert not needs_tape(a_signal(), bar(100, 200, 1, 100, minute=0))


def test_it_expires_at_the_close_of_its_last_candle_and_levels_come_first():
    assert exit_on_candle(a_signal(), bar(100, 101, 99.5, 100.5, minute=239)) is None
    end = exit_on_candle(a_signal(), bar(100, 101, 99.5, 100.5, minute=240))
    assert (end.reason, end.price, end.pnl_pct) == (ExitReason.EXPIRED, 100.5, 0.5)
    level = exit_on_candle(a_signal(), bar(100, 101.6, 99.5, 100.5, minute=240))
    assert level.reason is ExitReason.TAKE_PROFIT
    assert exit_on_candle(a_signal(max_age_candles=None), bar(100, 101, 99.5, 100.5, minute=9999)) is None


def test_age_counts_candles_of_the_strategys_timeframe():
    signal = a_signal(timeframe=Timeframe.M5, max_age_candles=2)
    assert exit_on_candle(signal, bar(100, 101, 99.5, 100, minute=9)) is None
    assert exit_on_candle(signal, bar(100, 101, 99.5, 100, minute=10)).reason is ExitReason.EXPIRED


def test_levels_are_optional():
    signal = a_signal(take_profit=None, stop_loss=None)
    assert exit_on_candle(signal, bar(100, 200, 1, 100)) is None
    assert exit_on_candle(a_signal(stop_loss=None), bar(100, 200, 1, 100)).reason is ExitReason.TAKE_PROFIT


@pytest.mark.parametrize(
    ("action", "ends"),
    [(Action.ENTER_SHORT, True), (Action.EXIT, True), (Action.ENTER_LONG, False), (Action.NONE, False)],
)
def test_only_an_exit_or_the_other_side_reverses(action, ends):
    end = reversal_exit(a_signal(), bar(100, 101, 99.5, 100.4), action)
    assert (end is not None) == ends
    if end:
        assert (end.reason, end.price) == (ExitReason.REVERSED, 100.4)


def test_a_close_is_final_and_the_chain_names_it():
    end = exit_on_candle(a_signal(), bar(100, 101.5, 99.5, 100))
    final = closed(a_signal(), end)
    assert (final.version, final.status, final.exit) == (2, SignalStatus.CLOSED, end)
    with pytest.raises(InvalidValueError):
        closed(final, end)
    assert exit_on_candle(final, bar(100, 200, 1, 100)) is None
    assert chain_hash(final) == chain_hash(closed(a_signal(), end))
    assert chain_hash(final) != chain_hash(replace(final, prev_hash="x"))


@pytest.mark.parametrize(
    ("side", "best", "stop"),
    [
        ("LONG", None, 99.3),
        ("LONG", 99.7, 99.3),
        ("LONG", 102.0, 101.49),
        ("SHORT", 98.0, 98.49),
        ("SHORT", 99.9, 100.3995),
    ],
)
def test_a_trailing_stop_follows_the_best_price_and_never_goes_back(side, best, stop):
    signal = a_trailing(side)
    assert stop_in_force(signal, best) == pytest.approx(stop)
    level = stop_in_force(signal, best)
    here = a_candle(signal.opened_at_ms, level, open=level, high=level, low=level)
    assert exit_on_candle(signal, here, best_price=best).reason is ExitReason.STOP_LOSS


@pytest.mark.parametrize(
    ("minutes", "close", "ends"), [(58, 100.2, False), (59, 100.2, True), (59, 100.4, False), (70, 99.9, True)]
)
def test_a_time_exit_ends_what_lingers_without_gain(minutes, close, ends):
    signal = replace(a_trailing("LONG"), trail_pct=None, time_exit_ms=3_600_000, time_exit_below_pct=0.4)
    end = exit_on_candle(signal, a_candle(signal.opened_at_ms + minutes * 60_000, close))
    assert (end is not None) == ends
    assert end is None or (end.reason, end.price) == (ExitReason.EXPIRED, close)


def a_trailing(side):
    stop, target = (99.3, 110.0) if side == "LONG" else (100.7, 90.0)
    given = a_signal(Direction(side), entry_price=100.0, take_profit=target, stop_loss=stop, max_age_candles=None)
    return replace(given, trail_pct=0.5)
