"""`cst chart`: a signal and a symbol from a store on disk, candles and a strategy's entry from a file."""

import asyncio
import random
from pathlib import Path

import pytest

from cli.chart import ChartLook, model_told
from cli.chart_signals import newest_told
from cli.main import main
from shared.deciding.active import active_strategy
from shared.domain.signals import Signal
from shared.domain.slots import SignalRecord
from shared.domain.timeframe import Timeframe
from shared.exchanges.candle_files import open_candle_file
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


def test_what_only_alerts_or_reads_several_timeframes_is_marked_by_its_name_in_a_configuration(
    folder, capsys, market_data
):
    file = market_data / "ohlcv" / "bybit_spot_BTCUSDT_1m_2022-12-13.csv"
    config = folder / "tracker.yaml"
    member = "members: [{kind: donchian}]"
    config.write_text(
        "venues: {bybit-spot: {symbols: [BTCUSDT]}}\nstrategies:\n"
        f"  - {{name: chief, kind: manager, timeframe: 5m, parameters: {{mode: first, {member}}}}}\n"
        "  - {name: macd_unified, timeframe: 15m}\n",
        encoding="utf-8",
    )
    told = ["chart", "--candles", str(file), "--config", str(config), "--strategy"]
    with pytest.raises(SystemExit):
        main([*told, "chief"])
    assert shown(capsys).name == "chart_BTCUSDT_5m.png"
    assert "reads 350 of 15m and 350 of 5m in a row" in failed([*told, "macd_unified"], capsys)
    assert "--strategy must be a name in" in failed([*told, "nobody"], capsys)


def test_the_newest_alert_is_marked_where_it_was_raised(market_data):
    source = open_candle_file(market_data / "ohlcv" / "binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz")
    active = active_strategy("macd_unified", Timeframe.M15)
    candles = source.candles("binance-spot", "BTCUSDT", last=8_000)
    told = newest_told(active, candles)
    assert told.signal is None
    assert {alert.alert for alert in told.alerts} <= set(active.strategy.alert_rules)
    model = model_told(told, ChartLook())
    [mark] = model.marks
    marked = model.open_time_ms[model.decision_bar]
    assert marked == told.alerts[0].candle_open_time_ms
    assert (mark.bar, mark.price) == (model.decision_bar + 0.5, model.close[model.decision_bar])
    assert len(model.open_time_ms) - 1 - model.decision_bar >= 30
