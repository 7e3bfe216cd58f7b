"""Writes of which nobody knows whether they happened: no trade may be missing from a candle that says it is complete."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from shared.domain.candles import CandleQuality
from shared.domain.errors import TransientError
from shared.domain.timeframe import MINUTE_MS
from shared.store.port import Outcome, Write
from shared.store.sqlite import SqliteStore
from tests.support.aggregator import Bench
from tests.support.trades import START_MS, Row, a_batch

M = MINUTE_MS


class Silent:
    """A store that carries out the next write and does not say so."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.silent = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = await self._store.write(writes)
        if self.silent:
            self.silent = False
            raise TransientError("no answer")
        return outcomes


@pytest.mark.parametrize("comes_again", [True, False])
async def test_a_batch_whose_append_was_called_failed_is_in_the_candle_though_the_next_one_came_first(
    *, comes_again: bool
):
    bench = Bench()
    store = Silent(bench.store)
    bench.store = store  # type: ignore[assignment]  # the same port
    aggregator = bench.aggregator(fence=1)
    first, second, third = (
        a_batch([Row("AAA", number, START_MS + number * 10_000, 100.0 + number, 10)], sequence=number, watermark_ms=end)
        for number, end in ((0, START_MS + 5_000), (1, START_MS + 15_000), (2, START_MS + M))
    )
    await aggregator.append([first])
    store.silent = True
    with pytest.raises(TransientError):
        await aggregator.append([second])

    await aggregator.append([third])
    if comes_again:
        await aggregator.append([second])
    await aggregator.close_minutes()

    [candle] = await bench.candles("AAA")
    assert (candle.trade_count, candle.volume, candle.quality) == (3, Decimal("0.3"), CandleQuality.COMPLETE)
    assert await bench.marks() == {}
