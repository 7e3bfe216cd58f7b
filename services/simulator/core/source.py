"""Where trades come from: the generator or a tape, behind the same three questions."""

from typing import Protocol

from services.simulator.core.bars import Bars
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

    def day_bar(self, symbol: str, day: int) -> Bars:
        """One bar for a whole day."""
        ...
