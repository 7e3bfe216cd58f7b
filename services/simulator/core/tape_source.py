"""A recorded tape as a market: its trades, moved by whole minutes onto the simulator's clock."""

import csv
from array import array
from collections.abc import Iterable

import msgspec
import numpy as np

from services.simulator.core.bars import Bars, rolled_up
from services.simulator.core.day_plan import DAY_MINUTES, IntArray
from services.simulator.core.instruments import Instrument
from services.simulator.core.minute_trades import (
    MINUTE_MS,
    SEQUENCES_PER_MS,
    MinuteTrades,
    empty_minute,
    tick_directions,
)

_REQUIRED = ("symbol", "trade_id", "price", "quantity", "trade_time")
_DECIMALS = 8
_QUOTES = ("USDT", "USDC", "TUSD", "PAX", "BUSD", "BTC", "ETH", "BNB")


class TapeError(ValueError):
    """The tape cannot be served; the text names file, line and what to do."""


class _Column(msgspec.Struct):
    """Rows of one symbol while the file is read; prices and quantities in 1e-8."""

    at_ms: "array[int]" = msgspec.field(default_factory=lambda: array("q"))
    price: "array[int]" = msgspec.field(default_factory=lambda: array("q"))
    quantity: "array[int]" = msgspec.field(default_factory=lambda: array("q"))
    is_buy: bytearray = msgspec.field(default_factory=bytearray)
    ids: list[bytes] = msgspec.field(default_factory=list)


