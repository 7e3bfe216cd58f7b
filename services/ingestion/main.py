"""Builds ingestion from settings and configuration, connects, runs, shuts down; nothing else."""

from typing import NoReturn

from services.ingestion.service import IngestionService, find_instruments
from services.ingestion.settings import IngestionSettings
from shared.domain.errors import PermanentError
from shared.exchanges.registry import Venue, known_exchanges, venue_of, venues_among
from shared.runtime.config import TrackerConfig, load_config
from shared.runtime.service import ServiceContext, run_service


async def start(context: ServiceContext[IngestionSettings]) -> None:
    """Run until stopped."""
    settings = context.settings
    config = load_config(settings.tracker_config)
    venue = chosen_venue(config, settings)
    chosen, exchange = config.venues[venue.rules.exchange], venue.rules.exchange
    websocket_url, rest_url = settings.urls(exchange)
    rest = venue.make_rest(rest_url or chosen.rest_url or venue.rest_url)
    try:
        service = IngestionService(context, rest)
        instruments = await find_instruments(
            rest,
            chosen.symbols,
            stopping=context.stopping,
            seconds_max=settings.instruments_seconds_max,
            log=context.log,
            on_wait=lambda: context.report_status({"exchange": exchange, "ready": False}),
        )
        if context.stopping.is_set():
            return
        url = websocket_url or chosen.websocket_url or venue.websocket_url
        feed = venue.make_feed(url, tuple(instruments), clock_symbol=settings.clock_symbol, limits=settings.feed_limits)
        await service.run(feed, instruments)
    finally:
        await rest.close()


def chosen_venue(config: TrackerConfig, settings: IngestionSettings) -> Venue:
    """The venue that this process follows; raises PermanentError where the configuration does not say which."""
    place = settings.tracker_config
    if settings.exchange is not None:
        if settings.exchange not in config.venues:
            raise PermanentError(f"INGESTION_EXCHANGE must be one of the venues of {place}, was {settings.exchange}")
        return venue_of(settings.exchange)
    venues = venues_among(config.venues)
    if not venues:
        raise PermanentError(f"{place}: venues must name one of {', '.join(known_exchanges())} for ingestion to follow")
    if len(venues) > 1:
        names = ", ".join(venue.rules.exchange for venue in venues)
        raise PermanentError(f"{place} names {names}: INGESTION_EXCHANGE must say which this process follows")
    return venues[0]


def main() -> NoReturn:
    """Entry point: `python -m services.ingestion.main`."""
    run_service("ingestion", IngestionSettings, start)


if __name__ == "__main__":
    main()
