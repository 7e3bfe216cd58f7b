"""Which minutes close, on what evidence, and which candles they make. In order per symbol, by watermark, never by clock."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from services.aggregator.core.coverage import Coverage, SeriesKey
from services.aggregator.core.limits import Limits
from services.aggregator.core.series import Series, Taken
from shared.domain.candles import Candle, CandleQuality, CandleSource, Vouched, flat_candle
from shared.domain.fold import FoldedMinute, edge_texts, fold_minutes, folded_of
from shared.domain.klines import Kline
from shared.domain.timeframe import MINUTE_MS, Timeframe, minute_ms
from shared.domain.trades import TradeSource

# A kline is asked for before the hole times out, so that the answer is there when it does.
ASK_AFTER_SHARE: Final = 2
RANGE_MINUTES_MAX: Final = 1_000  # asked for at once, so that an answer comes within its deadline


class MinuteClose(msgspec.Struct, frozen=True):
    """One minute that closes now. kline: the evidence of a REPAIRED_KLINE minute; else the trades are, and who vouches."""

    minute_ms: int
    series: Series
    trades: Taken
    quality: CandleQuality
    kline: Kline | None
    vouched_by: tuple[Vouched, ...] = ()


class Built(msgspec.Struct, frozen=True):
    """A minute's candle. conflicts: ids in its trades that came again with other content."""

    minute_ms: int
    series: Series
    candle: Candle
    conflicts: tuple[str, ...]


class KlineRange(NamedTuple):
    """Minutes start <= minute < end of a symbol that nothing covers."""

    key: SeriesKey
    start_ms: int
    end_ms: int


