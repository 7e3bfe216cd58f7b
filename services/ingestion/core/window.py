"""Trades into columns: one batch per window of a session."""

import msgspec
import numpy as np

from services.ingestion.core.tie_ranks import TieRanks
from shared.domain.decimals import SCALE_MAX, scale_of_text, units_of_text
from shared.domain.errors import InvalidTradeError, InvalidValueError
from shared.domain.instruments import Instrument
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import PRICE_UNITS_MAX, TradeBatch, TradeSource, id_column
from shared.domain.venue_trade import VenueTrade

_UNITS_MAX = 2**63 - 1


class WindowLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a window ends: age (wall ms), trades in it; an empty one after heartbeat_ms, as a heartbeat."""

    window_ms: int = 250
    trades_max: int = 500
    heartbeat_ms: int = 1_000


class SessionIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What every batch of a session says about it."""

    exchange: str
    session: str
    started_at_ms: int
    source: TradeSource
    covers_from_ms: int


class Window:
    """The rows of one session since its last batch. Sequences count from 0; nothing here reads a clock."""

    def __init__(self, identity: SessionIdentity, instruments: dict[str, Instrument]) -> None:
        self._identity = identity
        self._symbols = tuple(instruments)
        self._index = {symbol: number for number, symbol in enumerate(self._symbols)}
        self._price_scales = [instrument.price_scale for instrument in instruments.values()]
        self._quantity_scales = [instrument.quantity_scale for instrument in instruments.values()]
        self._ties = TieRanks()
        self._sequence = 0
        self._trades: list[VenueTrade] = []
        self._numbers: list[int] = []
        self._prices: list[float] = []
        self._units: list[int] = []
        self._ranks: list[int] = []

    def __len__(self) -> int:
        return len(self._trades)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Whose trades the session carries."""
        return self._symbols

    def add(self, trade: VenueTrade) -> None:
        """Append a row; raises InvalidTradeError naming symbol and id when it fits no column."""
        number = self._index.get(trade.symbol)
        place = f"symbol={trade.symbol} trade_id={trade.trade_id}"
        if number is None:
            raise InvalidTradeError(f"the symbol must be one of the session's, was {trade.symbol!r} ({place})")
        try:
            self._widen(number, trade)
            units = exact_units(trade.quantity_text, self._quantity_scales[number])
        except InvalidValueError as error:
            raise InvalidTradeError(f"{error} ({place})") from error
        price = float(trade.price_text)
        if not 0 < units <= _UNITS_MAX or not 0 < price * 10.0 ** self._price_scales[number] < PRICE_UNITS_MAX:
            raise InvalidTradeError(f"price and quantity must fit 53 and 63 bits of their steps, was {trade} ({place})")
        rank = self._ties.rank(trade.symbol, trade.traded_at_ms, trade.venue_sequence, trade.trade_id)
        self._trades.append(trade)
        self._numbers.append(number)
        self._prices.append(price)
        self._units.append(units)
        self._ranks.append(rank)

    def _widen(self, number: int, trade: VenueTrade) -> None:
        """A venue may refine its steps while we are connected: the batch's scale follows, no digit is lost."""
        if _decimals(trade.price_text) > self._price_scales[number]:
            self._price_scales[number] = _checked_scale(trade.price_text, self._price_scales[number])
        if _decimals(trade.quantity_text) > self._quantity_scales[number]:
            scale = _checked_scale(trade.quantity_text, self._quantity_scales[number])
            factor = 10 ** (scale - self._quantity_scales[number])
            widened = [
                units * factor if member == number else units
                for units, member in zip(self._units, self._numbers, strict=True)
            ]
            if max(widened, default=0) > _UNITS_MAX:
                raise InvalidValueError(
                    f"quantities of a window must fit 63 bits, was {trade.quantity_text!r} (window)"
                )
            self._units = widened
            self._quantity_scales[number] = scale

    def take(self, watermark_ms: int) -> TradeBatch:
        """The rows since the last batch as the session's next one; an empty one is a heartbeat."""
        batch = TradeBatch(
            exchange=self._identity.exchange,
            session=self._identity.session,
            session_started_at_ms=self._identity.started_at_ms,
            sequence=self._sequence,
            source=self._identity.source,
            covers_from_ms=self._identity.covers_from_ms,
            watermark_ms=watermark_ms,
            symbols=self._symbols,
            price_scales=tuple(self._price_scales),
            quantity_scales=tuple(self._quantity_scales),
            symbol_index=np.array(self._numbers, dtype=np.int64),
            trade_id=id_column([trade.trade_id for trade in self._trades]),
            price=np.array(self._prices, dtype=np.float64),
            quantity_units=np.array(self._units, dtype=np.int64),
            traded_at_ms=np.array([trade.traded_at_ms for trade in self._trades], dtype=np.int64),
            taker_is_buyer=np.array([trade.taker_is_buyer for trade in self._trades], dtype=np.bool_),
            venue_sequence=np.array([trade.venue_sequence for trade in self._trades], dtype=np.int64),
            tie_rank=np.array(self._ranks, dtype=np.int64),
        )
        self._sequence += 1
        self._clear()
        return batch

    def _clear(self) -> None:
        self._trades, self._numbers, self._prices, self._units, self._ranks = [], [], [], [], []


def window_is_due(limits: WindowLimits, *, trades: int, age_ms: float, watermark_ms: int, said_ms: int) -> bool:
    """Whether the window ends now: full, old, a heartbeat is due, or the watermark passed the end of a minute.

    age_ms: wall time since the last batch. said_ms: the watermark that batch carried. The last rule takes the window's
    length off the time from a minute's end to its candle.
    """
    if trades >= limits.trades_max or age_ms >= limits.heartbeat_ms:
        return True
    if watermark_ms // MINUTE_MS > said_ms // MINUTE_MS:
        return True
    return trades > 0 and age_ms >= limits.window_ms


def exact_units(text: str, scale: int) -> int:
    """The decimal text in steps of 10^-scale; plain texts take a path without Decimal."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if len(fraction) <= scale and digits.isdecimal() and digits.isascii():
        return int(digits) * int(10 ** (scale - len(fraction)))
    return units_of_text(text, scale)


def _decimals(text: str) -> int:
    """Decimals that a plain text needs; a text with an exponent is measured exactly."""
    if "e" in text or "E" in text:
        return scale_of_text(text)
    point = text.find(".")
    return len(text.rstrip("0")) - point - 1 if point >= 0 else 0


def _checked_scale(text: str, known: int) -> int:
    scale = max(known, scale_of_text(text))
    if scale > SCALE_MAX:
        raise InvalidValueError(f"at most {SCALE_MAX} decimals are allowed, was {text!r} (window)")
    return scale
