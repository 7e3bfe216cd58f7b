"""Brings each market's candles up to now: what is remembered, and of the venue only what came since."""

import asyncio
from collections.abc import Mapping
from typing import Final

import numpy as np

from services.macro_engine.core.bias_score import WINDOW_4H, WINDOW_15M
from services.macro_engine.core.candles import Candles, merged, no_candles
from services.macro_engine.core.evaluate import CHECK_15M, PairCandles
from services.macro_engine.core.versions import Pair
from services.macro_engine.history import CandleHistory, Series
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.errors import PermanentError, TransientError
from shared.domain.timeframe import Timeframe
from shared.exchanges.kraken.instruments import KRAKEN_SPOT, OHLC_ROWS_MAX
from shared.exchanges.kraken.rest import KrakenRest
from shared.exchanges.venue import Kline

WINDOWS: Final = {Timeframe.M5: 3 * (CHECK_15M + 1), Timeframe.M15: WINDOW_15M, Timeframe.H4: WINDOW_4H}
_SPARE: Final = 8  # a run that is repeated a little later finds its window complete
Answer = PairCandles | TransientError | PermanentError


class VenueCandles:
    """Three calls per market at most, spread by the venue's budget."""

    def __init__(self, venue: KrakenRest, history: CandleHistory, *, seconds_max: float) -> None:
        self._venue = venue
        self._history = history
        self._seconds_max = seconds_max

    async def read(self, symbols: Mapping[Pair, str], as_of_ms: int) -> dict[Pair, Answer]:
        """Each pair's candles closed by now, or why they could not be had; whatever came is remembered."""
        wanted = {
            Series(KRAKEN_SPOT, symbol, timeframe): length
            for symbol in symbols.values()
            for timeframe, length in WINDOWS.items()
        }
        known = await self._history.load(wanted, until_ms=as_of_ms + Timeframe.H4.duration_ms)
        tasks = {series: asyncio.ensure_future(self._news(series, known[series], as_of_ms)) for series in wanted}
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=self._seconds_max)
            outcomes = {series: _outcome(task, self._seconds_max) for series, task in tasks.items()}
        finally:  # also where the service stops in between: nothing asks on behind a closed client
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        news = {series: found for series, found in outcomes.items() if isinstance(found, Candles) and found.size}
        await self._history.add(news)
        answers: dict[Pair, Answer] = {}
        for pair, symbol in symbols.items():
            answers[pair] = _answer({t: Series(KRAKEN_SPOT, symbol, t) for t in WINDOWS}, known, outcomes)
        return answers

    async def _news(self, series: Series, known: Candles, as_of_ms: int) -> Candles:
        """What the venue has beyond the known candles, the newest known one again; a whole window where those are too few."""
        timeframe = series.timeframe
        duration_ms = timeframe.duration_ms
        if known.newest_close_ms >= as_of_ms - as_of_ms % duration_ms and _suffices(known):
            return no_candles(timeframe)
        newest_open_ms = known.newest_close_ms - duration_ms
        continues = _suffices(known) and as_of_ms - newest_open_ms < (OHLC_ROWS_MAX - 2) * duration_ms
        whole_ms = as_of_ms - (WINDOWS[timeframe] + _SPARE) * duration_ms
        start_ms = newest_open_ms if continues else whole_ms
        found = await self._venue.klines(series.symbol, timeframe, start_ms=start_ms, end_ms=EPOCH_MS_MAX)
        return _table(timeframe, found)


def _suffices(known: Candles) -> bool:
    return known.consecutive_tail().size >= WINDOWS[known.timeframe]


def _table(timeframe: Timeframe, klines: list[Kline]) -> Candles:
    if not klines:
        return no_candles(timeframe)
    rows = [(k.open_time_ms, k.open, k.high, k.low, k.close, float(k.volume)) for k in klines]
    return merged(no_candles(timeframe), Candles(timeframe, np.array(rows, dtype=np.float64)))


def _outcome(task: "asyncio.Future[Candles]", seconds_max: float) -> Candles | TransientError | PermanentError:
    """What the task brought."""
    if not task.done():
        return TransientError(f"no answer within {seconds_max:g} s")
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, TransientError | PermanentError):
        return error
    raise error


def _answer(
    series: Mapping[Timeframe, Series],
    known: Mapping[Series, Candles],
    outcomes: Mapping[Series, Candles | TransientError | PermanentError],
) -> Answer:
    whole = {}
    for timeframe, one in series.items():
        outcome = outcomes[one]
        if not isinstance(outcome, Candles):
            return outcome
        whole[timeframe] = merged(known[one], outcome)
    return PairCandles(five=whole[Timeframe.M5], fifteen=whole[Timeframe.M15], four_hours=whole[Timeframe.H4])
