"""Our candle beside the venue's kline of the same time, under the rule by which the venue makes its klines."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from shared.domain.candles import Candle
from shared.domain.decimals import plain_text
from shared.domain.klines import Kline

# Venues round quote volumes to eight decimals or to the asset's; a lost trade is far beyond this share of a minute's sum.
_QUOTE_SHARE_MAX: Final = Decimal("1e-7")
_QUOTE_ROUNDING: Final = Decimal("1e-7")


class Difference(msgspec.Struct, frozen=True):
    """One figure that both say otherwise, as plain text."""

    field: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.field} {self.ours} ours, {self.theirs} the venue's"


def differences(
    candle: Candle, kline: Kline, *, opens_at_previous_close: bool, previous_close: float | None
) -> list[Difference]:
    """Every figure that differs; empty where both agree.

    opens_at_previous_close: the venue's open is the close before, and its high and low include it; without that close the
                             open is not compared, nor high and low where the venue's own open reaches them.
    """
    ours = _as_the_venue(candle, kline, previous_close) if opens_at_previous_close else _figures(candle)
    theirs = {"open": kline.open, "high": kline.high, "low": kline.low, "close": kline.close}
    found = [
        Difference(name, plain_text(ours[name]), plain_text(theirs[name]))
        for name in theirs
        if ours[name] != theirs[name]
    ]
    if candle.volume != kline.volume:
        found.append(Difference("volume", plain_text(candle.volume), plain_text(kline.volume)))
    apart = abs(candle.quote_volume - kline.quote_volume)
    if apart > _QUOTE_ROUNDING and apart > kline.quote_volume * _QUOTE_SHARE_MAX:
        found.append(Difference("quote_volume", plain_text(candle.quote_volume), plain_text(kline.quote_volume)))
    if None not in {candle.trade_count, kline.trade_count} and candle.trade_count != kline.trade_count:
        found.append(Difference("trade_count", str(candle.trade_count), str(kline.trade_count)))
    return found


def _figures(candle: Candle) -> Mapping[str, float]:
    return {"open": candle.open, "high": candle.high, "low": candle.low, "close": candle.close}


def _as_the_venue(candle: Candle, kline: Kline, previous_close: float | None) -> Mapping[str, float]:
    opened = kline.open if previous_close is None else previous_close
    return {
        "open": opened,
        "high": max(candle.high, opened),
        "low": min(candle.low, opened),
        "close": candle.close,
    }
