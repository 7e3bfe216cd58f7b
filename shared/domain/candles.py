"""A candle and how good it is."""

from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Final

import msgspec

from shared.domain.checks import check_name, check_price, require
from shared.domain.timeframe import Timeframe


class CandleQuality(StrEnum):
    """How good a candle is. Order by `rank`: refilled trades are as good as streamed ones."""

    PARTIAL = "partial"
    REPAIRED_KLINE = "repaired_kline"
    REPAIRED = "repaired"
    COMPLETE = "complete"
    VERIFIED = "verified"

    __hash__ = str.__hash__  # an Enum's own is written in Python

    @property
    def rank(self) -> int:
        """Worst first: partial 0, repaired_kline 1, repaired and complete 2, verified 3."""
        return _RANK[self]


_RANK: Final = {
    CandleQuality.PARTIAL: 0,
    CandleQuality.REPAIRED_KLINE: 1,
    CandleQuality.REPAIRED: 2,
    CandleQuality.COMPLETE: 2,
    CandleQuality.VERIFIED: 3,
}


class CandleSource(StrEnum):
    """Where the trades of a candle came from: the stream alone, a refill where any of it did, or the venue's kline."""

    STREAM = "stream"
    REFILL = "refill"
    KLINE = "kline"

    __hash__ = str.__hash__


class Vouched(msgspec.Struct, frozen=True, array_like=True):
    """A session's word for a part of a minute: every trade with start_ms <= T < end_ms, milliseconds after its open, is there."""

    session: str
    start_ms: int
    end_ms: int


_INFINITE: Final = float("inf")
MISSING_SHARE_MAX: Final = 0.001  # a roll-up is usable when at most 0.1 % of its minutes are missing


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """Open, high, low, close of one interval, with its evidence.

    open..close:     quote currency per unit of base, float64 as the exchange printed it; open is the first trade.
    volume, quote_volume: exact sums in base and quote currency.
    trade_count:     None where the venue's kline gave the candle (it does not say).
    missing_minutes: how many of its minutes are `partial`.
    revision:        1 for the first; each correction adds one. 0: not stored yet.
    first_trade_id, last_trade_id: the venue's ids of its trades; None without trades and where a kline gave the candle.
    source:          evidence, like the ids: it goes with a revision and makes none.
    vouched_by:      likewise: the sessions that cover a 1m candle, and which part of it; none for a kline. A roll-up's are its minutes'.
    Raises InvalidValueError where a rule is broken.
    """

    exchange: str
    symbol: str
    timeframe: Timeframe
    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    quote_volume: Decimal
    trade_count: int | None
    quality: CandleQuality
    missing_minutes: int = 0
    revision: int = 0
    first_trade_id: int | str | None = None
    last_trade_id: int | str | None = None
    source: CandleSource = CandleSource.STREAM
    vouched_by: tuple[Vouched, ...] = ()

    def __post_init__(self) -> None:
        low, high, grid = self.low, self.high, self.timeframe  # it runs for every candle there is
        prices_ok = 0 < low <= self.open <= high < _INFINITE and low <= self.close <= high
        on_grid = not (self.open_time_ms - grid.anchor_ms) % grid.duration_ms
        if prices_ok and on_grid and self.volume >= 0 and self.quote_volume >= 0 and "#" not in self.symbol:
            return
        self._explain()

    def _explain(self) -> None:
        """The slow path: says which rule is broken."""
        place = f"candle {self.exchange} {self.symbol} {self.timeframe} {self.open_time_ms}"
        check_name(self.exchange, "exchange", place)
        check_name(self.symbol, "symbol", place)
        for field in ("open", "high", "low", "close"):
            check_price(getattr(self, field), field, place)
        require(self.low <= min(self.open, self.close), "low must be <= open and close", self.low, place)
        require(self.high >= max(self.open, self.close), "high must be >= open and close", self.high, place)
        require(self.volume >= 0, "volume must be >= 0", self.volume, place)
        require(self.quote_volume >= 0, "quote_volume must be >= 0", self.quote_volume, place)
        on_grid = self.timeframe.closes_at(self.open_time_ms)
        require(on_grid, f"open_time_ms must lie on the {self.timeframe} grid", self.open_time_ms, place)

    @property
    def close_time_ms(self) -> int:
        """The first instant after the candle."""
        return self.open_time_ms + self.timeframe.duration_ms

    @property
    def usable(self) -> bool:
        """Whether a strategy may read it: no partial minute in a 1m candle, at most 0.1 % of them in a roll-up."""
        return self.missing_minutes <= self.timeframe.minutes * MISSING_SHARE_MAX

    def same_market(self, other: "Candle") -> bool:
        """Whether both say the same about the market, equally well; whatever their revision and where they know it from."""
        return _SAID(self) == _SAID(other)


_SAID: Final = attrgetter(
    *(
        name
        for name in Candle.__struct_fields__
        if name not in {"revision", "first_trade_id", "last_trade_id", "source", "vouched_by"}
    )
)


def flat_candle(
    previous: Candle,
    *,
    open_time_ms: int,
    quality: CandleQuality,
    revision: int = 0,
    source: CandleSource = CandleSource.STREAM,
    vouched_by: tuple[Vouched, ...] = (),
) -> Candle:
    """A minute without trades: the previous close four times, zero volume."""
    price = previous.close
    partial = quality is CandleQuality.PARTIAL
    return Candle(
        exchange=previous.exchange,
        symbol=previous.symbol,
        timeframe=Timeframe.M1,
        open_time_ms=open_time_ms,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=Decimal(0),
        quote_volume=Decimal(0),
        trade_count=0,
        quality=quality,
        missing_minutes=int(partial),
        revision=revision,
        source=source,
        vouched_by=vouched_by,
    )
