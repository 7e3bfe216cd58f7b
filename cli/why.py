"""The command behind `cst why`: the explanation of one candle, from the store alone."""

import asyncio
from zoneinfo import ZoneInfo

import msgspec

from services.notifier.core.commands import MalformedError, market_of, time_of, timeframe_of
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.texts import plain_text
from services.notifier.core.voice import Voice
from services.notifier.core.why_texts import why_text
from services.notifier.why import Why
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.config import TrackerConfig, load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology


class WhyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. at: empty for the newest decided candle; zone: of times read and written."""

    symbol: str
    timeframe: str
    at: str
    language: str
    zone: str


def run_why(request: WhyRequest) -> str:
    """The text. Every fault is a PermanentError of one line."""
    if request.language not in LANGUAGES:
        raise PermanentError(f"--language must be one of {', '.join(LANGUAGES)}, was {request.language!r}")
    try:
        voice = Voice(words=LANGUAGES[request.language], zone=ZoneInfo(request.zone))
    except (KeyError, ValueError, OSError) as error:
        raise PermanentError(f"--zone must name a time zone like Europe/Berlin, was {request.zone!r}") from error
    return asyncio.run(_explain(request, voice))


async def _explain(request: WhyRequest, voice: Voice) -> str:
    settings = ServiceSettings.load()
    config = load_config(settings.tracker_config)
    clock = settings.clock()
    markets = [(exchange, symbol) for exchange, venue in config.venues.items() for symbol in venue.symbols]
    try:
        exchange, symbol = market_of(request.symbol, markets)
        timeframe = timeframe_of(request.timeframe or _usual_timeframe(config))
        at_ms = time_of(request.at, voice.zone, clock.market_ms()) if request.at else None
    except MalformedError as error:
        known = ", ".join(symbol for _, symbol in markets)
        rule = "name a followed symbol, a timeframe and a time like 2026-11-20T13:05"
        raise PermanentError(f"{rule}, was {str(error)!r} (symbols: {known})") from error
    async with open_store_and_cache(settings, load_topology(), clock) as (store, _):
        why = Why(store, config)
        found = await why.explain(exchange, symbol, timeframe, at_ms=at_ms, now_ms=clock.market_ms())
    return plain_text(why_text(voice, found.decisions, found.missing))


def _usual_timeframe(config: TrackerConfig) -> str:
    enabled = config.enabled_strategies
    return enabled[0].timeframe.value if enabled else Timeframe.M1.value
