"""The command behind `cst chart`: one chart as a PNG file, from the store or from a file of candles."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import structlog

from cli.chart_signals import BARS_READ, Told, candles_wanted, newest_told, strategy_of
from services.notifier.chart_drawing import draw_chart
from services.notifier.charts import ChartService, ChartUnavailableError, strategy_kinds
from services.notifier.core.chart_model import ChartLook, build_chart_model, build_market_model
from services.notifier.core.chart_texts import clip
from services.notifier.core.chart_values import ChartModel, Mark
from shared.domain.candle_runs import without_holes
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import CandleFile, open_candle_file
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.signals import SignalStore

_SIGNAL_ID: Final = re.compile(r"[0-9a-f]{16}")
_BARS_AFTER: Final = 40  # candles shown behind an alert
_FILE_NAME: Final = re.compile(r"(?P<exchange>[a-z]+_?[a-z]*)_(?P<symbol>[A-Z0-9]+)_")


class ChartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. subject: a signal id or a symbol; empty with a file."""

    subject: str
    exchange: str
    timeframe: str
    candles: Path | None
    strategy: str
    config: Path | None
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
    active = strategy_of(request.strategy, source.timeframe, request.config) if request.strategy else None
    wanted = BARS_READ if active is None else candles_wanted(active, source.timeframe)
    candles = source.candles(exchange, symbol, last=wanted, before_ms=before_ms)
    if not candles:
        raise PermanentError(f"--at must lie after the first candle of the file, was {request.at} ({source.file})")
    if active is None:
        return build_market_model(candles, look=request.look)
    whole, _ = without_holes(candles, absent_is_flat=source.absent_is_flat)
    return model_told(newest_told(active, whole), request.look)


def model_told(told: Told, look: ChartLook) -> ChartModel:
    """The chart of a strategy's newest entry, or of its newest alerts."""
    kind, signal = told.active.strategy.name, told.signal
    if signal is None:
        return _model_of_alerts(told, kind, look)
    shown = [c for c in told.candles if signal.exit is None or c.open_time_ms < signal.exit.closed_at_ms]
    return build_chart_model(signal, shown, kind=kind, parameters=told.parameters, look=look)


def _model_of_alerts(told: Told, kind: str, look: ChartLook) -> ChartModel:
    """The market around the candle that raised them, and that candle marked."""
    at_ms, price = told.alerts[0].candle_close_time_ms, told.alerts[0].price
    known = sum(candle.close_time_ms <= at_ms for candle in told.candles)
    shown = told.candles[: known + _BARS_AFTER]
    decimals, later = told.alerts[0].price_decimals, len(shown) - known
    model = build_market_model(shown, kind=kind, price_decimals=decimals, later=later, look=look)
    return msgspec.structs.replace(
        model,
        subtitle=clip(f"{kind} · {', '.join(alert.alert for alert in told.alerts)}"),
        marks=(Mark(kind="entry", bar=model.decision_bar + 0.5, price=price),),
    )


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


__all__ = ["ChartLook", "ChartRequest", "make_look", "model_told", "run_chart"]
