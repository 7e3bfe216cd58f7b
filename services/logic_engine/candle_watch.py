"""Whether closed candles still come: without them the engine decides nothing, and nobody else would say so."""

from collections.abc import Iterable

from shared.bus.port import Bus
from shared.domain.errors import TransientError
from shared.domain.events import CandleCorrected, CandlesClosed
from shared.runtime.clock import Clock
from shared.runtime.hop_watch import HopTexts, HopWatch, Silence


class CandleWatch:
    """One watch per exchange followed."""

    def __init__(self, *, bus: Bus, clock: Clock, exchanges: Iterable[str], budget_seconds: float) -> None:
        self._watches = {
            exchange: HopWatch(
                bus=bus,
                clock=clock,
                subject=f"logic_engine#{exchange}",
                name="candles",
                budget_seconds=budget_seconds,
                texts=_texts(exchange),
            )
            for exchange in sorted(set(exchanges))
        }

    def arrived(self, events: Iterable[CandlesClosed | CandleCorrected]) -> None:
        """Candles came. Corrections count too: they come from the same sender on the same way."""
        for exchange in {event.exchange for event in events}:
            if (watch := self._watches.get(exchange)) is not None:
                watch.arrived()

    async def look(self) -> None:
        """Publish what is due; what cannot be published now stays due. Raises TransientError for the last of such."""
        failed: TransientError | None = None
        for watch in self._watches.values():
            try:
                await watch.look()
            except TransientError as error:
                failed = error
        if failed is not None:
            raise failed

    def status(self) -> dict[str, object]:
        """Of several exchanges the worst."""
        shown = [watch.status() for watch in self._watches.values()]
        return max(shown, key=lambda one: (bool(one["candles_blind"]), int(str(one["candles_age_ms"]))), default={})


def _texts(exchange: str) -> HopTexts:
    def blind(silence: Silence) -> str:
        return (
            f"No candles of {exchange} have reached the logic engine since {silence.since} ({silence.seconds}):"
            " nothing is decided on it meanwhile. Is the aggregator running?"
        )

    def seeing(silence: Silence) -> str:
        return (
            f"Candles of {exchange} reach the logic engine again, after {silence.seconds} (nothing since {silence.since});"
            f" about {silence.minutes} minute(s) are decided late, and what is stale opens nothing"
        )

    return HopTexts(blind, seeing)
