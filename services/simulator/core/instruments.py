"""What is traded: tick, step, usual price and activity of each symbol."""

import math
import re

import msgspec

from services.simulator.core.randomness import unit_interval

DEFAULT_SYMBOLS = (
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "SEIUSDT", "LINKUSDT", "SUIUSDT", "ADAUSDT",
)  # fmt: skip
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}(USDT|USDC)")


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of the simulated market.

    Prices are counted in ticks and quantities in steps; both are integers, so folds are exact.
    tick_scaled:          the tick in units of 10 ** -price_scale (tick 0.10 at scale 2 is 10).
    step_scaled:          the quantity step in units of 10 ** -quantity_scale (step 10 at scale 0 is 10).
    event_phase:          place of the scheduled sharp moves inside their slot, 0 <= phase < 1.
    """

    symbol: str
    base: str
    quote: str
    price: float
    tick_scaled: int
    price_scale: int
    step_scaled: int
    quantity_scale: int
    trades_per_minute: float
    notional_per_minute: float
    volatility: float = 1.0
    event_phase: float = 0.0

    @property
    def tick(self) -> float:
        """Quote currency per tick."""
        return self.tick_scaled / float(10**self.price_scale)

    @property
    def step(self) -> float:
        """Base currency per step."""
        return self.step_scaled / float(10**self.quantity_scale)

    def price_text(self, ticks: int) -> str:
        """A price as Bybit writes it in trades and tickers: always price_scale decimals."""
        return plain(ticks * self.tick_scaled, self.price_scale)

    def quantity_text(self, steps: int) -> str:
        """A quantity as Bybit writes it in trades: the decimals of the step."""
        return plain(steps * self.step_scaled, self.quantity_scale)

    def turnover_text(self, tick_steps: int) -> str:
        """A sum of ticks times steps in quote currency, exact, without trailing zeros."""
        scaled = tick_steps * self.tick_scaled * self.step_scaled
        return trimmed(plain(scaled, self.price_scale + self.quantity_scale))


def plain(scaled: int, scale: int) -> str:
    """A scaled integer as a plain decimal with `scale` digits after the point."""
    if scale == 0:
        return str(scaled)
    sign = "-" if scaled < 0 else ""
    whole, rest = divmod(abs(scaled), 10**scale)
    return f"{sign}{whole}.{rest:0{scale}d}"


def trimmed(text: str) -> str:
    """The same decimal without trailing zeros, as klines write it."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _known(
    symbol: str, price: float, tick: tuple[int, int], step: tuple[int, int], activity: tuple[float, float]
) -> Instrument:
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        price=price,
        tick_scaled=tick[0],
        price_scale=tick[1],
        step_scaled=step[0],
        quantity_scale=step[1],
        trades_per_minute=activity[0],
        notional_per_minute=activity[1],
        # Spread evenly, so that one of the nine makes a sharp move every ninth part of a slot.
        event_phase=(DEFAULT_SYMBOLS.index(symbol) * 5 % 9) / 9,
    )


# Ticks and steps are those of Bybit's linear market in August 2026. SEI and ADA are quiet on purpose.
_CATALOGUE = {
    instrument.symbol: instrument
    for instrument in (
        _known("BTCUSDT", 65_000.0, (10, 2), (1, 3), (90.0, 900_000.0)),
        _known("ETHUSDT", 1_900.0, (1, 2), (1, 2), (70.0, 500_000.0)),
        _known("SOLUSDT", 77.0, (10, 3), (1, 1), (50.0, 250_000.0)),
        _known("XRPUSDT", 1.1, (1, 4), (1, 1), (30.0, 120_000.0)),
        _known("DOGEUSDT", 0.0705, (1, 5), (1, 0), (24.0, 80_000.0)),
        _known("SEIUSDT", 0.052, (1, 5), (1, 0), (1.2, 3_000.0)),
        _known("LINKUSDT", 9.1, (1, 3), (1, 1), (12.0, 30_000.0)),
        _known("SUIUSDT", 0.92, (10, 5), (10, 0), (16.0, 40_000.0)),
        _known("ADAUSDT", 0.45, (1, 4), (1, 0), (3.0, 9_000.0)),
    )
}


def instrument_of(symbol: str) -> Instrument:
    """The instrument of a symbol; a symbol outside the catalogue gets numbers that depend on its name alone.

    Raises ValueError when the symbol is not capital letters and digits ending in USDT or USDC.
    """
    if symbol in _CATALOGUE:
        return _CATALOGUE[symbol]
    if not _SYMBOL.fullmatch(symbol):
        raise ValueError(f"symbol must be capitals and digits ending in USDT or USDC, was {symbol!r}")
    price = 10.0 ** (unit_interval(0, symbol, "price") * 4 - 1)
    # About ten thousand ticks per price: the relative tick of the busy coins.
    scale = max(0, 4 - math.floor(math.log10(price)))
    activity = 10.0 ** (unit_interval(0, symbol, "activity") * 1.6)
    return Instrument(
        symbol=symbol,
        base=symbol[:-4],
        quote=symbol[-4:],
        price=price,
        tick_scaled=1,
        price_scale=scale,
        step_scaled=1,
        quantity_scale=1,
        trades_per_minute=activity,
        notional_per_minute=activity * 3_000.0,
        event_phase=unit_interval(0, symbol, "phase"),
    )
