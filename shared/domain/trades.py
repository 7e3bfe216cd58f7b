"""Public trades in columns: one batch per connection and window, checked once, with rows as views."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.checks import EPOCH_MS_MAX, check_name, check_time_ms, require
from shared.domain.decimals import SCALE_MAX
from shared.domain.errors import InvalidTradeError
from shared.domain.identity import event_id

if TYPE_CHECKING:
    IntColumn = npt.NDArray[np.int64]
    FloatColumn = npt.NDArray[np.float64]
    BoolColumn = npt.NDArray[np.bool_]
    IdColumn = npt.NDArray[Any]  # int64 where every id is an integer, else str objects
else:  # what the wire carries; __post_init__ turns lists into read-only arrays
    IntColumn = list[int]
    FloatColumn = list[float]
    BoolColumn = list[bool]
    IdColumn = list[int | str]

PRICE_UNITS_MAX = 2**53  # beyond it a float64 price no longer names one integer number of price steps


class TradeSource(StrEnum):
    """How the trades reached us."""

    STREAM = "stream"
    REFILL = "refill"


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One public trade: a row view of a batch. Price is quote per base, quantity_units the instrument's smallest steps."""

    exchange: str
    symbol: str
    trade_id: int | str
    price: float
    quantity_units: int
    quantity_scale: int
    traded_at_ms: int
    taker_is_buyer: bool
    venue_sequence: int
    tie_rank: int


