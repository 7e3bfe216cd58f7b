"""From a Decision to the signal it opens."""

from collections.abc import Iterable

from services.logic_engine.core.active import ActiveStrategy
from shared.domain.decimals import plain_text
from shared.domain.decisions import Decision
from shared.domain.errors import InvalidValueError
from shared.domain.identity import signal_id
from shared.domain.signals import Signal, SignalStatus


def opened_signal_id(decision: Decision) -> str | None:
    """Id of the signal that the Decision's entry opens; None where it is no entry."""
    side = decision.action.side
    if side is None:
        return None
    return signal_id(
        strategy=decision.strategy,
        trigger=decision.trigger,
        exchange=decision.exchange,
        symbol=decision.symbol,
        timeframe=decision.timeframe,
        candle_open_time_ms=decision.open_time_ms,
        side=side,
    )


def opened_signal(decision: Decision, active: ActiveStrategy, *, prev_hash: str, price_decimals: int) -> Signal:
    """Version 1 of the signal: entry at the candle's close. The same Decision always gives the same signal."""
    side, name = decision.action.side, opened_signal_id(decision)
    if side is None or name is None:
        place = f"{decision.exchange} {decision.symbol} {decision.open_time_ms}"
        raise InvalidValueError(f"only an entry opens a signal, was {decision.action} ({place})")
    return Signal(
        signal_id=name,
        version=1,
        status=SignalStatus.OPEN,
        strategy=decision.strategy,
        trigger=decision.trigger,
        exchange=decision.exchange,
        symbol=decision.symbol,
        timeframe=decision.timeframe,
        side=side,
        candle_open_time_ms=decision.open_time_ms,
        opened_at_ms=decision.close_time_ms,
        entry_price=decision.reference_price,
        take_profit=decision.take_profit,
        stop_loss=decision.stop_loss,
        max_age_candles=active.max_age_candles,
        price_decimals=price_decimals,
        conditions=decision.conditions,
        bias=decision.bias,
        window_digest=decision.windows[0].digest,
        prev_hash=prev_hash,
    )


def decimals_seen(prices: Iterable[float]) -> int:
    """The most decimals any of the prices needs: the instrument's price step as far as its prices show it.

    [60000.1, 60000.0] -> 1. For display only, until an instrument table says better; 0 for no prices.
    """
    texts = (plain_text(price) for price in prices)
    return max((len(text.partition(".")[2]) for text in texts), default=0)
