"""Makers of curves and panes, each from columns of candles and a Decision's parameters. NumPy only, no kernel is loaded.

The arguments of a maker name the strategy's parameters; where the Decision has no such parameter, the default beside it holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from services.notifier.core.chart_curves import Columns, FloatArray, Maker, curve, fitted, number, told
from services.notifier.core.chart_values import Cloud, Line, Pane, Tick
from shared.indicators import plain

Shown = Sequence[Cloud | Line | Pane]
_ZERO: Final = (Tick(0.0, "0"),)


def rsi(period: str = "rsi_period", low: str = "oversold", high: str = "overbought") -> Maker:
    """A pane with Wilder's RSI (14) between two thresholds (30, 70)."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length = round(number(parameters, period, 14))
        bounds = (number(parameters, low, 30.0), number(parameters, high, 70.0))
        line = curve(columns, plain.wilder_rsi(columns.close, length), "", "first")
        pane = Pane(
            title=f"RSI {length}",
            low=0.0,
            high=100.0,
            lines=(line,),
            thresholds=bounds,
            band=bounds,
            ticks=tuple(Tick(bound, f"{bound:g}") for bound in bounds),
            told=told(columns, line),
        )
        return [pane]

    return make


def moving_averages(*lengths: tuple[str, int], kind: str = "EMA") -> Maker:
    """Up to four averages over the candles, each as (parameter, default length); kind: EMA, SMA or RMA."""
    colours = ("second", "third", "fourth", "first")
    functions: dict[str, Callable[[FloatArray, int], FloatArray]]
    functions = {"EMA": plain.ema, "SMA": plain.sma, "RMA": plain.rma}

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        wanted = [round(number(parameters, name, default)) for name, default in lengths]
        return [
            curve(columns, functions[kind](columns.close, length), f"{kind} {length}", colour)
            for length, colour in zip(wanted, colours, strict=False)
        ]

    return make


def bollinger(window: str = "window", deviations: str = "deviations") -> Maker:
    """Bollinger bands (20, 2) with their middle, the ground between them tinted."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length, width = round(number(parameters, window, 20)), number(parameters, deviations, 2.0)
        bands = plain.bollinger(columns.close, length, width)
        return _band(columns, bands, f"Bollinger {length}/{width:g}")

    return make


def donchian(window: str = "window") -> Maker:
    """The Donchian channel (20) of the candles before each one, as a break is judged."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length = round(number(parameters, window, 20))
        bands = plain.donchian(columns.high, columns.low, length)
        before = [np.concatenate([[np.nan], values[:-1]]) for values in bands]
        return _band(columns, before, f"Donchian {length}")

    return make


def _band(columns: Columns, bands: Sequence[FloatArray], name: str) -> Shown:
    upper, middle, lower = bands
    tinted = Cloud(upper=columns.column(upper), lower=columns.column(lower), colour="grid", colour_below="grid")
    edges = [curve(columns, upper, name, "third"), curve(columns, lower, "", "third")]
    return [tinted, *edges, curve(columns, middle, "", "third", dashed=True)]


def supertrend(period: str = "period", multiplier: str = "multiplier") -> Maker:
    """The Supertrend line (10, 3), green below a rising market and red above a falling one."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length, factor = round(number(parameters, period, 10)), number(parameters, multiplier, 3.0)
        line, direction = plain.supertrend(columns.high, columns.low, columns.close, length, factor)
        rising, falling = np.where(direction > 0, line, np.nan), np.where(direction < 0, line, np.nan)
        name = f"Supertrend {length}/{factor:g}"
        return [curve(columns, rising, name, "up"), curve(columns, falling, "", "down")]

    return make


def macd(fast: int = 12, slow: int = 26, signal: int = 9) -> Maker:
    """A pane with MACD, its signal and histogram; the numbers hold where the Decision has no fast, slow, signal."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        defaults = {"fast": fast, "slow": slow, "signal": signal}
        quick, steady, smoothing = (round(number(parameters, name, default)) for name, default in defaults.items())
        line, smooth, bars = plain.macd(columns.close, quick, steady, smoothing)
        return [_oscillator(columns, f"MACD {quick}/{steady}/{smoothing}", line, smooth, bars)]

    return make