class TradeBatch(msgspec.Struct, frozen=True, kw_only=True, tag=True, eq=False):
    """Public trades of one connection in one window, as the exchange reported them; row i of the columns is one trade.

    session, sequence:  batch number `sequence` (from 0) of the session; a session begins at every connect, restart and
                        refill and names its symbols.
    covers_from_ms, watermark_ms: for every symbol named, every trade with covers_from <= T < watermark is in batches
                        0..sequence of this session. An empty batch is a heartbeat.
    symbols, price_scales, quantity_scales: one entry per symbol of the session.
    symbol_index:       position in `symbols`.
    trade_id:           the venue's id: all integers, or all texts.
    price:              quote currency per unit of base, float64 as parsed (the decimal text round-trips).
    quantity_units:     base currency in steps of 10^-quantity_scale, so that sums are exact.
    traded_at_ms:       exchange clock, UTC epoch.
    venue_sequence:     the venue's own ordering number or numeric id; 0 where there is none.
    tie_rank:           place among the symbol's trades with equal traded_at_ms and venue_sequence, oldest first.
    Raises InvalidTradeError / InvalidValueError naming the first value that breaks a rule.
    """

    COLUMNS: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("symbol_index", np.int64),
        ("trade_id", None),
        ("price", np.float64),
        ("quantity_units", np.int64),
        ("traded_at_ms", np.int64),
        ("taker_is_buyer", np.bool_),
        ("venue_sequence", np.int64),
        ("tie_rank", np.int64),
    )

    exchange: str
    session: str
    session_started_at_ms: int
    sequence: int
    source: TradeSource = TradeSource.STREAM
    covers_from_ms: int
    watermark_ms: int
    symbols: tuple[str, ...]
    price_scales: tuple[int, ...]
    quantity_scales: tuple[int, ...]
    symbol_index: IntColumn
    trade_id: IdColumn
    price: FloatColumn
    quantity_units: IntColumn
    traded_at_ms: IntColumn
    taker_is_buyer: BoolColumn
    venue_sequence: IntColumn
    tie_rank: IntColumn

    def __post_init__(self) -> None:
        self._check_header()
        for name, dtype in self.COLUMNS:
            column = getattr(self, name)
            array = id_column(column) if dtype is None else _column(column, dtype, name, self.place)
            msgspec.structs.force_setattr(self, name, array)
        self._check_columns()

    def __len__(self) -> int:
        return len(self.price)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TradeBatch):
            return NotImplemented
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)

    __hash__ = None  # type: ignore[assignment]  # columns do not hash

    @property
    def place(self) -> str:
        """Where an error happened, for its text."""
        return f"{self.exchange} session {self.session} sequence {self.sequence}"

    @property
    def event_id(self) -> str:
        """One id per (session, sequence)."""
        return event_id("TradeBatch", f"{self.exchange}#{self.session}", self.sequence)

    def row(self, index: int) -> Trade:
        """The trade in row `index`."""
        symbol = int(self.symbol_index[index])
        return Trade(
            exchange=self.exchange,
            symbol=self.symbols[symbol],
            trade_id=self.trade_id[index] if self.trade_id.dtype == object else int(self.trade_id[index]),
            price=float(self.price[index]),
            quantity_units=int(self.quantity_units[index]),
            quantity_scale=self.quantity_scales[symbol],
            traded_at_ms=int(self.traded_at_ms[index]),
            taker_is_buyer=bool(self.taker_is_buyer[index]),
            venue_sequence=int(self.venue_sequence[index]),
            tie_rank=int(self.tie_rank[index]),
        )

    def rows(self) -> Iterator[Trade]:
        """Every trade, in the batch's order."""
        return (self.row(index) for index in range(len(self)))

    def _check_header(self) -> None:
        check_name(self.exchange, "exchange", self.place)
        check_name(self.session, "session", self.place)
        require(self.sequence >= 0, "sequence must be >= 0", self.sequence, self.place)
        for field in ("session_started_at_ms", "covers_from_ms", "watermark_ms"):
            check_time_ms(getattr(self, field), field, self.place)
        lengths = {len(self.symbols), len(self.price_scales), len(self.quantity_scales)}
        require(len(lengths) == 1, "symbols and scales must have one length", sorted(lengths), self.place)
        for symbol in self.symbols:
            check_name(symbol, "symbol", self.place)
        scales = (*self.price_scales, *self.quantity_scales)
        require(all(0 <= scale <= SCALE_MAX for scale in scales), f"scales must be 0..{SCALE_MAX}", scales, self.place)

    def _check_columns(self) -> None:
        lengths = {name: len(getattr(self, name)) for name, _ in self.COLUMNS}
        require(len(set(lengths.values())) == 1, "columns must have one length", lengths, self.place)
        if not len(self):
            return
        index = self.symbol_index
        require(bool(index.min() >= 0 and index.max() < len(self.symbols)), "symbol_index out of range", "", self.place)
        with np.errstate(invalid="ignore"):
            scaled = self.price * _POWERS_OF_TEN[np.asarray(self.price_scales)[index]]
            self._check_rows((self.price > 0) & (scaled < PRICE_UNITS_MAX), "price must be finite and > 0", "price")
        self._check_rows(self.quantity_units > 0, "quantity must be > 0", "quantity_units")
        self._check_rows((self.traded_at_ms > 0) & (self.traded_at_ms < EPOCH_MS_MAX), "a time in ms", "traded_at_ms")

    def _check_rows(self, good: BoolColumn, rule: str, name: str) -> None:
        if not good.all():
            row = int(np.argmin(good))
            value = getattr(self, name)[row]
            trade = f"symbol={self.symbols[self.symbol_index[row]]} trade_id={self.trade_id[row]}"
            raise InvalidTradeError(f"{rule}, {name} was {value} ({self.place} {trade})")


_POWERS_OF_TEN = np.array([10.0**scale for scale in range(SCALE_MAX + 1)])


def id_column(values: Any) -> IdColumn:
    """Trade ids as int64 where every one is an integer, else as str objects; read-only."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.dtype == np.uint64:
        try:
            array = np.array(values, dtype=np.int64) if all(type(value) is int for value in values) else _texts(values)
        except OverflowError:  # an integer id beyond 64 bits is kept as text
            array = _texts(values)
    return _frozen(array)


def _texts(values: Any) -> IdColumn:
    array = np.empty(len(values), dtype=object)
    array[:] = [str(value) for value in values]
    return array


def _column(values: Any, dtype: Any, name: str, place: str) -> npt.NDArray[Any]:
    try:
        return _frozen(np.asarray(values, dtype=dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTradeError(f"column {name} must hold {np.dtype(dtype).name} values: {error} ({place})") from error


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
