"""Charts of made-up candles that show what a chart can show, and what could break one."""

import math
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from services.notifier.core.chart_model import ChartLook, build_chart_model, build_market_model
from services.notifier.core.chart_values import ChartModel, Cloud, Line, Pane, Tick
from shared.domain.bias import Direction
from shared.domain.candles import Candle
from shared.domain.identity import signal_id
from shared.domain.signals import ExitReason, Signal
from shared.domain.timeframe import Timeframe
from tests.support.signals import FIRST_OPEN_MS, a_signal, closed, some_candles

DARK = ChartLook(scale=1.0)
LIGHT = ChartLook(theme="light", scale=1.0)
STRANGE_SYMBOL = "<b>&$PEPE$WWWMW币安_1000000USDT"


def chart_cases() -> dict[str, ChartModel]:
    """Every case by its name: the same models on every machine."""
    return {
        "open_long": _open_long(),
        "closed_at_take_profit_light": _closed_at_take_profit(),
        "short_stopped": _short_stopped(),
        "crowded_levels": _crowded_levels(),
        "levels_far_outside": _levels_far_outside(),
        "tiny_price": _tiny_price(),
        "one_candle": _one_candle(),
        "flat_market": _flat_market(),
        "strange_symbol_and_conditions": _strange_symbol(),
        "clouds_curves_two_panes": _clouds_and_panes(),
        "vietnamese": _vietnamese(),
        "bollinger_light": _bollinger(),
        "market_with_holes_light": _market_with_holes(),
    }


def ending_at(candles: list[Candle], close: float) -> list[Candle]:
    """The candles with the last one closing there."""
    last = candles[-1]
    high, low = max(last.high, close), min(last.low, close)
    return [*candles[:-1], msgspec.structs.replace(last, close=close, high=high, low=low)]


def renamed(signal: Signal, **changes: object) -> Signal:
    """The signal with other values and the id that belongs to them."""
    named = {name: changes.get(name, getattr(signal, name)) for name in _IDENTITY}
    return msgspec.structs.replace(signal, **changes, signal_id=signal_id(**named))


_IDENTITY = ("strategy", "trigger", "exchange", "symbol", "timeframe", "candle_open_time_ms", "side")


def _open_long() -> ChartModel:
    candles = some_candles()
    signal = msgspec.structs.replace(a_signal(entry_price=candles[-1].close), bias="LONG 85 (binding, version 3)")
    early = {candle.open_time_ms: "SHORT 72 (not binding, version 1)" for candle in candles[:40]}
    late = {candle.open_time_ms: "LONG 85 (binding, version 3)" for candle in candles[70:]}
    between = {candle.open_time_ms: "NEUTRAL 40 (not binding, version 2)" for candle in candles[40:70]}
    parameters = {"rsi_period": 14, "oversold": 25.0, "overbought": 75.0}
    return build_chart_model(
        signal, candles, parameters=parameters, bias_by_open_ms={**early, **between, **late}, look=DARK
    )


def _closed_at_take_profit() -> ChartModel:
    candles = some_candles(count=150, seed=4)
    signal = a_signal(entry_price=candles[119].close)
    return build_chart_model(closed(signal), _rising_to(candles, signal.take_profit, 142)[:146], look=LIGHT)


def _short_stopped() -> ChartModel:
    candles = some_candles(price=3_000.0, seed=7)
    signal = a_signal("ETHUSDT", side=Direction.SHORT, entry_price=candles[-1].close)
    return build_chart_model(closed(signal, ExitReason.STOP_LOSS, minutes=500), _named(candles, "ETHUSDT"), look=DARK)


def _crowded_levels() -> ChartModel:
    candles = some_candles(seed=3)
    entry = candles[-1].close
    signal = msgspec.structs.replace(
        a_signal(entry_price=entry), take_profit=round(entry * 1.0003, 2), stop_loss=round(entry * 0.9998, 2)
    )
    ended = closed(signal, ExitReason.EXPIRED)
    exit_ = msgspec.structs.replace(ended.exit, price=round(entry * 1.0001, 2), pnl_pct=0.01)
    return build_chart_model(msgspec.structs.replace(ended, exit=exit_), candles, look=DARK)


def _levels_far_outside() -> ChartModel:
    candles = some_candles(price=98_000.0, seed=5)
    signal = a_signal(entry_price=candles[-1].close)
    far = msgspec.structs.replace(signal, take_profit=150_000.0, stop_loss=50_000.0)
    return build_chart_model(far, candles, look=DARK)


def _tiny_price() -> ChartModel:
    scaled = [_scaled(candle, 1.23e-6 / 60_000) for candle in some_candles("1000SATSUSDT", seed=6)]
    signal = a_signal("1000SATSUSDT", entry_price=scaled[-1].close, price_decimals=10)
    return build_chart_model(signal, scaled, look=DARK)


