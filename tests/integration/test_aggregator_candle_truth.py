"""A recorded day through the aggregator: its hours equal the exchange's own."""

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np

from services.aggregator.core.limits import REPLAY_LIMITS
from shared.domain.candles import CandleQuality
from shared.domain.decimals import scale_of_text, units_of_text
from shared.domain.timeframe import Timeframe, minute_ms
from shared.domain.trades import TradeBatch
from tests.support.aggregator import Bench

EXCHANGE = "binance-spot"
SYMBOLS = ("ADAUSDT", "EOSUSDT")
LATENESS_MS = 3_000
ROWS_PER_BATCH = 1_500
PRICE_SCALES, QUANTITY_SCALES = (5, 4), (2, 2)


def rows_of(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.reader(file)
        assert next(reader)[:5] == ["event_time", "symbol", "trade_id", "price", "quantity"]
        yield from (row for row in reader if row[1] in SYMBOLS)


def batches_of(path: Path) -> Iterator[TradeBatch]:
    rows = list(rows_of(path))
    for symbol, price_scale, quantity_scale in zip(SYMBOLS, PRICE_SCALES, QUANTITY_SCALES, strict=True):
        assert max(scale_of_text(row[3]) for row in rows[::97] if row[1] == symbol) <= price_scale
        assert max(scale_of_text(row[4]) for row in rows[::97] if row[1] == symbol) <= quantity_scale
    newest_ms = 0
    for sequence, start in enumerate(range(0, len(rows), ROWS_PER_BATCH)):
        part = rows[start : start + ROWS_PER_BATCH]
        newest_ms = max(newest_ms, *(int(row[0]) for row in part))
        ids = np.array([int(row[2]) for row in part])
        index = [SYMBOLS.index(row[1]) for row in part]
        yield TradeBatch(
            exchange=EXCHANGE,
            session="tape",
            session_started_at_ms=int(rows[0][0]),
            sequence=sequence,
            covers_from_ms=minute_ms(int(rows[0][7])),
            watermark_ms=newest_ms - LATENESS_MS,
            symbols=SYMBOLS,
            price_scales=PRICE_SCALES,
            quantity_scales=QUANTITY_SCALES,
            symbol_index=np.array(index),
            trade_id=ids,
            price=np.array([float(row[3]) for row in part]),
            quantity_units=np.array([units_of_text(row[4], 2) for row in part]),
            traded_at_ms=np.array([int(row[7]) for row in part]),
            taker_is_buyer=np.array([row[8] == "false" for row in part]),
            venue_sequence=ids,
            tie_rank=np.zeros(len(part), dtype=np.int64),
        )


async def test_the_hours_of_a_recorded_day_equal_the_exchanges_own(market_data):
    bench = Bench(REPLAY_LIMITS)
    aggregator = bench.aggregator()
    for batch in batches_of(market_data / "tape" / "binance_spot_trades_2019-05-31.csv.gz"):
        await aggregator.append([batch])
        await aggregator.close_minutes()
    await aggregator.finish(1_559_347_199_999)

    for symbol in SYMBOLS:
        hours = await bench.candles(symbol, Timeframe.H1, EXCHANGE)
        truth = {}
        with (market_data / "candle_truth" / f"binance_spot_{symbol}_1h_2019-05-24_2019-06-24.csv").open() as file:
            for row in csv.DictReader(file):
                truth[int(row["open_time"])] = row
        assert len(hours) == 24
        for hour in hours:
            row = truth[hour.open_time_ms]
            ours = (hour.open, hour.high, hour.low, hour.close)
            assert ours == tuple(float(row[name]) for name in ("open", "high", "low", "close"))
            assert hour.volume == Decimal(row["volume"]).normalize()
            assert hour.trade_count == int(row["trades"])
        [day] = await bench.candles(symbol, Timeframe.D1, EXCHANGE)
        assert (day.trade_count, day.missing_minutes) == (sum(hour.trade_count or 0 for hour in hours), 1)
        assert day.quality is CandleQuality.PARTIAL
        minutes = await bench.candles(symbol, Timeframe.M1, EXCHANGE)
        assert [candle.quality.value for candle in minutes] == ["complete"] * 1439 + ["partial"]
        assert {candle.revision for candle in minutes} == {1}
