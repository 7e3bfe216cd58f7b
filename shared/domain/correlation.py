"""One id for everything that follows from one minute of one exchange: trades, candles, decisions, signals, messages.

It is computed, not handed on: whoever holds an event knows the id that its causes and its consequences carry, also after a
restart, a redelivery or a replay. The minute of a batch is that of its watermark, which is what closes a candle; so the
batch that closed 13:05, the candles of 13:05, the decisions on them, and the signals opened and closed by them share one.
"""

from functools import lru_cache

from shared.domain.events import (
    AlertRaised,
    CandleCorrected,
    CandlesClosed,
    Event,
    SignalClosed,
    SignalOpened,
    SignalProgressed,
)
from shared.domain.identity import digest_text
from shared.domain.timeframe import minute_ms
from shared.domain.trades import TradeBatch


@lru_cache(maxsize=4096)
def correlation_of_minute(exchange: str, close_time_ms: int) -> str:
    """32 hex digits, as a W3C trace id has them. close_time_ms: any time within the minute that begins with the close."""
    return digest_text(("correlation", exchange, minute_ms(close_time_ms)))


def correlation_id(event: Event) -> str:
    """The id of the exchange's minute the event follows from; its own event id where no exchange's minute caused it."""
    caused = cause_of(event)
    return correlation_of_minute(*caused) if caused else event.event_id


def cause_of(event: Event) -> tuple[str, int] | None:
    """(exchange, close time in market ms) of the minute that caused the event; None for bias and system events."""
    if isinstance(event, TradeBatch):
        return event.exchange, event.watermark_ms
    if isinstance(event, CandlesClosed):
        return event.exchange, event.close_time_ms
    if isinstance(event, CandleCorrected):
        return event.exchange, event.candles[0].close_time_ms
    if isinstance(event, SignalOpened | SignalProgressed | SignalClosed):
        end = event.signal.exit
        return event.signal.exchange, event.signal.opened_at_ms if end is None else end.closed_at_ms
    return (event.exchange, event.candle_close_time_ms) if isinstance(event, AlertRaised) else None
