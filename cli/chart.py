"""The command behind `cst chart`: one chart as a PNG file, from the store or from a file of candles."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import structlog

from cli.chart_signals import newest_signal
from services.notifier.chart_drawing import draw_chart
from services.notifier.charts import ChartService, ChartUnavailableError, strategy_kinds
from services.notifier.core.chart_model import ChartLook, build_chart_model, build_market_model
from services.notifier.core.chart_values import ChartModel
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import CandleFile, open_candle_file
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.signals import SignalStore

_SIGNAL_ID: Final = re.compile(r"[0-9a-f]{16}")
_BARS_READ: Final = 700  # of a file: the longest window, and what follows an entry
_FILE_NAME: Final = re.compile(r"(?P<exchange>[a-z]+_?[a-z]*)_(?P<symbol>[A-Z0-9]+)_")


class ChartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. subject: a signal id or a symbol; empty with a file."""

    subject: str
    exchange: str
    timeframe: str
    candles: Path | None
    strategy: str
    at: str
    out: Path | None
    look: ChartLook


def make_look(theme: str, scale: float, language: str, zone: str) -> ChartLook:
    """The look from the options; raises PermanentError naming what is unknown."""
    try:
        known = ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise PermanentError(f"--zone must name a time zone like Europe/Berlin, was {zone!r}") from error
    return ChartLook(theme=theme, scale=scale, language=language, zone=known)  # type: ignore[arg-type] # it checks the theme


def run_chart(request: ChartRequest) -> Path:
    """Draw and write the file; returns its path. Every fault is a PermanentError of one line."""
    if request.candles is not None:
        name, picture = _from_file(request.candles, request)
    else:
        name, picture = asyncio.run(_from_store(request))
    out = request.out or Path(f"chart_{name}.png")
    try:
        out.write_bytes(picture)
    except OSError as error:
        raise PermanentError(f"cannot write {out}: {error.strerror}") from error
    return out


def _from_file(file: Path, request: ChartRequest) -> tuple[str, bytes]:
    """The newest candles of the file, or the newest entry of the strategy among them with what followed."""
    source = open_candle_file(file)
    if request.timeframe and request.timeframe != source.timeframe.value:
        raise PermanentError(f"--timeframe must be that of the file, {source.timeframe.value}, was {request.timeframe}")
    model = _model_of(source, request)
    return f"{model.title}_{model.timeframe}", draw_chart(model)


def _model_of(source: CandleFile, request: ChartRequest) -> ChartModel:
    named = _FILE_NAME.match(source.file.name)
    symbol = request.subject or (named["symbol"] if named else source.file.name.partition(".")[0])
    exchange = request.exchange or (named["exchange"].replace("_", "-") if named else "file")
    before_ms = _time_ms(request.at) if request.at else None
    candles = source.candles(exchange, symbol, last=_BARS_READ, before_ms=before_ms)
    if not candles:
        raise PermanentError(f"--at must lie after the first candle of the file, was {request.at} ({source.file})")
    if not request.strategy:
        return build_market_model(candles, look=request.look)
    signal, parameters = newest_signal(request.strategy, candles)
    shown = [c for c in candles if signal.exit is None or c.open_time_ms < signal.exit.closed_at_ms]
    return build_chart_model(signal, shown, parameters=parameters, look=request.look)


async def _from_store(request: ChartRequest) -> tuple[str, bytes]:
    settings = ServiceSettings.load()
    if not request.subject:
        raise PermanentError("name a signal id or a symbol, or give --candles FILE")
    clock = settings.clock()
    async with open_store_and_cache(settings, load_topology(), clock) as (store, _):
        pool = _HerePool()
        kinds = strategy_kinds(load_config(settings.tracker_config))
        charts = ChartService(store=store, cache=None, pool=pool, log=structlog.get_logger(), kinds=kinds)
        timeframe = _timeframe(request.timeframe) if request.timeframe else None
        try:
            if _SIGNAL_ID.fullmatch(request.subject):
                record = await SignalStore(store).get(request.subject)
                if record is None:
                    raise PermanentError(f"there is no signal {request.subject} in the store of {settings.data_dir}")
                picture = await charts.picture(record.signal, timeframe=timeframe, look=request.look)
            else:
                exchange = request.exchange or _exchange_of(settings, request.subject)
                before_ms = _time_ms(request.at) if request.at else clock.market_ms()
                picture = await charts.market_picture(
                    exchange, request.subject, timeframe or Timeframe.M15, before_ms=before_ms, look=request.look
                )
        except ChartUnavailableError as error:
            raise PermanentError(f"no chart of {request.subject}: {error}") from error
    return request.subject, picture


class _HerePool:
    """Draws in this process: there is nobody else to wait."""

    async def draw(self, model: ChartModel) -> bytes:
        return draw_chart(model)

    async def close(self) -> None:
        return


def _exchange_of(settings: ServiceSettings, symbol: str) -> str:
    venues = load_config(settings.tracker_config).venues
    found = [exchange for exchange, venue in venues.items() if symbol in venue.symbols]
    if len(found) != 1:
        raise PermanentError(f"--exchange must say whose {symbol} is meant, one of {', '.join(venues)}")
    return found[0]


def _timeframe(text: str) -> Timeframe:
    try:
        return Timeframe(text)
    except ValueError as error:
        known = ", ".join(timeframe.value for timeframe in Timeframe)
        raise PermanentError(f"--timeframe must be one of {known}, was {text!r}") from error


def _time_ms(text: str) -> int:
    """ISO date and time, UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PermanentError(f"--at must be a time like 2023-03-10T12:00, was {text!r}") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


__all__ = ["ChartRequest", "make_look", "run_chart"]
