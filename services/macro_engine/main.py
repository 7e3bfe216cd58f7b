"""The macro engine's two entries: `run_signal_generation`, a Cloud Function for HTTP and CloudEvents, and a wall-clock timer.

functions-framework --source services/macro_engine/main.py --target run_signal_generation [--signature-type cloudevent]
python -m services.macro_engine.main
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from services.macro_engine.core.versions import Pair
from services.macro_engine.handlers import MacroEngine, RunReport
from services.macro_engine.memory import Memory
from services.macro_engine.settings import Settings
from services.macro_engine.sources import RegimeSources
from shared.domain.errors import PermanentError, TransientError
from shared.domain.pairs import base_and_quote
from shared.exchanges.kraken.instruments import common_asset, common_symbol
from shared.exchanges.kraken.rest import KrakenRest
from shared.runtime.config import TrackerConfig, load_config
from shared.runtime.consumer import wait_or_stop
from shared.runtime.logs import configure_logging, redact
from shared.runtime.service import ServiceContext, open_context, run_service

NAME: Final = "macro_engine"
_REPORT_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 20.0
_JSON: Final = {"Content-Type": "application/json"}
Context = ServiceContext[Settings]


def run_signal_generation(trigger: Any) -> tuple[bytes, int, dict[str, str]]:
    """Run once. trigger: a Flask request (HTTP, or a push of Pub/Sub) or a CloudEvent; all of them only say "now".

    Answers 200 with the run's report, also where some pairs failed. What may pass by a repeat (store or bus away) is 503,
    a wrong setting 500; for a CloudEvent it is raised, so that the event comes again.
    """
    is_request = hasattr(trigger, "headers") and hasattr(trigger, "method")
    try:
        settings = _prepared()
        log = structlog.get_logger().bind(service=NAME, trigger=_name_of(trigger, is_request=is_request))
        report = asyncio.run(_run_once(settings, log))
    except (TransientError, PermanentError, OSError) as error:
        if not is_request:
            raise
        status = (
            HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(error, PermanentError) else HTTPStatus.SERVICE_UNAVAILABLE
        )
        structlog.get_logger().error("macro_run_failed", service=NAME, error=str(error))
        return msgspec.json.encode({"error": redact(str(error))}), status, _JSON
    return msgspec.json.encode(report), HTTPStatus.OK, _JSON


@functools.cache
def _prepared() -> Settings:
    settings = Settings.load()
    configure_logging(settings)
    return settings


def _name_of(trigger: Any, *, is_request: bool) -> str:
    """Which message it was, for the log."""
    if not is_request:
        return f"cloudevent {trigger['id']}"
    body = trigger.get_json(silent=True)
    message = body.get("message") if isinstance(body, dict) else None
    return f"push {message.get('messageId')}" if isinstance(message, dict) else f"http {trigger.method}"


async def _run_once(settings: Settings, log: Any) -> RunReport:
    async with open_context(NAME, settings) as context:
        context.log = log
        async with _engine(context) as engine:
            return await engine.run()


@contextlib.asynccontextmanager
async def _engine(context: Context) -> AsyncIterator[MacroEngine]:
    settings = context.settings
    venue = KrakenRest(settings.kraken_rest_url, limits=settings.venue_limits())
    urls = {"dxy": settings.dxy_url, "dominance": settings.dominance_url}
    sources = RegimeSources(
        Memory(context.store),
        urls={name: url.get_secret_value() if url else None for name, url in urls.items()},
        calendar=settings.fomc_calendar,
        timeout_seconds=settings.source_timeout_seconds,
    )
    try:
        yield MacroEngine(
            store=context.store,
            bus=context.bus,
            clock=context.clock,
            venue=venue,
            sources=sources,
            pairs=pairs_of(load_config(settings.tracker_config)),
            limits=settings.limits(),
            log=context.log,
        )
    finally:
        await venue.close()


def pairs_of(config: TrackerConfig) -> list[Pair]:
    """The (base, quote) of every symbol of the configuration, each once; symbols without a known quote have no bias."""
    found = (base_and_quote(common_symbol(symbol)) for venue in config.venues.values() for symbol in venue.symbols)
    return list(dict.fromkeys(Pair(base, common_asset(quote)) for base, quote in found if quote))


async def start(context: Context) -> None:
    """The timer: run now, then a moment after every full interval of wall time. A failed run is tried again soon."""
    settings = context.settings
    async with _engine(context) as engine:
        status: dict[str, object] = {"regime": "none yet"}
        due_at = 0.0
        while not context.stopping.is_set():
            await context.report_status(status)
            if time.time() < due_at:
                await wait_or_stop(context.stopping, min(_REPORT_SECONDS, due_at - time.time()))
                continue
            try:
                status = _status(await _until_stopped(context, engine))
                due_at = _next_due(time.time(), settings.every_seconds, settings.offset_seconds)
            except (TransientError, PermanentError) as error:
                context.log.warning("will_try_again", error=str(error), delay_seconds=_RETRY_SECONDS)
                status = {**status, "failed": str(error)}
                due_at = time.time() + min(_RETRY_SECONDS, settings.every_seconds)


async def _until_stopped(context: Context, engine: MacroEngine) -> RunReport | None:
    """The run's report; None where the service stops first: what a run has not published, the next one does."""
    run, stop = asyncio.ensure_future(engine.run()), asyncio.ensure_future(context.stopping.wait())
    await asyncio.wait({run, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if run.done():
        return run.result()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return None


def _next_due(now: float, every_seconds: float, offset_seconds: float) -> float:
    """The next full interval plus the offset; Kraken commits its candles some seconds after the full quarter."""
    return ((now - offset_seconds) // every_seconds + 1) * every_seconds + offset_seconds


def _status(report: RunReport | None) -> dict[str, object]:
    if report is None:
        return {}
    made = len(report.published) + len(report.repeated)
    return {"regime": report.regime, "score": round(report.score, 3), "pairs": made, "missing": len(report.missing)}


if __name__ == "__main__":
    run_service(NAME, Settings, start)