class CandleBuilder:
    """All series.

    rest_exchanges: of which exchanges klines can be asked for; without, holes close as partial.
    numbered:       exchanges that number a symbol's trades one by one: a missing id is a hole, whatever is vouched for.
    touched:        closed minutes that a hole reaches into, found since the caller last took them; they are late.
    """

    def __init__(
        self,
        coverage: Coverage,
        limits: Limits,
        *,
        rest_exchanges: frozenset[str] = frozenset(),
        numbered: frozenset[str] = frozenset(),
    ) -> None:
        self._coverage = coverage
        self._numbered = numbered
        self._limits = limits
        self._rest_exchanges = rest_exchanges
        self.series: dict[SeriesKey, Series] = {}
        self.more = False  # whether the last plan left minutes that can close
        self.touched: list[tuple[Series, int]] = []

    def of(self, key: SeriesKey) -> Series:
        """The symbol's series, new where it is not known yet."""
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(key)
        return series

    def plan_closes(self, *, through_ms: int | None = None, before_ms: int | None = None) -> list[MinuteClose]:
        """The minutes that can close now, by (minute, symbol), at most close_chunk; they are closed from here on.

        through_ms: close every minute up to and including this one's, uncovered ones as partial (the end of a replay).
        before_ms:  as if no watermark had passed this time yet.
        """
        share = max(1, self._limits.close_chunk // max(1, len(self.series)))
        closes: list[MinuteClose] = []
        self.more = False
        for series in self.series.values():
            if series.ready:
                watermark_ms = self._coverage.watermark_ms(series.key)
                if before_ms is not None and before_ms < watermark_ms:
                    watermark_ms = before_ms
                closes += self._plan(series, watermark_ms, through_ms, share)
        closes.sort(key=lambda close: (close.minute_ms, close.series.key))
        return closes

    def _plan(self, series: Series, watermark_ms: int, through_ms: int | None, limit: int) -> list[MinuteClose]:
        planned: list[MinuteClose] = []
        last_ms = watermark_ms - MINUTE_MS if through_ms is None else through_ms
        while len(planned) < limit:
            now_ms = series.first_open_ms()
            if now_ms is None or now_ms > last_ms:
                return planned
            quality = self._evidence(series, now_ms, watermark_ms, ending=through_ms is not None)
            if quality is None:
                return planned
            series.next_ms = now_ms + MINUTE_MS
            if series.key.exchange in self._numbered and (holed := series.close_ids(now_ms)):
                self._touch(series, holed)
            kline = series.klines.pop(now_ms, None) if series.klines else None
            used = kline if quality is CandleQuality.REPAIRED_KLINE else None
            vouched_by = self._coverage.vouched_by(series.key, now_ms)
            planned.append(MinuteClose(now_ms, series, series.take(now_ms), quality, used, vouched_by))
        self.more = True
        return planned

    def is_numbered(self, series: Series) -> bool:
        """Whether the ids of the symbol's trades tell of every hole."""
        return series.key.exchange in self._numbered

    def _touch(self, series: Series, minutes: Sequence[int]) -> None:
        for minute in minutes:
            series.late.add(minute)
            self.touched.append((series, minute))

    def _is_whole(self, series: Series, now_ms: int) -> CandleQuality | None:
        """What sessions vouch for, where no id is missing."""
        quality = self._coverage.quality(series.key, now_ms)
        if quality is None or series.key.exchange not in self._numbered or series.is_joined(now_ms):
            return quality
        return None

    def _evidence(self, series: Series, now_ms: int, watermark_ms: int, *, ending: bool) -> CandleQuality | None:
        """How good the minute will be; None while better evidence may still come."""
        quality = self._is_whole(series, now_ms)
        if quality is not None:
            return quality
        if not ending and watermark_ms - (now_ms + MINUTE_MS) < self._limits.hole_timeout_ms:
            return None
        if now_ms in series.klines:
            return CandleQuality.REPAIRED_KLINE
        asked = series.key.exchange not in self._rest_exchanges or now_ms < series.asked_until_ms
        return CandleQuality.PARTIAL if asked or ending else None

    def build(self, closes: Sequence[MinuteClose]) -> list[Built]:
        """The candles of the minutes, in the given order; none for a minute without trades before a symbol's first."""
        built = []
        for close, minute in zip(closes, fold_all(closes), strict=True):
            candle = make_candle(close, minute, close.series.previous, revision=1)
            if candle is not None:
                close.series.previous = candle
                built.append(
                    Built(close.minute_ms, close.series, candle, minute.conflicts if minute is not None else ())
                )
        return built

    def evidence_of_closed(
        self, series: Series, now_ms: int, current: Candle | None, *, is_joined: bool = True
    ) -> CandleQuality:
        """How good a closed minute is by what is known now; a kline stays as good as it was.

        is_joined: whether its ids and those around it leave no hole that touches it.
        """
        quality = self._coverage.quality(series.key, now_ms)
        if quality is not None and is_joined:
            return quality
        has_kline = current is not None and current.quality is CandleQuality.REPAIRED_KLINE
        return CandleQuality.REPAIRED_KLINE if now_ms in series.klines or has_kline else CandleQuality.PARTIAL

    def wanted(self) -> list[KlineRange]:
        """Uncovered minutes to ask the venue for before they close, one range per symbol, bounded."""
        patience_ms = self._limits.hole_timeout_ms // ASK_AFTER_SHARE
        ranges = []
        for key, series in self.series.items():
            if key.exchange not in self._rest_exchanges or not series.ready:
                continue
            first_ms = series.first_open_ms()
            if first_ms is None:
                continue
            start_ms = max(first_ms, series.asked_until_ms)
            limit_ms = minute_ms(self._coverage.watermark_ms(key) - patience_ms)
            while start_ms < limit_ms and self._is_whole(series, start_ms) is not None:
                start_ms += MINUTE_MS
            end_ms = start_ms
            limit_ms = min(limit_ms, start_ms + RANGE_MINUTES_MAX * MINUTE_MS)
            while end_ms < limit_ms and self._is_whole(series, end_ms) is None:
                end_ms += MINUTE_MS
            if end_ms > start_ms:
                ranges.append(KlineRange(key, start_ms, end_ms))
        return ranges

    def holes(self, ranges_max: int) -> list[KlineRange]:
        """Partial minutes to ask for again: of each symbol the run of its oldest ones; at most ranges_max."""
        ranges: list[KlineRange] = []
        for key, series in self.series.items():
            if key.exchange in self._rest_exchanges and series.holes and len(ranges) < ranges_max:
                start_ms = min(series.holes)
                end_ms = start_ms + MINUTE_MS
                while end_ms in series.holes and end_ms < start_ms + RANGE_MINUTES_MAX * MINUTE_MS:
                    end_ms += MINUTE_MS
                ranges.append(KlineRange(key, start_ms, end_ms))
        return ranges

    def offer_klines(self, wanted: KlineRange, klines: Sequence[Kline]) -> None:
        """The venue's answer, empty after a failure: open minutes may use it, closed holes are folded again."""
        series = self.of(wanted.key)
        series.asked_until_ms = max(series.asked_until_ms, wanted.end_ms)
        for kline in klines:
            if wanted.start_ms <= kline.open_time_ms < wanted.end_ms:
                series.klines[kline.open_time_ms] = kline
                if series.is_closed(kline.open_time_ms):
                    series.late.add(kline.open_time_ms)


def fold_all(closes: Sequence[MinuteClose]) -> list[FoldedMinute | None]:
    """The minutes in their order, folded where trades make them: those whose figures are known already, the others in one pass."""
    found: list[FoldedMinute | None] = [None] * len(closes)
    unfolded: list[int] = []
    for number, close in enumerate(closes):
        trades = close.trades
        if not trades.pieces or close.kline is not None:
            continue
        if trades.figures is None:
            unfolded.append(number)
        else:
            found[number] = folded_of(*trades.figures)
    if unfolded:
        folded = fold_minutes([closes[number].trades.pieces for number in unfolded])
        for number, one in zip(unfolded, folded, strict=True):
            found[number] = one
    return found


def make_candle(
    close: MinuteClose, folded: FoldedMinute | None, previous: Candle | None, *, revision: int = 0
) -> Candle | None:
    """The minute's candle; None without trades, kline and previous close.

    revision: the one it will most likely be stored under; storing it decides.
    """
    key = close.series.key
    if close.kline is not None:
        return candle_of_kline(key, Timeframe.M1, close.kline)
    if folded is None:
        if previous is None:
            return None
        source = source_of(close)
        return flat_candle(
            previous,
            open_time_ms=close.minute_ms,
            quality=close.quality,
            revision=revision,
            source=source,
            vouched_by=close.vouched_by,
        )
    first_id, last_id = folded.first_trade_id, folded.last_trade_id
    if first_id is None and close.trades.figures is not None:
        first_id, last_id = edge_texts(close.trades.pieces, close.trades.figures[0])
    return Candle(
        exchange=key.exchange,
        symbol=key.symbol,
        timeframe=Timeframe.M1,
        open_time_ms=close.minute_ms,
        open=folded.open,
        high=folded.high,
        low=folded.low,
        close=folded.close,
        volume=folded.volume,
        quote_volume=folded.quote_volume,
        trade_count=folded.trade_count,
        quality=close.quality,
        missing_minutes=int(close.quality is CandleQuality.PARTIAL),
        revision=revision,
        first_trade_id=first_id,
        last_trade_id=last_id,
        source=source_of(close),
        vouched_by=close.vouched_by,
    )


def source_of(close: MinuteClose) -> CandleSource:
    """Refill where any trade came so, or where a refill had to vouch."""
    if close.quality is CandleQuality.REPAIRED:
        return CandleSource.REFILL
    for piece in close.trades.pieces:
        if piece.source is TradeSource.REFILL:
            return CandleSource.REFILL
    return CandleSource.STREAM


def candle_of_kline(key: SeriesKey, timeframe: Timeframe, kline: Kline) -> Candle:
    """The venue's own candle; how many trades it holds stays unknown, since its rule may differ from ours."""
    return Candle(
        exchange=key.exchange,
        symbol=key.symbol,
        timeframe=timeframe,
        open_time_ms=kline.open_time_ms,
        open=kline.open,
        high=kline.high,
        low=kline.low,
        close=kline.close,
        volume=kline.volume,
        quote_volume=kline.quote_volume,
        trade_count=None,
        quality=CandleQuality.REPAIRED_KLINE,
        source=CandleSource.KLINE,
    )
