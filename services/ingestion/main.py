"""Builds ingestion from settings and configuration, connects, runs, shuts down; nothing else."""

from typing import NoReturn

from services.ingestion.service import IngestionService, find_instruments
from services.ingestion.settings import IngestionSettings
from shared.domain.errors import PermanentError
from shared.exchanges.bybit.feed import BybitFeed
from shared.exchanges.bybit.instruments import REST_URL, WEBSOCKET_URL
from shared.exchanges.bybit.rest import bybit_rest
from shared.exchanges.venue import BYBIT_LINEAR
from shared.runtime.config import load_config
from shared.runtime.service import ServiceContext, run_service


async def start(context: ServiceContext[IngestionSettings]) -> None:
    """Run until stopped."""
    settings = context.settings
    venue = load_config(settings.tracker_config).venues.get(BYBIT_LINEAR)
    if venue is None:
        raise PermanentError(f"{settings.tracker_config}: venues must name {BYBIT_LINEAR}, ingestion has nothing to do")
    rest = bybit_rest(settings.rest_url or venue.rest_url or REST_URL)
    try:
        service = IngestionService(context, rest)
        instruments = await find_instruments(
            rest,
            venue.symbols,
            stopping=context.stopping,
            seconds_max=settings.instruments_seconds_max,
            log=context.log,
            on_wait=lambda: context.report_status({"exchange": BYBIT_LINEAR, "ready": False}),
        )
        if context.stopping.is_set():
            return
        url = settings.websocket_url or venue.websocket_url or WEBSOCKET_URL
        feed = BybitFeed(url, tuple(instruments), clock_symbol=settings.clock_symbol, limits=settings.feed_limits)
        await service.run(feed, instruments)
    finally:
        await rest.close()


def main() -> NoReturn:
    """Entry point: `python -m services.ingestion.main`."""
    run_service("ingestion", IngestionSettings, start)


if __name__ == "__main__":
    main()
