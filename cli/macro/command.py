"""The command behind `cst macro`: biases and regimes over history, as files and as a picture."""

import csv
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.macro.candle_file import pair_of, read_candles
from services.macro_engine.calendar_file import load_calendar
from services.macro_engine.core.candles import Candles, filled, rolled_up
from services.macro_engine.core.daily import DailyRow, DailySeries
from services.macro_engine.core.evaluate import STEP_MS, PairCandles, evaluate
from services.macro_engine.core.regime import RegimeReading, Sources, read_regime
from services.macro_engine.core.versions import Moment, Pair, scored_version
from services.macro_engine.daily_rows import parse_daily
from shared.domain.bias import STRONG_FROM, MacroBias
from shared.domain.errors import InvalidValueError, PermanentError
from shared.domain.timeframe import DAY_MS, Timeframe

CANDLE_BASES: Final = ("SOL", "CRO")  # as the service's default
NO_FILE: Final = "no file is given"
REGIME_COLUMNS: Final = ("date", "at_ms", "regime", "score", "size_multiplier", "dxy", "dominance", "fomc", "missing")


class MacroFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What the history is made of."""

    candles: Path
    dxy: Path | None = None
    dominance: Path | None = None
    fomc: Path | None = None


def run_macro(files: MacroFiles, out: Path, *, pair_name: str | None = None) -> dict[str, Any]:
    """Write biases.jsonl, regimes.csv, summary.json and macro.png; returns the summary. Faults are PermanentErrors of one line."""
    begin = time.perf_counter()
    pair, sources = pair_of(files.candles, pair_name), read_sources(files)
    candles = read_candles(files.candles, pair)
    if candles.timeframe.duration_ms > Timeframe.M15.duration_ms:
        raise PermanentError(f"the bias needs candles of 15m at most, was {candles.timeframe} ({files.candles})")
    whole, absent = filled(candles)
    refused: Counter[str] = Counter()
    biases = list(bias_history(pair, whole, candles, sources, refused))
    regimes = list(regime_history(sources, biases))
    seconds = time.perf_counter() - begin
    out.mkdir(parents=True, exist_ok=True)
    (out / "biases.jsonl").write_bytes(b"".join(msgspec.json.encode(bias) + b"\n" for bias in biases))
    _write_regimes(out / "regimes.csv", regimes)
    summary = {
        "pair": str(pair),
        "candles": candles.size,
        "timeframe": candles.timeframe.value,
        "absent_candles_taken_as_without_trades": absent,
        "evaluations": len(biases),
        "directions": dict(Counter(bias.direction.value for bias in biases)),
        "strong": sum(bias.confidence >= STRONG_FROM for bias in biases),
        "not_evaluated": dict(refused.most_common()),
        "days": len(regimes),
        "regimes": dict(Counter(reading.regime.value for _, reading in regimes)),
        "seconds": round(seconds, 3),
    }
    (out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    from cli.macro.picture import draw_macro

    draw_macro(out / "macro.png", pair, rolled_up(whole, Timeframe.M15), biases, regimes)
    print(
        f"{pair}: {len(biases):,} biases ({summary['strong']} strong), {len(regimes):,} days of regimes in {seconds:.1f} s; "
        f"{absent} absent candles taken as without trades; written to {out}"
    )
    return summary


def read_sources(files: MacroFiles) -> Sources:
    """The regime's inputs as far as files are given."""
    given = {"dxy": files.dxy, "dominance": files.dominance, "fomc": files.fomc}
    return Sources(
        dxy=DailySeries(_daily(files.dxy, "dxy"), "dxy") if files.dxy else None,
        dominance=DailySeries(_daily(files.dominance, "dominance"), "dominance") if files.dominance else None,
        fomc=load_calendar(files.fomc) if files.fomc else None,
        missing={name: NO_FILE for name, file in given.items() if file is None},
    )


def bias_history(
    pair: Pair, whole: Candles, given: Candles, sources: Sources, refused: Counter[str]
) -> Iterator[MacroBias]:
    """The version of every 15m close, as a run at that close would have published it; what cannot be scored is counted.

    given: the candles of the file; where none of them lies in the newest quarter of an hour, an evaluation would be stale.
    """
    # Rolled up from the same candles, 5m ones would be no witness against the 15m ones.
    known = PairCandles(five=None, fifteen=rolled_up(whole, Timeframe.M15), four_hours=rolled_up(whole, Timeframe.H4))
    traded = rolled_up(given, Timeframe.M15).table[:, 0].astype(int).tolist()
    for open_time_ms in traded:
        as_of_ms = open_time_ms + STEP_MS
        try:
            score = evaluate(known, as_of_ms, age_ms_max=0, candle_decides=pair.base in CANDLE_BASES)
        except InvalidValueError as error:
            refused[str(error).partition(":")[0]] += 1
            continue
        reading = read_regime(sources, as_of_ms)
        notes = tuple(f"{name}: {reason}" for name, reason in sorted(reading.missing.items()))
        yield scored_version(pair, score, reading, Moment(as_of_ms=as_of_ms, published_at_ms=as_of_ms, notes=notes))


def regime_history(sources: Sources, biases: Sequence[MacroBias]) -> Iterator[tuple[int, RegimeReading]]:
    """The regime at 00:00 UTC of every day that a daily source covers, else of every day of the biases."""
    rows = [row for series in (sources.dxy, sources.dominance) if series for row in series.rows]
    days = [row.counts_from_ms for row in rows] or [bias.version - bias.version % DAY_MS for bias in biases]
    if days:
        for at_ms in range(min(days), max(days) + 1, DAY_MS):
            yield at_ms, read_regime(sources, at_ms)


def _daily(file: Path, name: str) -> list[DailyRow]:
    """Rows of a CSV with Date and Close, or of the JSON that the HTTP sources answer."""
    try:
        body = file.read_bytes()
        if file.suffix != ".csv":
            return parse_daily(body, f"{name}, {file}")
        rows = list(csv.DictReader(body.decode().splitlines()))
        return msgspec.convert(
            [{"date": row.get("Date", row.get("date")), "close": row.get("Close", row.get("close"))} for row in rows],
            list[DailyRow],
            strict=False,
        )
    except OSError as error:
        raise PermanentError(f"--{name} cannot be read: {error.strerror} ({file})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, csv.Error) as error:
        raise PermanentError(f"--{name} needs columns Date and Close: {error} ({file})") from error


def _write_regimes(file: Path, regimes: Sequence[tuple[int, RegimeReading]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(REGIME_COLUMNS)
        for at_ms, reading in regimes:
            parts = [reading.components.get(f"regime.{name}", "") for name in ("dxy", "dominance", "fomc")]
            missing = " ".join(sorted(reading.missing))
            date = time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000))
            size = reading.regime.size_multiplier
            writer.writerow([date, at_ms, reading.regime.value, repr(reading.score), size, *parts, missing])
