import itertools

import numpy as np
import pytest

from services.simulator.core.bars import INTERVAL_MINUTES, Bars, interval_start, rolled_up
from services.simulator.core.day_plan import DAY_MINUTES, event_starts
from services.simulator.core.generated_source import GeneratedSource
from services.simulator.core.instruments import DEFAULT_SYMBOLS, instrument_of
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS

DAY = 20_777
NOON = DAY * DAY_MINUTES + 720


def a_source(*symbols, seed=1, first_minute=(DAY - 400) * DAY_MINUTES):
    return GeneratedSource(
        symbols or DEFAULT_SYMBOLS,
        seed=seed,
        slot_minutes=30,
        first_minute=first_minute,
        exact_from_minute=(DAY - 1) * DAY_MINUTES,
    )


def columns(trades):
    return [
        trades.at_ms.tolist(),
        trades.ticks.tolist(),
        trades.steps.tolist(),
        trades.is_buy.tolist(),
        trades.direction.tolist(),
        trades.sequence.tolist(),
        list(trades.trade_ids),
    ]


def as_rows(bars: Bars):
    return list(zip(*(getattr(bars, name).tolist() for name in Bars.__struct_fields__), strict=True))


def test_the_same_seed_gives_the_same_trades_whatever_was_asked_before():
    fresh, used = a_source("BTCUSDT"), a_source("ETHUSDT", "BTCUSDT")
    for minute in range(NOON + 50, NOON - 3 * DAY_MINUTES, -97):
        used.trades("BTCUSDT", minute)
        used.day_bar("ETHUSDT", minute // DAY_MINUTES)

    for minute in range(NOON, NOON + 5):
        assert columns(fresh.trades("BTCUSDT", minute)) == columns(used.trades("BTCUSDT", minute))


def test_another_seed_gives_another_market():
    assert columns(a_source(seed=1).trades("BTCUSDT", NOON)) != columns(a_source(seed=2).trades("BTCUSDT", NOON))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SEIUSDT", "ADAUSDT", "SUIUSDT", "NEWCOINUSDC"])
def test_a_minute_bar_is_the_fold_of_its_trades_behind_the_previous_close(symbol):
    source = a_source(symbol)
    first, last = NOON, NOON + 240
    bars = source.minute_bars(symbol, first, last)
    previous_close = int(source.minute_bars(symbol, first - 1, first - 1).close[0])

    empty = 0
    for row, minute in enumerate(range(first, last + 1)):
        trades = source.trades(symbol, minute)
        prices = [previous_close, *trades.ticks.tolist()]
        assert (bars.open[row], bars.close[row]) == (prices[0], prices[-1])
        assert (bars.high[row], bars.low[row]) == (max(prices), min(prices))
        assert bars.volume[row] == sum(trades.steps.tolist())
        assert bars.turnover[row] == sum(
            t * s for t, s in zip(trades.ticks.tolist(), trades.steps.tolist(), strict=True)
        )
        previous_close = prices[-1]
        empty += trades.ticks.size == 0
    if symbol in DEFAULT_SYMBOLS:
        assert (empty > 0) == (symbol in {"SEIUSDT", "ADAUSDT"})


def test_trades_stand_in_order_inside_their_minute_and_have_distinct_ids():
    source = a_source()
    for symbol in DEFAULT_SYMBOLS:
        seen = set()
        for minute in range(NOON, NOON + 30):
            trades = source.trades(symbol, minute)
            assert np.all(trades.at_ms // MINUTE_MS == minute)
            assert np.all(np.diff(trades.at_ms) >= 0)
            assert np.all(np.diff(trades.sequence) >= 0)
            assert np.all(trades.steps > 0)
            assert np.all(trades.ticks > 0)
            assert not seen.intersection(trades.trade_ids)
            seen.update(trades.trade_ids)


def test_prices_are_continuous_over_midnight():
    source = a_source()
    for symbol in DEFAULT_SYMBOLS:
        last = source.minute_bars(symbol, DAY * DAY_MINUTES - 1, DAY * DAY_MINUTES - 1)
        first = source.minute_bars(symbol, DAY * DAY_MINUTES, DAY * DAY_MINUTES)
        assert first.open[0] == last.close[0]


@pytest.mark.parametrize("interval", INTERVAL_MINUTES)
def test_klines_of_every_interval_agree_with_the_minutes(interval):
    market = Market(a_source("BTCUSDT"))
    now_ms = (NOON + 7) * MINUTE_MS + 31_000
    first = interval_start(NOON - 9 * DAY_MINUTES, interval)

    minutes = market.klines("BTCUSDT", "1", first, NOON + 7, now_ms)

    assert as_rows(market.klines("BTCUSDT", interval, first, NOON + 7, now_ms)) == as_rows(rolled_up(minutes, interval))
    assert minutes.start_minute[-1] == NOON + 7


def test_weeks_begin_on_monday():
    monday_2026_11_16 = 1_794_787_200_000 // MINUTE_MS
    assert interval_start(monday_2026_11_16 + 5 * DAY_MINUTES, "W") == monday_2026_11_16
    assert interval_start(monday_2026_11_16 - 1, "W") == monday_2026_11_16 - 7 * DAY_MINUTES


def wilder_rsi(closes, period=14):
    gains = [max(b - a, 0.0) for a, b in itertools.pairwise(closes)]
    losses = [max(a - b, 0.0) for a, b in itertools.pairwise(closes)]
    gain, loss = sum(gains[:period]) / period, sum(losses[:period]) / period
    values = [50.0] * (period + 1)
    for up, down in zip(gains[period:], losses[period:], strict=True):
        gain, loss = (gain * (period - 1) + up) / period, (loss * (period - 1) + down) / period
        values.append(100.0 if loss == 0 else 100 - 100 / (1 + gain / loss))
    return values


@pytest.mark.parametrize("seed", [1, 5])
def test_scheduled_moves_reach_the_extremes_with_a_volume_spike_and_then_hit_a_level(seed):
    source = a_source(seed=seed)
    climaxes = signals = profits = stops = 0
    signal_minutes = []
    for symbol in DEFAULT_SYMBOLS:
        bars = source.minute_bars(symbol, DAY * DAY_MINUTES, DAY * DAY_MINUTES + 1_439, exact_turnover=False)
        closes, volumes = bars.close.astype(float).tolist(), bars.volume.astype(float).tolist()
        rsi = wilder_rsi(closes)
        for at in (event_starts(instrument_of(symbol), seed, DAY, 30) + 5).tolist():
            if not 60 <= at < 1_400:
                continue
            climaxes += 1
            spike = volumes[at] > 1.5 * sum(volumes[at - 19 : at + 1]) / 20
            if not (spike and (rsi[at] <= 25 or rsi[at] >= 75)):
                continue
            signals += 1
            signal_minutes.append(at)
            side = 1 if rsi[at] <= 25 else -1
            for after in range(at + 1, at + 12):
                worst, best = (bars.low, bars.high) if side > 0 else (bars.high, bars.low)
                if side * (worst[after] / closes[at] - 1) <= -0.007:
                    stops += 1
                    break
                if side * (best[after] / closes[at] - 1) >= 0.015:
                    profits += 1
                    break
    assert signals >= 0.97 * climaxes
    assert profits + stops >= 0.97 * signals
    assert min(profits, stops) >= 0.25 * signals
    # Nine symbols: somewhere a signal at least every seven minutes of market time.
    assert max(np.diff(sorted(signal_minutes))) <= 7
