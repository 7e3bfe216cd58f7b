"""What signals would have earned: fills with fee, spread and slippage, positions by size, equity from close to close.

Every fill is a market order: it pays half the spread and the slippage against its side, and the fee on its notional. Money
is Decimal. One signal at a time, as its slot has it: equity is cash plus the open position at the last close.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final

import msgspec
import numpy as np

from research.history import FloatArray, History, IntArray
from shared.domain.bias import Direction
from shared.domain.checks import require
from shared.domain.errors import InvalidValueError
from shared.domain.signals import Signal

_BPS: Final = Decimal(10_000)
_CENT: Final = Decimal("0.00000001")
_PRECISION: Final = 34


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill costs, in basis points of its notional. spread_bps: the whole spread, a fill pays half of it."""

    fee_bps: float = 10.0
    spread_bps: float = 2.0
    slippage_bps: float = 1.0

    def __post_init__(self) -> None:
        for name in ("fee_bps", "spread_bps", "slippage_bps"):
            require(0 <= getattr(self, name) < 1_000, f"{name} must be 0..1000", getattr(self, name), "costs")  # noqa: PLR2004 - the rule names its bound

    @property
    def shares(self) -> tuple[float, float]:
        """Fee of a fill's notional, and by how much its price is worse than asked for."""
        return self.fee_bps / 1e4, (self.spread_bps / 2 + self.slippage_bps) / 1e4


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """start_cash: quote currency. fraction: of equity per position, where the strategy does not size its signals itself."""

    start_cash: float = 10_000.0
    fraction: float = 1.0
    costs: Costs = Costs()

    def __post_init__(self) -> None:
        require(self.start_cash > 0, "start_cash must be > 0", self.start_cash, "account")
        require(0 < self.fraction <= 100, "fraction must be > 0 and <= 100", self.fraction, "account")  # noqa: PLR2004 - the rule names its bound


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A closed signal as a position. Prices are those of the fills, costs included but for the fees, which stand apart."""

    signal_id: str
    side: Direction
    opened_at_ms: int
    closed_at_ms: int
    reason: str
    resolution: str
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    costs: Decimal  # spread and slippage of both fills
    profit: Decimal  # all costs paid
    return_pct: float  # profit in percent of the equity before


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """trades: closed ones, oldest first. equity, exposure: at each of closes_ms, quote currency and share of equity."""

    account: Account
    trades: list[Trade]
    closes_ms: IntArray
    equity: FloatArray
    exposure: FloatArray


def book_of(signals: Sequence[Signal], history: History, account: Account, closes_ms: IntArray) -> Book:
    """The account over the history. signals: of one slot, in the order they opened; an open one is marked, not a trade.

    closes_ms: when equity is looked at. Raises InvalidValueError where two signals overlap.
    """
    cash = Decimal(repr(account.start_cash))
    equity = np.full(len(closes_ms), float(cash))
    exposure = np.zeros(len(closes_ms))
    marks = history.series[history.base].values[3]
    trades: list[Trade] = []
    free_ms = 0
    with localcontext(prec=_PRECISION):
        for signal in signals:
            if signal.opened_at_ms < free_ms:
                raise InvalidValueError(f"signals of one slot may not overlap, was {signal.signal_id} ({free_ms})")
            position = _Position(signal, cash, account)
            end_ms = signal.exit.closed_at_ms if signal.exit is not None else history.candles[-1].close_time_ms + 1
            begin, end = np.searchsorted(closes_ms, [signal.opened_at_ms, end_ms], side="left")
            at = (closes_ms[begin:end] - history.candles[0].open_time_ms) // history.base.duration_ms - 1
            worth = float(cash) - float(position.entry_fee) + position.gain_at(marks[at])
            equity[begin:end] = worth
            exposure[begin:end] = float(position.quantity) * marks[at] / np.maximum(worth, 1e-9)
            if signal.exit is not None:
                trade = position.closed()
                trades.append(trade)
                cash += trade.profit
                equity[end:] = float(cash)
                free_ms = end_ms
    return Book(account=account, trades=trades, closes_ms=closes_ms, equity=equity, exposure=exposure)


class _Position:
    """One signal's position, opened at its entry price against the spread."""

    def __init__(self, signal: Signal, cash: Decimal, account: Account) -> None:
        self._signal, self._cash = signal, cash
        costs = account.costs
        self._sign = 1 if signal.side is Direction.LONG else -1
        self._worse = (Decimal(repr(costs.spread_bps)) / 2 + Decimal(repr(costs.slippage_bps))) / _BPS
        self._fee = Decimal(repr(costs.fee_bps)) / _BPS
        self._asked = Decimal(repr(signal.entry_price))
        self.entry_price = self._asked * (1 + self._sign * self._worse)
        fraction = Decimal(repr(account.fraction if signal.sizing is None else signal.sizing.fraction))
        self.quantity = max(Decimal(0), cash * fraction / self._asked).quantize(_CENT)
        self.entry_fee = self.quantity * self.entry_price * self._fee

    def gain_at(self, prices: FloatArray) -> FloatArray:
        """Unrealised, before the exit's costs."""
        gain: FloatArray = self._sign * float(self.quantity) * (prices - float(self.entry_price))
        return gain

    def closed(self) -> Trade:
        """The trade, at the price at which the signal ended."""
        signal, end = self._signal, self._signal.exit
        if end is None:
            raise InvalidValueError(f"only a closed signal is a trade, was {signal.status} ({signal.signal_id})")
        asked = Decimal(repr(end.price))
        exit_price = asked * (1 - self._sign * self._worse)
        fees = self.entry_fee + self.quantity * exit_price * self._fee
        profit = self._sign * self.quantity * (exit_price - self.entry_price) - fees
        return Trade(
            signal_id=signal.signal_id,
            side=signal.side,
            opened_at_ms=signal.opened_at_ms,
            closed_at_ms=end.closed_at_ms,
            reason=end.reason.value,
            resolution=end.resolution.value,
            quantity=self.quantity,
            entry_price=self.entry_price.quantize(_CENT),
            exit_price=exit_price.quantize(_CENT),
            fees=fees.quantize(_CENT),
            costs=(self.quantity * (self._asked + asked) * self._worse).quantize(_CENT),
            profit=profit.quantize(_CENT),
            return_pct=float(profit / self._cash * 100) if self._cash > 0 else 0.0,
        )