def ppo(fast: int = 7, slow: int = 16, signal: int = 5) -> Maker:
    """A pane with the percentage price oscillator, its signal and their difference."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        defaults = {"ppo_fast": fast, "ppo_slow": slow, "ppo_signal": signal}
        quick, steady, smoothing = (round(number(parameters, name, default)) for name, default in defaults.items())
        line, smooth, bars = plain.ppo(columns.close, quick, steady, smoothing)
        return [_oscillator(columns, f"PPO {quick}/{steady}/{smoothing}", line, smooth, bars)]

    return make


def mmh() -> Maker:
    """A pane with the magical momentum histogram (144)."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length = round(number(parameters, "mmh_period", 144))
        bars = columns.column(plain.mmh(columns.close, length))
        low, high = fitted(bars, zero=True)
        return [Pane(title=f"MMH {length}", low=low, high=high, bars=bars, ticks=_ZERO)]

    return make


def adx(period: str = "adx_period", least: str = "adx_min") -> Maker:
    """A pane with ADX (14), +DI and -DI, and the least ADX (20) that counts as a trend."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length, threshold = round(number(parameters, period, 14)), number(parameters, least, 20.0)
        plus, minus, strength = plain.adx(columns.high, columns.low, columns.close, length)
        lines = (
            curve(columns, strength, "", "first"),
            curve(columns, plus, "+DI", "up"),
            curve(columns, minus, "-DI", "down"),
        )
        _, high = fitted(*(line.values for line in lines))
        pane = Pane(
            title=f"ADX {length}",
            low=0.0,
            high=max(high, threshold * 1.5, 1.0),
            lines=lines,
            thresholds=(threshold,),
            ticks=(Tick(threshold, f"{threshold:g}"),),
            told=told(columns, lines[0]),
        )
        return [pane]

    return make


def atr_share(period: str = "atr_period", most: str = "atr_pct_max") -> Maker:
    """A pane with the ATR (14) in percent of the close, and the most that is allowed."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        length, threshold = round(number(parameters, period, 14)), number(parameters, most, 0.0)
        share = plain.atr(columns.high, columns.low, columns.close, length) / columns.close * 100
        line = curve(columns, share, "", "first")
        low, high = fitted(line.values)
        pane = Pane(
            title=f"ATR {length}, % of the price",
            low=max(0.0, low),
            high=high,
            lines=(line,),
            thresholds=(threshold,) if low < threshold < high else (),
            told=told(columns, line, "{:.2f}"),
        )
        return [pane]

    return make


def cirrus_cloud() -> Maker:
    """The area between two range filters (22/9, 15/5): green while the market is carried up, red while it is pressed down."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        del parameters
        one, two, _ = plain.cirrus_cloud(columns.close)
        return [Cloud(upper=columns.column(two), lower=columns.column(one), colour="up", colour_below="down")]

    return make


def vwap() -> Maker:
    """The VWAP of the UTC day."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Shown:
        del parameters
        values = plain.vwap_daily(columns.open_time_ms, columns.high, columns.low, columns.close, columns.volume)
        return [curve(columns, values, "VWAP", "first")]

    return make


def _oscillator(
    columns: Columns,
    title: str,
    line: FloatArray,
    smooth: FloatArray,
    bars: FloatArray,
) -> Pane:
    lines = (curve(columns, line, "", "third"), curve(columns, smooth, "signal", "second"))
    shown = columns.column(bars)
    low, high = fitted(lines[0].values, lines[1].values, shown, zero=True)
    text = "{:.4g}"
    return Pane(
        title=title, low=low, high=high, lines=lines, bars=shown, ticks=_ZERO, told=told(columns, lines[0], text)
    )
