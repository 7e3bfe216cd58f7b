"""A venue in the place of the network, and longer pauses where services only poll, so that virtual time passes quickly."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import httpx
import structlog

import services.aggregator.main as aggregator_main
import services.ingestion.main as ingestion_main
import services.ingestion.service as ingestion_service
import services.logic_engine.main as engine_main
import shared.bus.memory as memory_bus
import shared.exchanges.websocket as venue_websocket
from services.notifier import sender
from shared.exchanges import registry
from shared.exchanges.http import RestLimits
from shared.runtime import consumer
from shared.runtime.config import load_config
from tests.support.simulation import pace
from tests.support.simulation.venue import VenueClient, Words

Change = tuple[Any, str, Any]
_NOBODY = httpx.MockTransport(lambda _: httpx.Response(500))


@contextlib.contextmanager
def in_place(
    connect: Callable[..., Any],
    network: httpx.AsyncBaseTransport | VenueClient,
    words: Words,
    more: Sequence[Change] = (),
) -> Iterator[None]:
    """connect: stands where websockets' `connect` stands; network: where httpx meets it, or httpx itself. words: the venue's."""
    limits = RestLimits(requests_per_second=50.0)

    def make_rest(url: str) -> Any:
        if isinstance(network, VenueClient):
            rest = words.make_rest(url, limits=limits, transport=_NOBODY)
            rest._http._client = network
            return rest
        return words.make_rest(url, limits=limits, transport=network)

    venue = registry.Venue(
        rules=words.rules,
        websocket_url="ws://venue/stream",
        rest_url="http://venue",
        make_rest=make_rest,
        make_feed=words.make_feed,
    )
    loaded = cache(load_config)  # every life of every process reads the same file
    changes: list[Change] = [
        (venue_websocket, "connect", connect),
        (venue_websocket, "_HOUSEKEEPING_SECONDS", pace.HOUSEKEEPING_SECONDS),
        (ingestion_service, "TICK_SECONDS", pace.TICK_SECONDS),
        (ingestion_service, "STATUS_SECONDS", pace.INGESTION_STATUS_SECONDS),
        (consumer, "PULL_WAIT_SECONDS", pace.PULL_WAIT_SECONDS),
        (memory_bus, "_POLL_SECONDS", pace.BUS_POLL_SECONDS),
        (aggregator_main, "_LOOK_SECONDS", pace.LOOK_SECONDS),
        (engine_main, "_LOOK_SECONDS", pace.LOOK_SECONDS),
        (sender, "_IDLE_SECONDS_MAX", pace.SENDER_IDLE_SECONDS),
        *((module, "load_config", loaded) for module in (ingestion_main, aggregator_main, engine_main)),
        (engine_main, "gc", SimpleNamespace(collect=lambda: 0, freeze=lambda: None)),
        *more,
    ]
    before = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    exchange = words.rules.exchange
    known = registry._VENUES[exchange]
    registry._VENUES[exchange] = lambda: venue
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.reset_defaults()
        registry._VENUES[exchange] = known
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)
