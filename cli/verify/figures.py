"""What `cst verify` counts, and the table it prints. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from rich.table import Table

from shared.domain.candles import Candle, CandleQuality
from shared.domain.kline_rules import Difference, differences
from shared.domain.klines import Kline


class SymbolFigures(msgspec.Struct, kw_only=True):
    """One symbol. verified: candles that equal the venue's. first_difference: the first unexplained one, else the first."""

    symbol: str
    candles: int = 0
    complete: int = 0
    repaired: int = 0
    partial: int = 0
    verified: int = 0
    first_difference: str = ""
    unexplained: int = 0


def count(symbol: str, minutes: Sequence[Candle]) -> SymbolFigures:
    """By quality, of one-minute candles."""
    qualities = [candle.quality for candle in minutes]
    return SymbolFigures(
        symbol=symbol,
        candles=len(minutes),
        complete=sum(one in {CandleQuality.COMPLETE, CandleQuality.VERIFIED} for one in qualities),
        repaired=sum(one in {CandleQuality.REPAIRED, CandleQuality.REPAIRED_KLINE} for one in qualities),
        partial=qualities.count(CandleQuality.PARTIAL),
    )


def compare(
    figures: SymbolFigures, candles: Sequence[Candle], klines: Mapping[int, Kline], *, opens_at_previous_close: bool
) -> None:
    """Count the candles that equal the venue's, and note the first difference; one of a candle that misses minutes is
    explained by them.
    """
    previous: Candle | None = None
    for candle in candles:
        kline = klines.get(candle.open_time_ms)
        close = previous.close if previous is not None and previous.close_time_ms == candle.open_time_ms else None
        previous = candle
        if kline is None:
            continue
        found = differences(candle, kline, opens_at_previous_close=opens_at_previous_close, previous_close=close)
        if not found:
            figures.verified += 1
        else:
            note(figures, candle, found)


def note(figures: SymbolFigures, candle: Candle, found: Sequence[Difference]) -> None:
    """Keep the first difference; an unexplained one goes before."""
    explained = candle.missing_minutes > 0
    if figures.first_difference and (explained or figures.unexplained):
        figures.unexplained += not explained
        return
    figures.unexplained += not explained
    at = datetime.fromtimestamp(candle.open_time_ms / 1000, tz=UTC)
    reason = f" (explained: {candle.missing_minutes} minutes are partial)" if explained else ""
    figures.first_difference = f"{at:%Y-%m-%d %H:%M} {candle.timeframe}: {found[0]}{reason}"


def table_of(rows: Sequence[SymbolFigures]) -> Table:
    """One line per symbol."""
    table = Table()
    table.add_column("symbol")
    for name in ("candles", "complete", "repaired", "partial", "verified"):
        table.add_column(name, justify="right")
    table.add_column("first difference", overflow="fold")
    for row in rows:
        numbers = (row.candles, row.complete, row.repaired, row.partial, row.verified)
        table.add_row(row.symbol, *(f"{number:,}" for number in numbers), row.first_difference or "none")
    return table
