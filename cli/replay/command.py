"""The command behind `cst replay`."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.folders import make_folder
from cli.replay.batches import BatchMaker
from cli.replay.biases import load_biases
from cli.replay.driver import Pipeline
from cli.replay.kernel import NUMBER
from cli.replay.outputs import Outputs, peak_rss_mb
from cli.replay.reader import OtherIdsFoundError, RefusedRow, TapeReader
from cli.replay.reader import warm_up as warm_up_reader
from cli.replay.recorded import RecordedTape
from cli.replay.refusals import refused_trades
from cli.replay.screen import TimeLimits
from cli.tape.export import batches_file
from services.logic_engine.configured import active_strategies
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import MacroBias
from shared.domain.checks import check_name
from shared.domain.errors import PermanentError
from shared.domain.splitting import warm_up as warm_up_splitting
from shared.domain.timeframe import Timeframe
from shared.runtime.config import TrackerConfig, load_config

_REFUSED_SHOWN = 5
# The decoding thread needs the interpreter for moments between its long compiled calls; at the usual 5 ms a time it would
# fall behind the services, which then wait for it.
_SWITCH_SECONDS = 0.0005
_Result = TypeVar("_Result")


def run_replay(
    *,
    trades: Path,
    exchange: str,
    out: Path,
    strategy_names: Sequence[str],
    timeframes: str,
    config_file: Path,
    bias_file: Path | None = None,
    limits: TimeLimits | None = None,
) -> dict[str, Any]:
    """Replay the tape and write the results; returns the summary. Every fault is a PermanentError of one line.

    bias_file: the macro biases in force; without one none is. limits: which times of a row are believed. What is refused stands in refused.jsonl, everything else goes on.
    """
    check_name(exchange, "exchange", "--exchange")
    strategies = chosen_strategies(load_config(config_file), strategy_names)
    wanted, biases = chosen_timeframes(timeframes), load_biases(bias_file)
    make_folder(out)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50)
    )  # results speak; refusals are in a file
    gc.disable()  # a replay makes millions of small values and no cycles: looking for some costs a fifth of its time
    switch_seconds = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    warm_up_reader()  # as the services do before their first batch
    warm_up_splitting()
    batches = batches_file(trades)
    try:
        if batches.is_file():  # an exported tape: its own batches and watermarks
            tape = RecordedTape(trades, batches)
            return asyncio.run(_replay(tape, tape, exchange, out, strategies, wanted, biases))
        return reading_until_ids_fit(
            trades,
            limits,
            lambda reader: _replay(reader, BatchMaker(reader, exchange), exchange, out, strategies, wanted, biases),
        )
    finally:
        gc.enable()
        sys.setswitchinterval(switch_seconds)


def reading_until_ids_fit(
    trades: Path, limits: TimeLimits | None, replay: Callable[[TapeReader], Coroutine[Any, Any, _Result]]
) -> _Result:
    """What `replay` makes of the tape; it is read again where a wider kind of trade id shows on the way."""
    ids_kind = NUMBER
    while True:
        try:
            return asyncio.run(replay(TapeReader(trades, ids_kind=ids_kind, limits=limits)))
        except OtherIdsFoundError as found:  # kinds only widen: at most three readings
            ids_kind = found.kind


def chosen_strategies(config: TrackerConfig, names: Sequence[str]) -> tuple[ActiveStrategy, ...]:
    """The strategies of the configuration that are enabled, or those named; raises PermanentError for an unknown name."""
    known = [item.name for item in config.strategies]
    for name in names:
        if name not in known:
            raise PermanentError(f"--strategy must name one of the configuration ({', '.join(known)}), was {name!r}")
    if names:
        chosen = tuple(item.model_copy(update={"enabled": item.name in names}) for item in config.strategies)
        config = config.model_copy(update={"strategies": chosen})
    return active_strategies(config)


def chosen_timeframes(text: str) -> tuple[Timeframe, ...]:
    """Timeframes from a list such as `1m,5m`; all for an empty text."""
    if not text:
        return tuple(Timeframe)
    try:
        return tuple(Timeframe(part.strip()) for part in text.split(","))
    except ValueError as error:
        known = ", ".join(timeframe.value for timeframe in Timeframe)
        raise PermanentError(f"--timeframes must be a list of {known}, was {text!r}") from error


async def _replay(
    reader: TapeReader | RecordedTape,
    maker: BatchMaker | RecordedTape,
    exchange: str,
    out: Path,
    strategies: tuple[ActiveStrategy, ...],
    timeframes: tuple[Timeframe, ...],
    biases: Sequence[MacroBias],
) -> dict[str, Any]:
    trades = reader.path
    pipeline = Pipeline(strategies, biases)
    begin = time.perf_counter()
    with _progress(trades) as progress:
        await pipeline.run(maker, _bar(progress, reader, maker, trades))
    if not maker.trade_count:
        raise PermanentError(f"the tape holds no good trade ({trades}, {len(reader.refused)} rows refused)")
    seconds = time.perf_counter() - begin
    outputs = Outputs(out, pipeline.store, exchange, reader.symbols)
    turned_away = refused_trades(trades.name, await pipeline.refused())
    refused = [*reader.refused, *turned_away]
    summary = await _write(outputs, pipeline, strategies, timeframes, refused)
    spine_seconds = seconds - pipeline.seconds["decode"]
    summary = {
        "trades": maker.trade_count,
        **summary,
        "refused_rows": len(reader.refused),
        "refused_trades": len(turned_away),
        "seconds": round(seconds, 3),
        "trades_per_second": round(maker.trade_count / spine_seconds),
        "trades_per_second_with_decoding": round(maker.trade_count / seconds),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_by_stage": {stage: round(spent, 3) for stage, spent in sorted(pipeline.seconds.items())},
    }
    outputs.write_summary(summary)
    _report(summary, refused, out)
    return summary


async def _write(
    outputs: Outputs,
    pipeline: Pipeline,
    strategies: tuple[ActiveStrategy, ...],
    timeframes: tuple[Timeframe, ...],
    refused: Sequence[RefusedRow],
) -> dict[str, Any]:
    candles = {timeframe.value: await outputs.write_candles(timeframe) for timeframe in timeframes}
    decisions = await outputs.write_decisions([(item.name, item.timeframe) for item in strategies])
    signals = await outputs.write_signals()
    messages = outputs.write_messages(pipeline.messenger)
    outputs.write_refused(refused)
    return {
        "candles": sum(candles.values()),
        "candles_by_timeframe": candles,
        "decisions": decisions,
        "signals": signals,
        "messages": messages,
    }


def _progress(trades: Path) -> Progress:
    return Progress(
        TextColumn(trades.name),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % {task.fields[trades]:,} trades"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
        disable=not sys.stderr.isatty(),
    )


def _bar(
    progress: Progress, reader: TapeReader | RecordedTape, maker: BatchMaker | RecordedTape, trades: Path
) -> Callable[[], None]:
    task = progress.add_task("replay", total=max(1, trades.stat().st_size if trades.is_file() else 1), trades=0)
    shown = 0

    def update() -> None:
        nonlocal shown
        if reader.bytes_read != shown:  # once per chunk read, not once per batch
            shown = reader.bytes_read
            progress.update(task, completed=shown, trades=maker.trade_count)

    return update


def _report(summary: dict[str, Any], refused: Sequence[RefusedRow], out: Path) -> None:
    for row in refused[:_REFUSED_SHOWN]:
        place = row.file if row.line is None else f"{row.file} line {row.line}"
        print(f"refused: {place}: {row.reason}: {row.text}", file=sys.stderr)
    if len(refused) > _REFUSED_SHOWN:
        print(f"… and {len(refused) - _REFUSED_SHOWN} more: {out}/refused.jsonl", file=sys.stderr)
    candles = ", ".join(f"{count} {timeframe}" for timeframe, count in summary["candles_by_timeframe"].items())
    print(
        f"{summary['trades']:,} trades -> {candles} candles, {summary['decisions']:,} decisions, "
        f"{summary['signals']} signals, {summary['messages']} messages in {summary['seconds']:.1f} s "
        f"({summary['trades_per_second_with_decoding']:,} trades/s with decoding, "
        f"{summary['peak_rss_mb']:.0f} MB); written to {out}"
    )
