"""The seeded market: plans by day, trades by minute, both drawn when first asked for."""

from collections import OrderedDict

import numpy as np

from services.simulator.core.bars import Bars, rolled_up
from services.simulator.core.day_plan import DAY_MINUTES, DayPlan, IntArray, plan_day
from services.simulator.core.instruments import Instrument, instrument_of
from services.simulator.core.minute_trades import MinuteTrades, draw_minute

_PLANS_KEPT_PER_SYMBOL = 3
_TURNOVERS_KEPT_PER_SYMBOL = 4
_MINUTES_KEPT_MIN = 512
_UNKNOWN = -1


class GeneratedSource:
    """Trades of a market that depends on nothing but (seed, symbol, minute) and the slot length.

    exact_from_minute: from here on a bar's turnover is the fold of its trades; before, it is volume times typical
        price, so that years of history cost no trades. Open, high, low, close and volume are exact everywhere.
    """

    def __init__(
        self, symbols: tuple[str, ...], *, seed: int, slot_minutes: int, first_minute: int, exact_from_minute: int
    ) -> None:
        self._instruments = {symbol: instrument_of(symbol) for symbol in symbols}
        self._seed = seed
        self._slot_minutes = slot_minutes
        self._first_minute = first_minute
        self._exact_from_minute = exact_from_minute
        self._plans: OrderedDict[tuple[str, int], DayPlan] = OrderedDict()
        # By minute of a day, -1 where it is not folded yet. Kept longer than the plan: a day of folds costs a hundred plans.
        self._turnovers: OrderedDict[tuple[str, int], IntArray] = OrderedDict()
        self._minutes: OrderedDict[tuple[str, int], MinuteTrades] = OrderedDict()
        self._days: dict[tuple[str, int], Bars] = {}
        self._plans_kept = _PLANS_KEPT_PER_SYMBOL * len(symbols)
        self._minutes_kept = max(_MINUTES_KEPT_MIN, 3 * len(symbols))

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Every symbol there is, in the order of the settings."""
        return self._instruments

    @property
    def first_minute(self) -> int:
        """No kline begins before this minute."""
        return self._first_minute

    def trades(self, symbol: str, minute: int) -> MinuteTrades:
        """All trades of one minute."""
        key = (symbol, minute)
        found = self._minutes.get(key)
        if found is not None:
            self._minutes.move_to_end(key)
            return found
        day, index = divmod(minute, DAY_MINUTES)
        drawn = draw_minute(self._plan(symbol, day), index, self._seed, symbol)
        self._minutes[key] = drawn
        if len(self._minutes) > self._minutes_kept:
            self._minutes.popitem(last=False)
        return drawn

    def minute_bars(self, symbol: str, first_minute: int, last_minute: int, *, exact_turnover: bool = True) -> Bars:
        """One-minute bars of one UTC day or a part of it, both ends included.

        exact_turnover: False where nobody reads it; a day of exact turnovers draws 1,440 minutes of trades.
        """
        day, first = divmod(first_minute, DAY_MINUTES)
        part = slice(first, last_minute - day * DAY_MINUTES + 1)
        plan = self._plan(symbol, day)
        previous = plan.previous_close[part]
        return Bars(
            start_minute=np.arange(first_minute, last_minute + 1),
            open=previous,
            high=np.maximum(plan.high[part], previous),
            low=np.minimum(plan.low[part], previous),
            close=plan.close[part],
            volume=plan.volume[part],
            turnover=self._turnover(symbol, day, part) if exact_turnover else plan.volume[part] * plan.close[part],
        )

    def numbers(self, symbol: str) -> IntArray | None:
        """None: generated ids are Bybit's, which count nothing."""
        del symbol
        return None

    def row_after(self, symbol: str, time_ms: int) -> int:
        """Nothing is numbered here."""
        raise ValueError(f"generated trades have no numbers (symbol={symbol} time_ms={time_ms})")

    def rows(self, symbol: str, first: int, last: int) -> MinuteTrades:
        """Nothing is numbered here."""
        raise ValueError(f"generated trades have no numbers (symbol={symbol} rows={first}..{last})")

    def day_bar(self, symbol: str, day: int) -> Bars:
        """One bar for a whole day; kept, because weeks and days of a year are asked for again."""
        key = (symbol, day)
        if key not in self._days:
            first = day * DAY_MINUTES
            self._days[key] = rolled_up(self.minute_bars(symbol, first, first + DAY_MINUTES - 1), "D")
        return self._days[key]

    def _plan(self, symbol: str, day: int) -> DayPlan:
        key = (symbol, day)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = plan_day(self._instruments[symbol], self._seed, day, self._slot_minutes)
            if len(self._plans) > self._plans_kept:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return found

    def _turnover(self, symbol: str, day: int, part: slice) -> IntArray:
        key = (symbol, day)
        plan, turnover = self._plan(symbol, day), self._turnovers.get(key)
        if turnover is None:
            turnover = plan.volume * ((plan.high + plan.low + 2 * plan.close) // 4)
            first_exact = min(DAY_MINUTES, max(0, self._exact_from_minute - day * DAY_MINUTES))
            if first_exact < DAY_MINUTES:
                turnover[first_exact:] = np.where(plan.trade_count[first_exact:] > 0, _UNKNOWN, 0)
                self._turnovers[key] = turnover
                if len(self._turnovers) > _TURNOVERS_KEPT_PER_SYMBOL * len(self._instruments):
                    self._turnovers.popitem(last=False)
        else:
            self._turnovers.move_to_end(key)
        for offset in np.flatnonzero(turnover[part] == _UNKNOWN):
            index = part.start + int(offset)
            drawn = draw_minute(plan, index, self._seed, symbol)
            turnover[index] = int(np.dot(drawn.ticks, drawn.steps))
        return turnover[part].copy()
