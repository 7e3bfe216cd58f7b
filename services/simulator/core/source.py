"""Where trades come from: the generator or a tape, behind the same three questions."""

from typing import Protocol

from services.simulator.core.bars import Bars
from services.simulator.core.day_plan import IntArray
from services.simulator.core.instruments import Instrument
from services.simulator.core.minute_trades import MinuteTrades


class TradeSource(Protocol):
    """Trades and minute bars of any past or future minute; pure, asked in any order."""

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Every symbol there is."""
        ...

    @property
    def first_minute(self) -> int:
        """No kline begins before this minute."""
        ...

    def trades(self, symbol: str, minute: int) -> MinuteTrades:
        """All trades of one minute."""
        ...

    def minute_bars(self, symbol: str, first_minute: int, last_minute: int, *, exact_turnover: bool = True) -> Bars:
        """One-minute bars of one UTC day or a part of it, both ends included."""
        ...

    def numbers(self, symbol: str) -> IntArray | None:
        """The ids of all trades of the symbol, rising with their times; None where they are no such numbers."""
        ...

    def row_after(self, symbol: str, time_ms: int) -> int:
        """How many trades of a numbered symbol happened up to this time."""
        ...

    def rows(self, symbol: str, first: int, last: int) -> MinuteTrades:
        """The trades first .. last - 1 of a numbered symbol; they may lie in many minutes."""
        ...

    def day_bar(self, symbol: str, day: int) -> Bars:
        """One bar for a whole day."""
        ...
