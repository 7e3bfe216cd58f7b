"""Signals, candles and decisions for tests of what comes after the decision."""

import math
import random
from decimal import Decimal

import msgspec

from shared.domain.bias import Direction
from shared.domain.candles import Candle, CandleQuality
from shared.domain.decisions import Action, Condition, Decision, Gate, WindowRecord
from shared.domain.identity import signal_id
from shared.domain.signals import ExitReason, Resolution, Signal, SignalExit, SignalStatus
from shared.domain.timeframe import Timeframe

EXCHANGE = "bybit-linear"
FIRST_OPEN_MS = 1_786_300_020_000  # a round minute
STRATEGY = "rsi_divergence"


def some_candles(
    symbol: str = "BTCUSDT",
    *,
    count: int = 120,
    price: float = 60_000.0,
    decimals: int = 2,
    seed: int = 1,
    revision: int = 1,
) -> list[Candle]:
    """Consecutive 1m candles of a seeded walk that ends in a fall on high volume."""
    source = random.Random(seed)
    candles = []
    close = price
    for index in range(count):
        fall = -0.0009 if index > count - 9 else 0.0
        opened, close = close, close * (1 + source.gauss(fall, 0.0006) + 0.0002 * math.sin(index / 9))
        high = max(opened, close) * (1 + abs(source.gauss(0, 0.0003)))
        low = min(opened, close) * (1 - abs(source.gauss(0, 0.0003)))
        volume = Decimal(str(round(source.lognormvariate(2, 0.5) * (2.4 if fall else 1), 3)))
        prices = [round(value, decimals) for value in (opened, high, low, close)]
        candles.append(
            Candle(
                exchange=EXCHANGE,
                symbol=symbol,
                timeframe=Timeframe.M1,
                open_time_ms=FIRST_OPEN_MS + index * 60_000,
                open=prices[0],
                high=max(prices),
                low=min(prices),
                close=prices[3],
                volume=volume,
                quote_volume=volume * Decimal(str(prices[3])),
                trade_count=100,
                quality=CandleQuality.COMPLETE,
                revision=revision,
            )
        )
        close = prices[3]
    return candles


def a_signal(
    symbol: str = "BTCUSDT",
    *,
    strategy: str = STRATEGY,
    side: Direction = Direction.LONG,
    entry_price: float = 60_000.0,
    candle_open_time_ms: int = FIRST_OPEN_MS + 119 * 60_000,
    price_decimals: int = 2,
    trigger: str = "extreme",
    window_digest: str = "d" * 32,
) -> Signal:
    """An open signal with the reference's levels."""
    sign = 1 if side is Direction.LONG else -1
    identity = signal_id(
        strategy=strategy,
        trigger=trigger,
        exchange=EXCHANGE,
        symbol=symbol,
        timeframe=Timeframe.M1,
        candle_open_time_ms=candle_open_time_ms,
        side=side,
    )
    return Signal(
        signal_id=identity,
        version=1,
        status=SignalStatus.OPEN,
        strategy=strategy,
        trigger=trigger,
        exchange=EXCHANGE,
        symbol=symbol,
        timeframe=Timeframe.M1,
        side=side,
        candle_open_time_ms=candle_open_time_ms,
        opened_at_ms=candle_open_time_ms + 60_000,
        entry_price=entry_price,
        take_profit=round(entry_price * (1 + sign * 0.015), price_decimals),
        stop_loss=round(entry_price * (1 - sign * 0.007), price_decimals),
        max_age_candles=240,
        price_decimals=price_decimals,
        conditions=(
            Condition(name="rsi", value=24.1, threshold=25.0, margin=0.9, passed=True),
            Condition(name="volume_spike", value=1.84, threshold=1.5, margin=0.34, passed=True),
            Condition(name="divergence", value=None, threshold=0.0, margin=None, passed=False),
        ),
        bias="none",
        window_digest=window_digest,
        prev_hash="",
    )


def closed(
    signal: Signal, reason: ExitReason = ExitReason.TAKE_PROFIT, *, version: int = 2, minutes: int = 23
) -> Signal:
    """The signal at its end, at the level its reason names (else at entry)."""
    levels = {ExitReason.TAKE_PROFIT: signal.take_profit, ExitReason.STOP_LOSS: signal.stop_loss}
    price = levels.get(reason) or signal.entry_price
    sign = 1 if signal.side is Direction.LONG else -1
    end = SignalExit(
        reason=reason,
        price=price,
        closed_at_ms=signal.opened_at_ms + minutes * 60_000,
        pnl_pct=sign * (price / signal.entry_price - 1) * 100,
        resolution=Resolution.CANDLE,
    )
    return msgspec.structs.replace(signal, version=version, status=SignalStatus.CLOSED, exit=end)


def a_decision(signal: Signal, candles: list[Candle]) -> Decision:
    """The entry decision of the signal over the candles."""
    revisions: list[tuple[int, int]] = []
    for candle in candles:
        if revisions and revisions[-1][0] == candle.revision:
            revisions[-1] = (candle.revision, revisions[-1][1] + 1)
        else:
            revisions.append((candle.revision, 1))
    window = WindowRecord(
        timeframe=signal.timeframe,
        first_open_time_ms=candles[0].open_time_ms,
        length=len(candles),
        digest=signal.window_digest,
        revisions=tuple(revisions),
    )
    return Decision(
        strategy=signal.strategy,
        exchange=signal.exchange,
        symbol=signal.symbol,
        timeframe=signal.timeframe,
        open_time_ms=signal.candle_open_time_ms,
        action=Action.ENTER_LONG if signal.side is Direction.LONG else Action.ENTER_SHORT,
        trigger=signal.trigger,
        conditions=signal.conditions,
        gates=(Gate(name="quality", passed=True, detail="120 usable candles"),),
        bias=signal.bias,
        parameters={},
        windows=(window,),
        reference_price=signal.entry_price,
        take_profit=signal.take_profit,
        stop_loss=signal.stop_loss,
    )
