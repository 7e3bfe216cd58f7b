"""Ingestion watches its venue, but nobody else would say that ingestion is gone: its batches, empty ones too, are watched."""

from shared.bus.port import Bus
from shared.runtime.clock import Clock
from shared.runtime.hop_watch import HopTexts, HopWatch, Silence


def feed_watch(*, bus: Bus, clock: Clock, exchange: str, budget_seconds: float) -> HopWatch:
    """Watches the arrival of one exchange's batches."""

    def blind(silence: Silence) -> str:
        return (
            f"No data from {exchange} has reached the aggregator since {silence.since} ({silence.seconds}):"
            " is ingestion running?"
        )

    def seeing(silence: Silence) -> str:
        return (
            f"Data from {exchange} reaches the aggregator again, after {silence.seconds} (nothing since {silence.since});"
            f" about {silence.minutes} minute(s) are filled again or repaired, else told as partial"
        )

    return HopWatch(
        bus=bus,
        clock=clock,
        subject=f"aggregator#{exchange}",
        name="feed",
        budget_seconds=budget_seconds,
        texts=HopTexts(blind, seeing),
    )
