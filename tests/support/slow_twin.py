"""The engine told once more, slowly: `rsi_divergence` in mode `extreme` on 1m candles and the life of its signals.

Plain Python on lists; shares no line with the engine, its indicators or its strategies. It reads candles (anything with
open_time_ms, open, high, low, close, volume, usable) and, for a candle that holds both levels, the minute's trade prices.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MINUTE = 60_000
PricesOf = Callable[[str, int], Sequence[float] | None]  # (symbol, minute) -> prices in market order


@dataclass(frozen=True)
class TwinSignal:
    symbol: str
    side: str
    candle_open_time_ms: int
    entry: float
    take_profit: float
    stop_loss: float
    reason: str | None = None  # None: still open at the end
    exit_price: float | None = None
    closed_at_ms: int | None = None
    pnl_pct: float | None = None
    resolution: str | None = None


def slow_signals(
    candles_by_symbol: dict[str, Sequence[Any]],
    prices_of: PricesOf | None = None,
    *,
    take_profit_pct: float = 1.5,
    stop_loss_pct: float = 0.7,
    max_age: int = 240,
    on_opposite: str = "ignore",
    begin_ms: dict[str, int] | None = None,
) -> list[TwinSignal]:
    """All signals, by opening time and symbol. Candles: consecutive 1m ones per symbol, oldest first.

    begin_ms: the first candle per symbol that may open one; earlier ones are history.
    """
    found = []
    for symbol, candles in candles_by_symbol.items():
        begin = (begin_ms or {}).get(symbol, 0)
        values = (take_profit_pct, stop_loss_pct, max_age, on_opposite, begin)
        found += _signals_of(symbol, list(candles), prices_of, *values)
    return sorted(found, key=lambda signal: (signal.candle_open_time_ms, signal.symbol))


def _signals_of(symbol, candles, prices_of, take_profit_pct, stop_loss_pct, max_age, on_opposite, begin):
    done: list[TwinSignal] = []
    running: TwinSignal | None = None
    for i, candle in enumerate(candles):
        if running is not None:
            ended = _ended(running, candle, prices_of, max_age)
            if ended is not None:
                done.append(ended)
                running = None
        window = candles[i - 119 : i + 1] if i >= 119 else []
        side = _side(window) if window and candle.open_time_ms >= begin else None
        if side is None:
            continue
        if running is not None:
            if on_opposite == "close" and side != running.side:
                done.append(_with_end(running, "reversed", candle.close, candle, "candle"))
                running = None
            continue
        if all(one.usable for one in window):
            running = _opened(symbol, side, candle, take_profit_pct, stop_loss_pct)
    return done + ([running] if running is not None else [])


def _opened(symbol, side, candle, take_profit_pct, stop_loss_pct):
    sign = 1 if side == "LONG" else -1
    return TwinSignal(
        symbol=symbol,
        side=side,
        candle_open_time_ms=candle.open_time_ms,
        entry=candle.close,
        take_profit=_twelve_digits(candle.close * (1 + sign * take_profit_pct / 100)),
        stop_loss=_twelve_digits(candle.close * (1 - sign * stop_loss_pct / 100)),
    )


def _twelve_digits(value):
    return float(format(value, ".12g"))


def _side(window):
    rsi = slow_rsi([candle.close for candle in window], 14)[-1]
    volumes = [float(candle.volume) for candle in window]
    mean = sum(volumes[-20:]) / 20
    if not volumes[-1] > 1.5 * mean:
        return None
    if rsi <= 25:
        return "LONG"
    return "SHORT" if rsi >= 75 else None


def slow_rsi(closes: Iterable[float], period: int) -> list[float | None]:
    """Wilder's RSI, straight from its definition; None while warming up."""
    closes = list(closes)
    ups = [max(after - before, 0) for before, after in itertools.pairwise(closes)]
    downs = [max(before - after, 0) for before, after in itertools.pairwise(closes)]
    result: list[float | None] = [None] * min(period, len(closes))
    if len(closes) <= period:
        return result
    gain, loss = sum(ups[:period]) / period, sum(downs[:period]) / period
    for n in range(period, len(closes)):
        if n > period:
            gain = (gain * (period - 1) + ups[n - 1]) / period
            loss = (loss * (period - 1) + downs[n - 1]) / period
        if loss == 0:
            result.append(50.0 if gain == 0 else 100.0)
        else:
            result.append(100 - 100 / (1 + gain / loss))
    return result


def _ended(signal, candle, prices_of, max_age):  # noqa: PLR0911 - one return per rule reads best
    long = signal.side == "LONG"
    hits_target = (lambda p: p >= signal.take_profit) if long else (lambda p: p <= signal.take_profit)
    hits_stop = (lambda p: p <= signal.stop_loss) if long else (lambda p: p >= signal.stop_loss)
    if hits_stop(candle.open):
        return _with_end(signal, "sl", candle.open, candle, "candle")
    if hits_target(candle.open):
        return _with_end(signal, "tp", candle.open, candle, "candle")
    best, worst = (candle.high, candle.low) if long else (candle.low, candle.high)
    if hits_stop(worst) and hits_target(best):
        for price in (prices_of and prices_of(signal.symbol, candle.open_time_ms)) or []:
            if hits_stop(price):
                return _with_end(signal, "sl", signal.stop_loss, candle, "tape")
            if hits_target(price):
                return _with_end(signal, "tp", signal.take_profit, candle, "tape")
        return _with_end(signal, "sl", signal.stop_loss, candle, "pessimistic")
    if hits_stop(worst):
        return _with_end(signal, "sl", signal.stop_loss, candle, "candle")
    if hits_target(best):
        return _with_end(signal, "tp", signal.take_profit, candle, "candle")
    if candle.open_time_ms - signal.candle_open_time_ms >= max_age * MINUTE:
        return _with_end(signal, "expired", candle.close, candle, "candle")
    return None


def _with_end(signal, reason, price, candle, resolution):
    gain = price - signal.entry if signal.side == "LONG" else signal.entry - price
    return TwinSignal(
        symbol=signal.symbol,
        side=signal.side,
        candle_open_time_ms=signal.candle_open_time_ms,
        entry=signal.entry,
        take_profit=signal.take_profit,
        stop_loss=signal.stop_loss,
        reason=reason,
        exit_price=price,
        closed_at_ms=candle.open_time_ms + MINUTE,
        pnl_pct=round(gain / signal.entry * 100, 10) + 0.0,
        resolution=resolution,
    )


def as_twin(signal: Any) -> TwinSignal:
    """A signal of the engine in the twin's words, for comparison."""
    end = signal.exit
    return TwinSignal(
        symbol=signal.symbol,
        side=str(signal.side),
        candle_open_time_ms=signal.candle_open_time_ms,
        entry=signal.entry_price,
        take_profit=signal.take_profit,
        stop_loss=signal.stop_loss,
        reason=str(end.reason) if end else None,
        exit_price=end.price if end else None,
        closed_at_ms=end.closed_at_ms if end else None,
        pnl_pct=end.pnl_pct if end else None,
        resolution=str(end.resolution) if end else None,
    )
