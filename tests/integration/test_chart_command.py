"""`cst chart`: a signal and a symbol from a store on disk, candles and a strategy's entry from a file."""

import asyncio
import random
from pathlib import Path

import pytest

from cli.main import main
from shared.domain.signals import Signal
from shared.domain.slots import SignalRecord
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.signals import SignalStore
from shared.store.sqlite import SqliteStore
from shared.strategies.windows import window_digest
from tests.support.pictures import picture
from tests.support.signals import FIRST_OPEN_MS, a_decision, a_signal, closed, some_candles


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TRACKER_CONFIG", str(Path(__file__).resolve().parents[2] / "config" / "tracker.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def stored_signal(folder: Path) -> Signal:
    """A closed signal with its decision, its candles and 30 more on the embedded file."""
    database = open_database(folder / "tracker.db")
    store = SqliteStore(database, load_topology(), ScaledClock())
    candles = await CandleStore(store).save(some_candles(count=150), fence=None)
    known = candles[:120]
    signal = a_signal(entry_price=known[-1].close, window_digest=window_digest(known))
    await DecisionStore(store).save_first([a_decision(signal, known)], fence=None)
    await SignalStore(store).save([SignalRecord(signal=closed(signal))], fence=None)
    await database.close()
    return signal


def shown(capsys: pytest.CaptureFixture[str]) -> Path:
    return Path(capsys.readouterr().out.strip())


def failed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_signal_and_a_symbol_of_the_store_are_drawn(folder, capsys):
    (folder / "data").mkdir()
    signal = asyncio.run(stored_signal(folder / "data"))

    with pytest.raises(SystemExit):
        main(["chart", signal.signal_id, "--theme", "light"])
    one = shown(capsys)
    with pytest.raises(SystemExit):
        main(["chart", "BTCUSDT", "--timeframe", "1m", "--at", "2026-08-09T19:30", "--scale", "1", "--out", "two.png"])
    two = shown(capsys)

    assert (one.name, picture(one.read_bytes()).size) == (f"chart_{signal.signal_id}.png", (960, 1080))
    assert picture(one.read_bytes()).getpixel((2, 2)) == (255, 255, 255)
    assert picture(two.read_bytes()).size == (640, 720)
    assert "there is no signal" in failed(["chart", "0" * 16], capsys)
    assert "no 4h candles of BTCUSDT" in failed(["chart", "BTCUSDT", "--timeframe", "4h"], capsys)
    assert "--timeframe must be one of 1m" in failed(["chart", "BTCUSDT", "--timeframe", "7m"], capsys)
    assert "--exchange must say whose" in failed(["chart", "NOPEUSDT"], capsys)
    assert "theme must be one of dark, light" in failed(["chart", "BTCUSDT", "--theme", "pink"], capsys)


def test_a_strategys_entry_on_candles_of_a_file_is_drawn_with_what_followed(folder, capsys):
    source, lines, close = random.Random(1), ["open_time,open,high,low,close,volume"], 100.0
    for bar in range(300):
        falling = 200 <= bar < 215
        opened, close = close, close * (1 - 0.004 * falling + source.gauss(0, 0.0004))
        high, low = max(opened, close) * 1.0002, min(opened, close) * 0.9998
        time_ms = FIRST_OPEN_MS + bar * 60_000
        lines.append(f"{time_ms},{opened},{high},{low},{close},{10 + 40 * falling}")
    file = folder / "bybit_linear_XUSDT_1m.csv"
    file.write_text("\n".join(lines))

    with pytest.raises(SystemExit):
        main(["chart", "--candles", str(file), "--strategy", "rsi_divergence"])
    entered = shown(capsys)
    with pytest.raises(SystemExit):
        main(["chart", "--candles", str(file)])
    market = shown(capsys)

    assert (entered.name, market.name) == ("chart_XUSDT_1m.png", "chart_XUSDT_1m.png")
    assert "enters nowhere" in failed(
        ["chart", "--candles", str(file), "--strategy", "rsi_divergence", "--at", "2026-08-09T21:00"], capsys
    )
    assert "must be that of the file, 1m" in failed(["chart", "--candles", str(file), "--timeframe", "5m"], capsys)
    assert "first candle of the file" in failed(["chart", "--candles", str(file), "--at", "2020-01-01"], capsys)