def _one_candle() -> ChartModel:
    candles = some_candles(count=1)
    return build_chart_model(
        a_signal(entry_price=candles[0].close, candle_open_time_ms=FIRST_OPEN_MS), candles, look=DARK
    )


def _flat_market() -> ChartModel:
    flat = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": Decimal(0), "quote_volume": Decimal(0)}
    candles = [msgspec.structs.replace(candle, **flat) for candle in some_candles("USDCUSDT")]
    return build_chart_model(a_signal("USDCUSDT", entry_price=1.0, price_decimals=4), candles, look=DARK)


def _strange_symbol() -> ChartModel:
    candles = _named(some_candles(seed=8), STRANGE_SYMBOL)
    signal = renamed(
        a_signal(entry_price=candles[-1].close), symbol=STRANGE_SYMBOL, strategy="my_strategy", trigger="very_" * 20
    )
    return build_chart_model(signal, candles, look=DARK)


def _clouds_and_panes() -> ChartModel:
    model = _open_long()
    bars = range(len(model.close))
    middle = [
        sum(model.close[max(0, bar - 12) : bar + 1]) / len(model.close[max(0, bar - 12) : bar + 1]) for bar in bars
    ]
    fast = tuple(None if bar < 5 else value + 40 * math.cos(bar / 15) for bar, value in zip(bars, middle, strict=True))
    slow = tuple(None if bar < 9 else value + 40 * math.sin(bar / 8) for bar, value in zip(bars, middle, strict=True))
    wave = tuple(math.sin(bar / 6) for bar in bars)
    pane = Pane(
        title="MACD",
        low=-1.2,
        high=1.2,
        lines=(
            Line(name="8/24", values=wave, colour="third"),
            Line(name="9", values=(None, None, *wave[:-2]), colour="second", dashed=True),
        ),
        bars=(None, *(value * 0.6 for value in wave[1:])),
        ticks=(Tick(0.0, "0"),),
        told=Tick(wave[-1], f"{wave[-1]:.2f}"),
    )
    return msgspec.structs.replace(
        _laid_out_for_two(model),
        clouds=(Cloud(upper=fast, lower=slow, colour="up", colour_below="down"),),
        lines=(Line(name="EMA 9", values=fast, colour="second"), Line(name="EMA 21", values=slow, colour="third")),
        panes=(pane, *model.panes),
    )


def _vietnamese() -> ChartModel:
    candles = some_candles(seed=13)
    signal = closed(a_signal(side=Direction.SHORT, entry_price=candles[-1].close), ExitReason.EXPIRED)
    look = ChartLook(scale=1.0, language="vi", zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    return build_chart_model(signal, candles, look=look)


def _bollinger() -> ChartModel:
    candles = some_candles(count=150, seed=12)
    signal = renamed(
        a_signal(entry_price=candles[119].close, side=Direction.LONG), strategy="bollinger", trigger="bollinger"
    )
    return build_chart_model(signal, candles, parameters={"window": 20, "deviations": 2.0}, look=LIGHT)


def _market_with_holes() -> ChartModel:
    step = Timeframe.H4.duration_ms
    first = Timeframe.H4.open_time_ms(FIRST_OPEN_MS)
    candles = [
        msgspec.structs.replace(candle, timeframe=Timeframe.H4, open_time_ms=first + bar * step)
        for bar, candle in enumerate(some_candles("SOLUSDT", count=130, price=142.5, seed=9))
        if bar not in {40, 41, 42, 90}
    ]
    return build_market_model(candles, look=LIGHT)


def _laid_out_for_two(model: ChartModel) -> ChartModel:
    """With two panes the price pane is lower, and its labels need more of it."""
    from services.notifier.core.chart_levels import level_labels

    lines = [(level.kind, level.price, level.label) for level in model.levels]
    return msgspec.structs.replace(model, levels=level_labels(lines, model.price_low, model.price_high, pane_count=2))


def _rising_to(candles: list[Candle], price: float, bar: int) -> list[Candle]:
    """After the Decision's candle the market rises to reach the price in that bar."""
    start = candles[119].close
    risen = []
    for index, candle in enumerate(candles):
        share = min(1.0, max(0, index - 119) / (bar - 119))
        factor = 1 + (price / start - 1) * share * (1.02 - 0.02 * math.cos(index))
        risen.append(_scaled(candle, factor * (start / candle.close) ** (share > 0)))
    return risen


def _scaled(candle: Candle, factor: float) -> Candle:
    prices = {name: round(getattr(candle, name) * factor, 10) for name in ("open", "high", "low", "close")}
    return msgspec.structs.replace(candle, **prices)


def _named(candles: list[Candle], symbol: str) -> list[Candle]:
    return [msgspec.structs.replace(candle, symbol=symbol) for candle in candles]
