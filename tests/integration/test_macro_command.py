"""`cst macro` over recorded history, what it has in common with a live run, and `cst replay --bias`."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cli.macro.candle_file import pair_of
from cli.main import main
from cli.replay.biases import load_biases
from services.macro_engine.core.versions import Pair
from shared.domain.bias import Direction, MacroBias
from shared.domain.errors import PermanentError
from shared.domain.timeframe import MINUTE_MS
from tests.support.kraken_server import Market, rolled, running_kraken
from tests.support.macro import MacroBench

HEADER = "event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker"
START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000


def cst(*arguments: object) -> None:
    """The command itself; its success is no exit."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.fixture(scope="module")
def history(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """November 2022 of SOL with all sources."""
    out, folder = tmp_path_factory.mktemp("macro"), market_data / "macro"
    cst(
        "macro", "--candles", market_data / "ohlcv" / "binance_spot_SOLUSDT_1m_2022-11.csv.gz", "--out", out,
        "--dxy", folder / "dxy_daily_2014_2026.csv", "--dominance", folder / "btc_dominance_daily_2013_2024.json",
        "--fomc", folder / "fomc_meetings_2000_2026.csv",
    )  # fmt: skip
    return out


def test_biases_regimes_a_summary_and_a_picture_are_written(history: Path):
    biases = load_biases(history / "biases.jsonl")
    with (history / "regimes.csv").open() as lines:
        regimes = {row["date"]: row for row in csv.DictReader(lines)}
    summary = json.loads((history / "summary.json").read_text())

    assert {(bias.base, bias.quote) for bias in biases} == {("SOL", "USDT")}
    assert {bias.version % 900_000 for bias in biases} == {0}
    assert {bias.effective_from_ms - bias.version for bias in biases} == {MINUTE_MS}
    assert summary["evaluations"] == len(biases) == 2880 - 80 * 16 + 1
    assert summary["strong"] == sum(bias.confidence >= 80 for bias in biases) > 0
    assert regimes["2022-11-02"]["regime"] == "risk_off"  # a decision day
    after_cpi = regimes["2022-11-12"]  # DXY had fallen by 1.6 % on the 11th
    assert (after_cpi["regime"], after_cpi["size_multiplier"], after_cpi["dxy"]) == ("risk_small", "0.5", "0.35")
    assert len(regimes) == summary["days"] > 4_800
    assert (history / "macro.png").read_bytes().startswith(b"\x89PNG")


async def test_a_live_run_on_the_same_candles_says_what_history_says(history: Path, market_data: Path):
    biases = load_biases(history / "biases.jsonl")
    strong = next(bias for bias in biases if bias.confidence == 100)
    with gzip.open(market_data / "ohlcv" / "binance_spot_SOLUSDT_1m_2022-11.csv.gz", "rt") as lines:
        minutes = [
            (int(r["open_time"]), *(float(r[n]) for n in ("open", "high", "low", "close", "volume")))
            for r in csv.DictReader(lines)
        ]
    market = Market("SOL/USDT", rolled([bar for bar in minutes if bar[0] < strong.version + 60 * MINUTE_MS], 5))
    for bias in (strong, biases[-1 - biases[::-1].index(strong) + 1]):
        now_ms = bias.version + 20_000
        with running_kraken({"SOLUSDT": market}, now_ms=lambda now=now_ms: now) as kraken:
            bench = MacroBench(kraken, pairs=(Pair("SOL", "USDT"),))
            bench.clock.now_ms = now_ms
            bench.urls = {"dxy": None, "dominance": None}
            bench.limits = msgspec.structs.replace(bench.limits, candle_bases=frozenset({"SOL"}))
            await bench.run()
            live = (await bench.biases())["SOL"]

        assert (live.version, live.direction, live.confidence) == (bias.version, bias.direction, bias.confidence)
        assert _parts(live) == pytest.approx(_parts(bias), rel=1e-9)


def _parts(bias: MacroBias) -> dict[str, float]:
    return {name: value for name, value in bias.components.items() if not name.startswith("regime.")}


def a_tape(folder: Path) -> Path:
    """Two hours of a price that falls every minute, five times the volume in the last: a LONG entry at its close."""
    rows = [
        f"{START_MS + i * MINUTE_MS + 1_000},BTCUSDT,{i + 1},{200 - i * 0.01:.2f},{5 if i == 124 else 1},"
        f"{START_MS + i * MINUTE_MS + 1_000},false"
        for i in range(130)
    ]
    file = folder / "tape.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return file


def a_bias(direction: Direction, published_at_ms: int, confidence: float = 90.0) -> MacroBias:
    return MacroBias(
        base="BTC",
        quote="USDT",
        version=published_at_ms,
        direction=direction,
        confidence=confidence,
        regime="neutral",
        components={},
        published_at_ms=published_at_ms,
        effective_from_ms=published_at_ms + MINUTE_MS,
        expires_at_ms=published_at_ms + 240 * MINUTE_MS,
    )


ENTRY_MS = START_MS + 125 * MINUTE_MS  # close of the candle that would enter


@pytest.mark.parametrize(
    ("biases", "signals", "said"),
    [
        ([], 1, "none"),
        ([a_bias(Direction.SHORT, START_MS)], 0, "SHORT 90 (binding"),
        ([a_bias(Direction.LONG, START_MS)], 1, "LONG 90 (binding"),
        ([a_bias(Direction.SHORT, START_MS), a_bias(Direction.SHORT, START_MS + 900_000, 75)], 0, "SHORT 75 (binding"),
        (
            [a_bias(Direction.SHORT, START_MS), a_bias(Direction.SHORT, START_MS + 900_000, 69)],
            1,
            "SHORT 69 (not binding",
        ),
        ([a_bias(Direction.SHORT, ENTRY_MS - MINUTE_MS)], 0, "SHORT 90 (binding"),
        ([a_bias(Direction.SHORT, ENTRY_MS - MINUTE_MS + 1)], 1, "none"),
        ([a_bias(Direction.SHORT, ENTRY_MS - 240 * MINUTE_MS)], 1, "none (version"),
    ],
    ids=[
        "no file",
        "against",
        "with",
        "kept from 70",
        "dropped below 70",
        "just effective",
        "not yet effective",
        "expired",
    ],
)
def test_a_replay_obeys_the_biases_of_the_file(tmp_path: Path, biases: list[MacroBias], signals: int, said: str):
    file = tmp_path / "biases.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(bias) + b"\n" for bias in biases))
    more = ["--bias", file] if biases else []

    cst(
        "replay",
        "--trades",
        a_tape(tmp_path),
        "--exchange",
        "bybit-linear",
        "--out",
        tmp_path / "out",
        "--strategy",
        "rsi_divergence",
        *more,
    )

    decisions = [json.loads(line) for line in (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()]
    [entry] = [item for item in decisions if item["open_time_ms"] == ENTRY_MS - MINUTE_MS]
    assert entry["action"] == "enter_long"
    assert entry["bias"].startswith(said)
    assert ("MACRO" in (tmp_path / "out" / "messages.jsonl").read_text()) == bool(biases)
    opened = (tmp_path / "out" / "signals.jsonl").read_text().splitlines()
    assert len(opened) == signals


def failing(*arguments: object) -> Callable[[pytest.CaptureFixture[str]], str]:
    def run(capsys: pytest.CaptureFixture[str]) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 2
        return capsys.readouterr().err

    return run


def test_wrong_input_is_one_line_that_names_file_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    hourly = tmp_path / "kraken_XBTUSD_1h.csv"
    hourly.write_text(
        "time,open,high,low,close,volume,trades\n"
        + "".join(f"{1700000000 // 3600 * 3600 + i * 3600},5,6,4,5,1,1\n" for i in range(5))
    )
    bad = tmp_path / "biases.jsonl"
    bad.write_bytes(msgspec.json.encode(a_bias(Direction.LONG, START_MS)) + b'\n{"base": "BTC"}\n')
    html = tmp_path / "dominance.json"
    html.write_text("<html>")
    place = ("macro", "--candles", hourly, "--out", tmp_path / "out")

    assert "the bias needs candles of 15m at most, was 1h" in failing(*place)(capsys)
    assert "the answer must be JSON, was '<html>'" in failing(*place, "--dominance", html)(capsys)
    assert "a column `date` is required" in failing(*place, "--fomc", hourly)(capsys)
    assert "--dxy needs columns Date and Close" in failing(*place, "--dxy", hourly)(capsys)
    replay = ("replay", "--trades", a_tape(tmp_path), "--exchange", "bybit-linear", "--out", tmp_path / "out")
    said = failing(*replay, "--bias", bad)(capsys)
    assert "no version of a bias" in said
    assert f"{bad} line 2" in said
    assert "--bias cannot be read" in failing(*replay, "--bias", tmp_path / "absent")(capsys)


def test_the_pair_is_named_or_read_from_the_files_name():
    assert pair_of(Path("kraken_XBTUSD_1m.csv"), None) == Pair("BTC", "USD")
    assert pair_of(Path("any.csv"), "ETH/USDT") == Pair("ETH", "USDT")
    with pytest.raises(PermanentError, match="give --pair BASE/QUOTE"):
        pair_of(Path("any.csv"), None)