class _Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's trades in order of time, on the simulator's clock."""

    instrument: Instrument
    at_ms: IntArray
    ticks: IntArray
    steps: IntArray
    is_buy: IntArray
    ids: "np.ndarray[tuple[int], np.dtype[np.bytes_]]"


def _scaled(text: str) -> int:
    """A positive decimal in units of 1e-8; ValueError when it is none or has more than 8 decimals."""
    whole, _, decimals = text.partition(".")
    if len(decimals.rstrip("0")) > _DECIMALS:
        raise ValueError(f"has more than {_DECIMALS} decimals")
    value = int(whole + decimals[:_DECIMALS].ljust(_DECIMALS, "0"))
    if value <= 0:
        raise ValueError("must be > 0")
    return value


def _header(header: list[str], name: str) -> list[str]:
    missing = [column for column in _REQUIRED if column not in header]
    if missing:
        raise TapeError(f"{name}: line 1: column {missing[0]!r} is missing, found {header}")
    return header


def _read(lines: Iterable[str], name: str, wanted: frozenset[str]) -> dict[str, _Column]:
    columns: dict[str, _Column] = {}
    line = 1
    try:
        reader = csv.reader(lines)
        header = _header(next(reader, []), name)
        at_symbol, at_id, at_price, at_quantity, at_time = (header.index(column) for column in _REQUIRED)
        at_maker = header.index("buyer_market_maker") if "buyer_market_maker" in header else None
        for row in reader:
            line += 1
            symbol = row[at_symbol]
            if wanted and symbol not in wanted:
                continue
            column = columns.get(symbol) or columns.setdefault(symbol, _Column())
            price = _scaled(row[at_price])
            is_buy = row[at_maker] != "true" if at_maker is not None else not column.price or price >= column.price[-1]
            column.at_ms.append(int(row[at_time]))
            column.price.append(price)
            column.quantity.append(_scaled(row[at_quantity]))
            column.is_buy.append(is_buy)
            column.ids.append(row[at_id].encode())
    except TapeError:
        raise
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise TapeError(f"{name}: line {line}: not a trade ({error}); repair or remove the line") from error
    if not columns:
        raise TapeError(f"{name}: no trade of {sorted(wanted) or 'any symbol'} in it; check SIMULATOR_SYMBOLS")
    return columns


def _scale_of(values: IntArray) -> int:
    """Fewest decimals that hold every value exactly."""
    scale = _DECIMALS
    while scale > 0 and not np.any(values % 10 ** (_DECIMALS - scale + 1)):
        scale -= 1
    return scale


def _recorded(symbol: str, column: _Column, shift_ms: int) -> _Recorded:
    at_ms = np.frombuffer(column.at_ms, dtype=np.int64) + shift_ms
    price, quantity = np.frombuffer(column.price, dtype=np.int64), np.frombuffer(column.quantity, dtype=np.int64)
    price_scale, quantity_scale = _scale_of(price), _scale_of(quantity)
    order = np.argsort(at_ms, kind="stable")
    quote = next((q for q in _QUOTES if symbol.endswith(q) and symbol != q), "")
    minutes = max(1.0, float(at_ms.max() - at_ms.min()) / MINUTE_MS)
    notional = float(np.dot(price.astype(np.float64), quantity.astype(np.float64))) / 10.0 ** (2 * _DECIMALS)
    return _Recorded(
        instrument=Instrument(
            symbol=symbol,
            base=symbol.removesuffix(quote) if quote else symbol,
            quote=quote,
            price=float(price[0]) / 10**_DECIMALS,
            tick_scaled=1,
            price_scale=price_scale,
            step_scaled=1,
            quantity_scale=quantity_scale,
            trades_per_minute=at_ms.size / minutes,
            notional_per_minute=notional / minutes,
        ),
        at_ms=at_ms[order],
        ticks=(price // 10 ** (_DECIMALS - price_scale))[order],
        steps=(quantity // 10 ** (_DECIMALS - quantity_scale))[order],
        is_buy=np.frombuffer(column.is_buy, dtype=np.uint8)[order].astype(np.int64),
        ids=np.array(column.ids, dtype=np.bytes_)[order],
    )


def _numbers(recorded: _Recorded) -> IntArray | None:
    try:
        numbers = recorded.ids.astype(np.int64)
    except ValueError:
        return None
    return numbers if bool(np.all(np.diff(numbers) > 0)) else None


class TapeSource:
    """Trades of a CSV text in memory; after its end the market stands still.

    lines: the text with its header; the file is opened and unpacked outside (tape_file.py).
    name:  what errors call it. symbols: the wanted ones, empty for all. Raises TapeError.
    """

    def __init__(
        self, lines: Iterable[str], *, name: str, origin_market_ms: int, symbols: frozenset[str] = frozenset()
    ) -> None:
        columns = _read(lines, name, symbols)
        first_ms = min(min(column.at_ms) for column in columns.values())
        # The tape's first minute becomes the minute of the origin; whole minutes keep every candle as it was.
        shift_ms = (origin_market_ms // MINUTE_MS - first_ms // MINUTE_MS) * MINUTE_MS
        self._by_symbol = {
            symbol: _recorded(symbol, columns.pop(symbol), shift_ms) for symbol in sorted(columns)
        }  # popped one by one, so that the text of a symbol is freed before the next is packed
        self._instruments = {symbol: recorded.instrument for symbol, recorded in self._by_symbol.items()}
        self._numbers = {symbol: _numbers(recorded) for symbol, recorded in self._by_symbol.items()}
        self._first_minute = origin_market_ms // MINUTE_MS
        self.shift_ms = shift_ms

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The symbols of the tape."""
        return self._instruments

    @property
    def first_minute(self) -> int:
        """The tape's first minute on the simulator's clock."""
        return self._first_minute

    def trades(self, symbol: str, minute: int) -> MinuteTrades:
        """The recorded trades of one minute; ids are the recorded text."""
        recorded = self._by_symbol[symbol]
        first, last = np.searchsorted(recorded.at_ms, [minute * MINUTE_MS, (minute + 1) * MINUTE_MS])
        if first == last:
            return empty_minute(minute)
        return self._part(recorded, int(first), int(last), minute)

    def numbers(self, symbol: str) -> IntArray | None:
        """The recorded ids; None for an unknown symbol and for a tape whose ids do not rise with time."""
        return self._numbers.get(symbol)

    def row_after(self, symbol: str, time_ms: int) -> int:
        """The place behind the newest trade at this time."""
        return int(np.searchsorted(self._by_symbol[symbol].at_ms, time_ms, side="right"))

    def rows(self, symbol: str, first: int, last: int) -> MinuteTrades:
        """Recorded trades by their place."""
        recorded = self._by_symbol[symbol]
        if first >= last:
            return empty_minute(self._first_minute)
        return self._part(recorded, first, last, int(recorded.at_ms[first]) // MINUTE_MS)

    def _part(self, recorded: _Recorded, first: int, last: int, minute: int) -> MinuteTrades:
        part = slice(first, last)
        previous = recorded.ticks[max(0, first - 2) : first]
        ticks = recorded.ticks[part]
        rising = bool(previous.size == 0 or previous[-1] >= previous[0])
        before = int(previous[-1]) if previous.size else int(ticks[0])
        return MinuteTrades(
            minute=minute,
            at_ms=recorded.at_ms[part],
            ticks=ticks,
            steps=recorded.steps[part],
            is_buy=recorded.is_buy[part].astype(np.bool_),
            direction=tick_directions(ticks, before, rising=rising),
            sequence=recorded.at_ms[part] * SEQUENCES_PER_MS,
            trade_ids=[raw.decode() for raw in recorded.ids[part].tolist()],
        )

    def minute_bars(self, symbol: str, first_minute: int, last_minute: int, *, exact_turnover: bool = True) -> Bars:
        """One-minute bars under Bybit's rule; before the symbol's first trade they stand at its price."""
        del exact_turnover  # always exact here: the trades are in memory
        recorded = self._by_symbol[symbol]
        minutes = np.arange(first_minute, last_minute + 1)
        edges = np.searchsorted(recorded.at_ms, np.append(minutes, last_minute + 1) * MINUTE_MS)
        opened = recorded.ticks[np.maximum(edges[:-1] - 1, 0)]
        close = np.where(edges[1:] > edges[:-1], recorded.ticks[edges[1:] - 1], opened)
        traded = edges[1:] > edges[:-1]
        base = int(edges[0])
        at, part = edges[:-1][traded] - base, slice(base, int(edges[-1]))
        high, low = opened.copy(), opened.copy()
        volume, turnover = np.zeros(minutes.size, np.int64), np.zeros(minutes.size, np.int64)
        if at.size:
            ticks, steps = recorded.ticks[part], recorded.steps[part]
            high[traded] = np.maximum(opened[traded], np.maximum.reduceat(ticks, at))
            low[traded] = np.minimum(opened[traded], np.minimum.reduceat(ticks, at))
            volume[traded] = np.add.reduceat(steps, at)
            turnover[traded] = np.add.reduceat(ticks * steps, at)
        return Bars(
            start_minute=minutes, open=opened, high=high, low=low, close=close, volume=volume, turnover=turnover
        )

    def day_bar(self, symbol: str, day: int) -> Bars:
        """One bar for a whole day."""
        first = day * DAY_MINUTES
        return rolled_up(self.minute_bars(symbol, max(first, self._first_minute), first + DAY_MINUTES - 1), "D")
