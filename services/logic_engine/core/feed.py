"""Which candles of a series come next. The store is the truth, events only say where to look."""

from collections.abc import Iterable, Mapping, Sequence

from shared.domain.candles import Candle
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe


def follows_directly(handled_through_ms: int, closes: Sequence[int], step_ms: int = MINUTE_MS) -> bool:
    """Whether these closes (ascending) continue step by step: then nothing need be read from the store."""
    return all(close == handled_through_ms + number * step_ms for number, close in enumerate(closes, start=1))


def next_in_order(
    handled_through_ms: int, known: Mapping[int, CandlesClosed], *, gap_patience_ms: int
) -> list[CandlesClosed]:
    """What to handle now, in order, of everything known (by close): up to the first missing minute.

    A minute that stays away while the series has moved on by more than gap_patience_ms is passed over: the aggregator
    closes every hole long before, so that it belongs to a time in which the symbol was not followed.
    """
    ready: list[CandlesClosed] = []
    due_ms = handled_through_ms + MINUTE_MS
    closes = sorted(close for close in known if close >= due_ms)
    for close in closes:
        if close != due_ms and closes[-1] - due_ms <= gap_patience_ms:
            break
        ready.append(known[close])
        due_ms = close + MINUTE_MS
    return ready


def bundles(
    minutes: Sequence[Candle], roll_ups: Iterable[Candle], *, wanted: Sequence[Timeframe], wait_from_ms: int
) -> dict[int, CandlesClosed]:
    """Stored candles as the events that announced them, by close.

    A minute at which a wanted roll-up is due but not stored yet ends the run when it closed after wait_from_ms: the
    aggregator may be between the two writes. Before that the roll-up will never come (its minutes are incomplete).
    """
    higher: dict[int, list[Candle]] = {}
    for candle in roll_ups:
        higher.setdefault(candle.close_time_ms, []).append(candle)
    found: dict[int, CandlesClosed] = {}
    for minute in minutes:
        close_ms = minute.close_time_ms
        candles = sorted(higher.get(close_ms, []), key=lambda candle: candle.timeframe.duration_ms)
        due = sum(1 for timeframe in wanted if timeframe.closes_at(close_ms))
        if len(candles) < due and close_ms > wait_from_ms:
            break
        found[close_ms] = CandlesClosed(
            exchange=minute.exchange, symbol=minute.symbol, close_time_ms=close_ms, candles=(minute, *candles)
        )
    return found


def waves(events: Iterable[CandlesClosed]) -> list[list[CandlesClosed]]:
    """Events by close, oldest first, each wave with one event per series in the order of their names."""
    by_close: dict[int, list[CandlesClosed]] = {}
    for event in events:
        by_close.setdefault(event.close_time_ms, []).append(event)
    return [sorted(by_close[close], key=lambda event: (event.exchange, event.symbol)) for close in sorted(by_close)]


def newest_revisions(events: Iterable[CandlesClosed]) -> dict[tuple[str, str], dict[int, CandlesClosed]]:
    """Events by series and close; of repeated ones that with the highest revision of the 1m candle."""
    found: dict[tuple[str, str], dict[int, CandlesClosed]] = {}
    for event in events:
        closes = found.setdefault((event.exchange, event.symbol), {})
        known = closes.get(event.close_time_ms)
        if known is None or known.candles[0].revision < event.candles[0].revision:
            closes[event.close_time_ms] = event
    return found
