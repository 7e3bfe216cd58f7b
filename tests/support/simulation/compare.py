"""Whether a history with faults ended as the one without: equal, or different only where it says so."""

from collections.abc import Iterable

from shared.domain.candles import Candle, CandleQuality
from shared.domain.decisions import Decision
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.venue import BYBIT_LINEAR
from tests.support.simulation.market import START_MS, SYMBOLS, Market, price_text
from tests.support.simulation.world import History

_GATES_OF_TIME = {"stale"}


def market_columns(candle: Candle) -> tuple[object, ...]:
    return (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_volume)


def differences(history: History, reference: History, market: Market) -> list[str]:
    """Every unexplained difference, as a line for people; empty when the promises hold."""
    return [
        *_against_the_market(history, market),
        *_candles(history, reference),
        *_decisions(history, reference),
        *_signals(history, reference),
    ]


def _against_the_market(history: History, market: Market) -> Iterable[str]:
    """Every closed minute of the market is there, and equals its trades unless it is partial."""
    for symbol in SYMBOLS:
        for minute_ms in range(START_MS, market.end_ms, MINUTE_MS):
            candle, bar = history.candles.get((symbol, Timeframe.M1, minute_ms)), market.bar(symbol, minute_ms)
            place = f"{symbol} minute {(minute_ms - START_MS) // MINUTE_MS}"
            if candle is None or bar is None:
                yield f"{place}: no candle"
                continue
            if candle.quality is CandleQuality.PARTIAL or _is_kline_of_another_rule(history, candle):
                continue
            prices = tuple(float(price_text(price)) for price in bar[:4])
            sums = (bar.volume, bar.turnover)
            mine = (int(candle.volume * 1_000), int(candle.quote_volume * 100_000))
            if prices != (candle.open, candle.high, candle.low, candle.close) or sums != mine:
                yield f"{place}: {candle.quality} candle is not what was traded: {candle} instead of {bar}"
            if candle.trade_count not in {None, bar.count}:
                yield f"{place}: {candle.trade_count} trades instead of {bar.count}"


def _is_kline_of_another_rule(history: History, candle: Candle) -> bool:
    """Bybit's klines open at the close before, ours at the first trade: its quality says which one a candle is."""
    return history.exchange == BYBIT_LINEAR and candle.quality is CandleQuality.REPAIRED_KLINE


def _candles(history: History, reference: History) -> Iterable[str]:
    for key, expected in reference.candles.items():
        candle = history.candles.get(key)
        if candle is None:
            if key[2] >= START_MS:  # of the history before the first start only what REST answered is there
                yield f"{key}: the candle is missing"
        elif _is_kline_of_another_rule(history, candle):
            continue
        elif candle.missing_minutes == 0 and market_columns(candle) != market_columns(expected):
            yield f"{key}: {candle.quality} revision {candle.revision} differs: {candle} instead of {expected}"


def _decisions(history: History, reference: History) -> Iterable[str]:
    for key, expected in reference.decisions.items():
        decision = history.decisions.get(key)
        if decision is None:
            if not _recorded_as_different(history, reference, key):
                yield f"{key}: no Decision, and its candle is as good as any"
        elif _window(decision) == _window(expected) and not _same_verdict(decision, expected):
            yield f"{key}: another Decision on the same window: {decision} instead of {expected}"
        elif _window(decision) != _window(expected) and not _recorded_as_different(history, reference, key):
            yield f"{key}: another window, though no candle in it was ever different: {decision}"


def _window(decision: Decision) -> list[str]:
    return [window.digest for window in decision.windows]


def _same_verdict(decision: Decision, expected: Decision) -> bool:
    return (decision.action, decision.trigger, decision.conditions) == (
        expected.action,
        expected.trigger,
        expected.conditions,
    )


def _recorded_as_different(history: History, reference: History, key: tuple[str, int]) -> bool:
    """Whether a candle up to this one was corrected, repaired from elsewhere or partial: its record says so."""
    return any(at_ms <= key[1] for at_ms in _times_of_difference(history, reference, key[0]))


def _times_of_difference(history: History, reference: History, symbol: str) -> Iterable[int]:
    good = {CandleQuality.COMPLETE, CandleQuality.REPAIRED}
    for (of, timeframe, open_time_ms), expected in reference.candles.items():
        if of != symbol or timeframe is not Timeframe.M1:
            continue
        candle = history.candles.get((of, timeframe, open_time_ms))
        # A first start without REST has no history; a backfilled kline is as good as the reference's.
        if candle is None or candle.revision > 1 or (candle.quality not in good and candle.quality != expected.quality):
            yield open_time_ms


def _signals(history: History, reference: History) -> Iterable[str]:
    """Equal up to the first input recorded as different, per symbol: ids, levels, ends and last words."""
    for symbol in SYMBOLS:
        until_ms = _first_difference_ms(history, reference, symbol)
        mine = {
            key: one for key, one in history.signals.items() if one.symbol == symbol and one.opened_at_ms < until_ms
        }
        theirs = {
            key: one for key, one in reference.signals.items() if one.symbol == symbol and one.opened_at_ms < until_ms
        }
        if mine.keys() != theirs.keys():
            yield f"{symbol}: signals {sorted(mine)} instead of {sorted(theirs)} before {until_ms}"
            continue
        for key, expected in theirs.items():
            if expected.exit is not None and expected.exit.closed_at_ms < until_ms:
                if mine[key].exit != expected.exit:
                    yield f"{symbol}: signal {key} ended as {mine[key].exit} instead of {expected.exit}"
                elif _last_text(history, key) != _last_text(reference, key):
                    yield f"{symbol}: the last message of {key} is {_last_text(history, key)!r}"


def _last_text(history: History, signal_id: str) -> str:
    texts = [message.text for message in history.messages if message.signal_id == signal_id]
    return texts[-1] if texts else ""


def _first_difference_ms(history: History, reference: History, symbol: str) -> int:
    """When the first candle was recorded as different, or the first Decision did not pass the same gates."""
    times = list(_times_of_difference(history, reference, symbol))
    for (of, open_time_ms), expected in reference.decisions.items():
        decision = history.decisions.get((of, open_time_ms))
        if of == symbol and (decision is None or decision.gates_passed != expected.gates_passed):
            times.append(open_time_ms)
    return min(times, default=10**15)
