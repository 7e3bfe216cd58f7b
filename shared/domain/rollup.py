"""Higher timeframes, rolled up from the next lower one."""

from collections.abc import Sequence

from shared.domain.candles import Candle, CandleQuality, CandleSource
from shared.domain.checks import require
from shared.domain.decimals import exact_sum
from shared.domain.timeframe import Timeframe


def roll_up(children: Sequence[Candle], timeframe: Timeframe, *, revision: int = 0) -> Candle:
    """One candle of `timeframe` from all its children (candles of `timeframe.source`), oldest first.

    Its open is its first trade and its range that of its trades: children without trades repeat a price from before and
    count only where no child has a trade. Takes the worst child's quality, adds up missing minutes; the trade count is
    unknown where a child's is.
    Raises InvalidValueError where a child is missing, misplaced or of another series.
    """
    _check_children(children, timeframe)
    first, last = children[0], children[-1]
    traded = [child for child in children if child.volume] or children
    counts = [child.trade_count for child in children]
    first_ids = [child.first_trade_id for child in traded if child.first_trade_id is not None]
    last_ids = [child.last_trade_id for child in traded if child.last_trade_id is not None]
    return Candle(
        exchange=first.exchange,
        symbol=first.symbol,
        timeframe=timeframe,
        open_time_ms=first.open_time_ms,
        open=traded[0].open,
        high=max([child.high for child in traded]),
        low=min([child.low for child in traded]),
        close=last.close,
        volume=exact_sum([child.volume for child in children]),
        quote_volume=exact_sum([child.quote_volume for child in children]),
        trade_count=None if None in counts else sum(count for count in counts if count is not None),
        quality=_worst_quality(children),
        missing_minutes=sum([child.missing_minutes for child in children]),
        revision=revision,
        first_trade_id=first_ids[0] if first_ids else None,
        last_trade_id=last_ids[-1] if last_ids else None,
        source=_source(children),
    )


def _source(children: Sequence[Candle]) -> CandleSource:
    sources = {child.source for child in children}
    if len(sources) == 1:
        return sources.pop()
    return CandleSource.KLINE if CandleSource.KLINE in sources else CandleSource.REFILL


def _worst_quality(children: Sequence[Candle]) -> CandleQuality:
    qualities = {child.quality for child in children}
    if len(qualities) == 1:
        return qualities.pop()
    # `repaired` and `complete` rank equal; naming the repair keeps the roll-up's history honest.
    return min(qualities, key=lambda quality: (quality.rank, quality is not CandleQuality.REPAIRED))


def _check_children(children: Sequence[Candle], timeframe: Timeframe) -> None:
    source = timeframe.source
    if children and source is not None and len(children) * source.duration_ms == timeframe.duration_ms:
        first, due_ms = children[0], children[0].open_time_ms
        exchange, symbol, step_ms = first.exchange, first.symbol, source.duration_ms
        for child in children:
            if child.open_time_ms != due_ms or child.timeframe is not source:
                break
            if child.symbol != symbol or child.exchange != exchange:
                break
            due_ms += step_ms
        else:
            if timeframe.closes_at(first.open_time_ms):
                return
    _explain(children, timeframe)


def _explain(children: Sequence[Candle], timeframe: Timeframe) -> None:
    """The slow path: says which rule is broken."""
    source = timeframe.source
    place = f"roll-up to {timeframe}"
    require(source is not None and bool(children), "a roll-up needs children", len(children), place)
    if source is None:
        return
    first = children[0]
    expected = timeframe.duration_ms // source.duration_ms
    require(len(children) == expected, f"{expected} candles of {source} are needed", len(children), place)
    require(timeframe.closes_at(first.open_time_ms), f"must start on the {timeframe} grid", first.open_time_ms, place)
    for number, child in enumerate(children):
        same_series = (child.exchange, child.symbol, child.timeframe) == (first.exchange, first.symbol, source)
        require(same_series, f"all children must be {source} candles of one series", child.symbol, place)
        due_ms = first.open_time_ms + number * source.duration_ms
        require(child.open_time_ms == due_ms, f"child {number} must open at {due_ms}", child.open_time_ms, place)
