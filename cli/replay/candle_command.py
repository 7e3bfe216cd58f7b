"""The command behind `cst replay --candles`: published candles to the same handlers, without a tape."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from cli.folders import make_folder
from cli.replay.biases import load_biases
from cli.replay.candle_reader import CandleFile, closes, read_candles
from cli.replay.command import chosen_strategies, chosen_timeframes
from cli.replay.driver import Pipeline
from cli.replay.outputs import Outputs, peak_rss_mb
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import MacroBias
from shared.domain.checks import check_name
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.runtime.config import load_config

_SYMBOL = re.compile(r"[A-Z0-9]{5,}")


def run_candle_replay(
    *,
    files: Sequence[Path],
    symbols: Sequence[str],
    exchange: str,
    out: Path,
    strategy_names: Sequence[str],
    timeframes: str,
    config_file: Path,
    bias_file: Path | None = None,
) -> dict[str, Any]:
    """Replay the files together and write the results; returns the summary. Every fault is a PermanentError of one line."""
    check_name(exchange, "exchange", "--exchange")
    if symbols and len(symbols) != len(files):
        raise PermanentError(f"one --symbol per --candles is needed, were {len(symbols)} for {len(files)} files")
    strategies = chosen_strategies(load_config(config_file), strategy_names)
    wanted, biases = chosen_timeframes(timeframes), load_biases(bias_file)
    make_folder(out)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    names = list(symbols) or [_symbol_of(path) for path in files]
    if len(set(names)) != len(names):
        raise PermanentError(f"symbols of --candles must differ, were {', '.join(names)}")
    read = [read_candles(path, exchange=exchange, symbol=name) for path, name in zip(files, names, strict=True)]
    if len({file.timeframe for file in read}) > 1:
        kinds = ", ".join(f"{file.symbol} {file.timeframe}" for file in read)
        raise PermanentError(f"all files must hold candles of one timeframe, were {kinds}")
    return asyncio.run(_replay(read, exchange, out, strategies, wanted, biases))


async def _replay(
    files: Sequence[CandleFile],
    exchange: str,
    out: Path,
    strategies: tuple[ActiveStrategy, ...],
    timeframes: tuple[Timeframe, ...],
    biases: Sequence[MacroBias],
) -> dict[str, Any]:
    begin = time.perf_counter()
    base = files[0].timeframe
    pipeline = Pipeline(strategies, biases, base)
    await pipeline.run_closes(closes(files), lambda: None)
    outputs = Outputs(out, pipeline.store, exchange, [file.symbol for file in files])
    there = [timeframe for timeframe in timeframes if timeframe.duration_ms >= base.duration_ms]
    candles = {timeframe.value: await outputs.write_candles(timeframe) for timeframe in there}
    decisions = await outputs.write_decisions([(item.name, item.timeframe) for item in strategies])
    summary = {
        "candles_by_timeframe": candles,
        "filled": {file.symbol: file.filled for file in files},
        "decisions": decisions,
        "signals": await outputs.write_signals(),
        "messages": outputs.write_messages(pipeline.messenger),
        "not_run": _not_run(strategies, base),
        "seconds": round(time.perf_counter() - begin, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_by_stage": {stage: round(spent, 3) for stage, spent in sorted(pipeline.seconds.items())},
    }
    outputs.write_summary(summary)
    _report(summary, out)
    return summary


def _not_run(strategies: Sequence[ActiveStrategy], base: Timeframe) -> dict[str, list[str]]:
    """Strategies that need a timeframe finer than the files', with those timeframes."""
    found = {}
    for active in strategies:
        finer = [
            need.timeframe.value
            for need in active.strategy.needs
            if not need.optional and need.timeframe.duration_ms < base.duration_ms
        ]
        if finer:
            found[active.name] = finer
    return found


def _symbol_of(path: Path) -> str:
    found = _SYMBOL.findall(path.name)
    if not found:
        raise PermanentError(f"the file's name holds no symbol: say --symbol ({path.name})")
    return str(found[0])


def _report(summary: dict[str, Any], out: Path) -> None:
    for name, finer in summary["not_run"].items():
        print(f"not run: {name} needs {', '.join(finer)}, which the candles do not have")
    filled = ", ".join(f"{count} of {symbol}" for symbol, count in summary["filled"].items() if count)
    candles = ", ".join(f"{count} {timeframe}" for timeframe, count in summary["candles_by_timeframe"].items())
    print(
        f"{candles} candles{f' ({filled} filled)' if filled else ''} -> {summary['decisions']:,} decisions, "
        f"{summary['signals']} signals, {summary['messages']} messages in {summary['seconds']:.1f} s; written to {out}"
    )
