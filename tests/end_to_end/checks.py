"""What must hold after any run, whoever was killed in it."""

import itertools
from decimal import Decimal
from typing import Any

from shared.domain.candles import Candle, CandleQuality
from shared.domain.signals import Signal, SignalStatus
from tests.end_to_end.conftest import LATE_SYMBOL, SYMBOLS, Run
from tests.end_to_end.platform import CHAT, Records
from tests.support.slow_twin import slow_signals

TRADES_KNOWN = {CandleQuality.COMPLETE, CandleQuality.REPAIRED}


async def everything(records: Records) -> tuple[dict[str, list[Candle]], list[Signal], dict[str, int]]:
    """All 1m candles and signals, and each symbol's first Decision."""
    candles = {symbol: await records.candles(symbol) for symbol in SYMBOLS}
    begins = {}
    for symbol in SYMBOLS:
        decisions = await records.decisions(symbol)
        if decisions:
            begins[symbol] = decisions[0].open_time_ms
    return candles, await records.signals(), begins


def check_candles(run: Run, candles: dict[str, list[Candle]]) -> int:
    """Every candle equals the market's own kline under Bybit's rule; no minute is missing. Returns how many from trades."""
    compared = 0
    for symbol, series in candles.items():
        steps = {after.open_time_ms - before.open_time_ms for before, after in itertools.pairwise(series)}
        assert steps <= {60_000}, f"{symbol}: minutes are missing, steps {steps}"
        klines = klines_of(run, symbol, series[0].open_time_ms, series[-1].open_time_ms)
        for before, candle in itertools.pairwise(series):
            if candle.quality not in TRADES_KNOWN:
                continue
            kline = klines[candle.open_time_ms]
            assert candle.close == float(kline[4]), (symbol, candle, kline)
            assert candle.volume == Decimal(kline[5]), (symbol, candle, kline)
            assert max(candle.high, before.close) == float(kline[2]), (symbol, candle, kline)
            assert min(candle.low, before.close) == float(kline[3]), (symbol, candle, kline)
            compared += 1
    return compared


def klines_of(run: Run, symbol: str, first_ms: int, last_ms: int) -> dict[int, list[str]]:
    """The market's own minutes, by open time."""
    found: dict[int, list[str]] = {}
    for start_ms in range(first_ms, last_ms + 1, 900 * 60_000):
        answer: Any = run.simulator.get(
            "/v5/market/kline", category="linear", symbol=symbol, interval="1", start=start_ms,
            end=min(last_ms, start_ms + 900 * 60_000 - 1), limit=1000,
        )  # fmt: skip
        found.update({int(row[0]): row for row in answer["result"]["list"]})
    return found


def check_signals(candles: dict[str, list[Candle]], signals: list[Signal], begins: dict[str, int]) -> None:
    """Exactly the slow twin's signals, with its ends."""
    read = {symbol: series for symbol, series in candles.items() if symbol != LATE_SYMBOL and symbol in begins}
    twin = slow_signals(read, begin_ms=begins)
    ours = [signal for signal in signals if signal.symbol in read]
    # The last minute may be stored and not yet decided when the services are ended.
    last_ms = min(series[-1].open_time_ms for series in read.values()) - 60_000
    expected = {_twin_key(item, last_ms) for item in twin if item.candle_open_time_ms <= last_ms}
    found = {_key(item, last_ms) for item in ours if item.candle_open_time_ms <= last_ms}
    assert found == expected
    assert found


def _key(signal: Signal, last_ms: int) -> tuple[object, ...]:
    end = signal.exit if signal.exit and signal.exit.closed_at_ms <= last_ms else None
    reason = end.reason.value if end and end.resolution.value != "tape" else None
    return (signal.symbol, signal.side.value, signal.candle_open_time_ms, signal.entry_price, end is not None, reason)


def _twin_key(signal: Any, last_ms: int) -> tuple[object, ...]:
    ended = signal.closed_at_ms is not None and signal.closed_at_ms <= last_ms
    reason = signal.reason if ended and signal.resolution == "candle" else None
    return (signal.symbol, signal.side, signal.candle_open_time_ms, signal.entry, ended, reason)


def is_told(run: Run, signals: list[Signal]) -> bool:
    """Whether every signal's message shows its latest state by now."""
    try:
        check_messages(run, signals, repeats_max=len(signals))
    except AssertionError:
        return False
    return True


def check_messages(run: Run, signals: list[Signal], *, repeats_max: int) -> None:
    """Every signal has its message, showing its latest state with its button; repeats only where allowed, each marked."""
    shown = [message for message in run.telegram.messages(CHAT) if message.photo is None]
    repeated = 0
    for signal in signals:
        mine = [message for message in shown if signal.signal_id in (message.text or "")]
        assert mine, f"signal {signal.signal_id} was never told"
        newest = mine[-1]
        assert f"chart:{signal.signal_id}" in newest.current.buttons(), f"{signal.signal_id} lost its button"
        if signal.status is SignalStatus.CLOSED:
            assert "EXIT" in newest.text, f"{signal.signal_id} is closed, its message says {newest.text!r}"
        for again in mine[1:]:
            assert "repeat" in again.history[0].text.lower(), f"an unmarked repeat: {again.history[0].text!r}"
        repeated += len(mine) - 1
    assert repeated <= repeats_max
