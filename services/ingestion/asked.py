"""What the aggregator asks for: batches of a session that never reached it are fetched again from the venue."""

from typing import Any, Final

from services.ingestion.core.refill import Hole
from services.ingestion.core.window import SessionIdentity
from services.ingestion.handlers import Ingestion
from services.ingestion.refiller import Refiller
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeSource
from shared.runtime.clock import Clock
from shared.store.port import Store
from shared.store.refill_requests import RefillRequest, RefillRequestStore

OTHERS_AFTER_MS: Final = 20_000  # a session may be a twin's, who looks every few seconds too


class Asked:
    """Serves requests. A session of ours that goes on is ended, so that the next one fills from where it broke off; an
    ended one, or a twin's that nobody serves, is filled by a refill of its own.
    """

    def __init__(
        self, store: Store, *, refiller: Refiller, clock: Clock, instance_id: str, exchange: str, log: Any
    ) -> None:
        self._requests = RefillRequestStore(store)
        self._refiller = refiller
        self._clock = clock
        self._instance_id = instance_id
        self._exchange = exchange
        self._log = log
        self.served = 0

    async def serve(self, ingestion: Ingestion, instruments: dict[str, Instrument]) -> None:
        """One look; raises TransientError where the store does not answer."""
        for request in await self._requests.open(self._exchange):
            is_ours = ingestion.asked_again(request.session, request.symbols, request.from_ms)
            if not is_ours:
                waited_ms = self._clock.wall_ms() - request.asked_at_ms
                if waited_ms < OTHERS_AFTER_MS and not request.session.startswith(f"{self._instance_id}-"):
                    continue
                self._fill(request, instruments)
            await self._requests.done(request)
            self.served += 1
            self._log.warning("refill_was_asked_for", session=request.session, from_ms=request.from_ms, ours=is_ours)

    def _fill(self, request: RefillRequest, instruments: dict[str, Instrument]) -> None:
        identity = SessionIdentity(
            exchange=request.exchange,
            session=f"{self._instance_id}-asked-{request.asked_at_ms}-{request.session}",
            started_at_ms=self._clock.market_ms(),
            source=TradeSource.REFILL,
            covers_from_ms=request.from_ms,
        )
        holes = [
            Hole(exchange=request.exchange, symbol=symbol, from_ms=request.from_ms, to_ms=request.to_ms)
            for symbol in request.symbols
            if symbol in instruments
        ]
        self._refiller.fill(identity, holes, instruments)
