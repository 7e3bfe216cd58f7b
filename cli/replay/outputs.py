"""What a replay writes: candles, decisions, signals, messages, refused rows, a summary. Same input, same bytes."""

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.replay.reader import RefusedRow
from services.notifier.messengers.recording import RecordingMessenger
from shared.domain.candles import Candle
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.decimals import plain_text
from shared.domain.timeframe import Timeframe
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.port import Store
from shared.store.signals import SignalStore

CANDLE_COLUMNS: Final = (
    "exchange,symbol,open_time_ms,open,high,low,close,volume,quote_volume,trade_count,quality,revision,"
    "first_trade_id,last_trade_id,source"
)
_ENCODER: Final = msgspec.json.Encoder()


class Outputs:
    """Writes into one folder; every file is written whole, sorted by symbol and time."""

    def __init__(self, folder: Path, store: Store, exchange: str, symbols: Sequence[str]) -> None:
        self._folder = folder
        self._exchange = exchange
        self._symbols = sorted(symbols)
        self._candles = CandleStore(store)
        self._decisions = DecisionStore(store)
        self._signals = SignalStore(store)

    async def write_candles(self, timeframe: Timeframe) -> int:
        """candles-<tf>.csv: the last revision of every candle. Returns how many."""
        lines = [CANDLE_COLUMNS]
        for symbol in self._symbols:
            candles = await self._candles.between(self._exchange, symbol, timeframe, 0, EPOCH_MS_MAX)
            lines += [candle_line(candle) for candle in candles]
        self._write(f"candles-{timeframe.value}.csv", ("\n".join(lines) + "\n").encode())
        return len(lines) - 1

    async def write_decisions(self, strategies: Sequence[tuple[str, Timeframe]]) -> int:
        """decisions.jsonl: every Decision, by strategy, symbol and time. Returns how many."""
        count = 0
        # Symbol by symbol into the file: all of them at once would be the largest thing a replay holds.
        with (self._folder / "decisions.jsonl").open("wb") as file:
            for name, timeframe in strategies:
                for symbol in self._symbols:
                    found = await self._decisions.between(name, self._exchange, symbol, timeframe, 0, EPOCH_MS_MAX)
                    file.writelines(_ENCODER.encode(decision) + b"\n" for decision in found)
                    count += len(found)
        return count

    async def write_signals(self) -> int:
        """signals.jsonl: the last snapshot of every signal, by opening time. Returns how many."""
        records = await self._signals.all()
        signals = sorted((record.signal for record in records), key=lambda s: (s.opened_at_ms, s.symbol, s.signal_id))
        self._write_lines("signals.jsonl", [_ENCODER.encode(signal) for signal in signals])
        return len(signals)

    def write_messages(self, messenger: RecordingMessenger) -> int:
        """messages.jsonl: every send and edit in order. Returns how many."""
        self._write("messages.jsonl", messenger.json_lines())
        return len(messenger.messages)

    def write_refused(self, refused: Sequence[RefusedRow]) -> None:
        """refused.jsonl: rows and trades that were left out, with file, line and reason; only where there are any."""
        file = self._folder / "refused.jsonl"
        file.unlink(missing_ok=True)
        if refused:
            self._write_lines(file.name, [_ENCODER.encode(row) for row in refused])

    def write_summary(self, summary: dict[str, Any]) -> None:
        """summary.json, the only file that differs between two runs (it holds timings)."""
        self._write("summary.json", msgspec.json.format(_ENCODER.encode(summary), indent=2) + b"\n")

    def _write_lines(self, name: str, lines: Sequence[bytes]) -> None:
        self._write(name, b"".join(line + b"\n" for line in lines))

    def _write(self, name: str, content: bytes) -> None:
        (self._folder / name).write_bytes(content)


def candle_line(candle: Candle) -> str:
    """One CSV line: plain decimals without rounding; trade_count empty where it is unknown."""
    prices = ",".join(plain_text(price) for price in (candle.open, candle.high, candle.low, candle.close))
    count = "" if candle.trade_count is None else candle.trade_count
    return (
        f"{candle.exchange},{candle.symbol},{candle.open_time_ms},{prices},{plain_text(candle.volume)},"
        f"{plain_text(candle.quote_volume)},{count},{candle.quality.value},{candle.revision},{_text(candle.first_trade_id)},{_text(candle.last_trade_id)},"
        f"{candle.source.value}"
    )


def _text(trade_id: int | str | None) -> str:
    return "" if trade_id is None else str(trade_id)


def peak_rss_mb() -> float:
    """The process's largest resident memory so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
