"""What was lived with faults, exported and replayed: the same minutes again."""

import csv
import json
from pathlib import Path

import pytest

from cli.replay.command import run_replay
from cli.tape.export import batches_file, export
from shared.domain.candles import CandleQuality
from shared.domain.errors import PermanentError
from shared.domain.timeframe import MINUTE_MS, Timeframe
from tests.support.simulation.loop import run_until, virtual_time
from tests.support.simulation.market import START_MS, SYMBOLS, market_of
from tests.support.simulation.plan import MINUTES, plan_of
from tests.support.simulation.world import World

LATER_MS = START_MS + 3 * MINUTE_MS  # inside a session


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The candles of a history with kills, losses and an outage, and its tape: exported whole, and from its middle on."""
    folder, plan = tmp_path_factory.mktemp("lived"), plan_of(33)
    tapes = [folder / "tape.csv.gz", folder / "later.csv.gz"]
    with virtual_time(START_MS) as (loop, skewed):
        world = World(plan, market_of(plan.market_seed, plan.minutes), loop, skewed, folder)
        with world.in_place():
            history = run_until(loop, world.run())
            end_ms = START_MS + (MINUTES + 1) * MINUTE_MS
            for tape, from_ms in zip(tapes, (START_MS - 2 * MINUTE_MS, LATER_MS), strict=True):
                done = run_until(loop, export(world.inner_store, "binance-spot", SYMBOLS, from_ms, end_ms, tape))
                assert done.trades > 20
    return history, tapes


def test_the_export_says_every_batch_with_its_watermark(lived):
    _, (tape, _) = lived

    lines = [json.loads(line) for line in batches_file(tape).read_text().splitlines()]

    assert {"session", "sequence", "symbols", "covers_from_ms", "watermark_ms"} <= lines[0].keys()
    watermarks = [line["watermark_ms"] for line in lines]
    assert watermarks == sorted(watermarks)
    assert len({line["session"] for line in lines}) > 3
    assert {line["source"] for line in lines} == {"stream", "refill"}


@pytest.mark.parametrize(("which", "from_ms"), [(0, START_MS), (1, LATER_MS + MINUTE_MS)])
def test_a_replay_of_the_export_makes_the_minutes_that_were_lived(lived, tmp_path, which, from_ms):
    history, tapes = lived
    tape = tapes[which]

    run_replay(
        trades=tape,
        exchange="binance-spot",
        out=tmp_path,
        strategy_names=(),
        timeframes="1m",
        config_file=Path("config/tracker.yaml"),
    )
    with (tmp_path / "candles-1m.csv").open() as file:
        replayed = {(row["symbol"], int(row["open_time_ms"])): row for row in csv.DictReader(file)}

    compared = 0
    for (symbol, timeframe, open_time_ms), candle in history.candles.items():
        inside = from_ms <= open_time_ms < START_MS + MINUTES * MINUTE_MS
        if timeframe is not Timeframe.M1 or not inside or candle.quality is CandleQuality.REPAIRED_KLINE:
            continue
        row = replayed[symbol, open_time_ms]
        prices = [float(row[name]) for name in ("open", "high", "low", "close")]
        assert prices == [candle.open, candle.high, candle.low, candle.close]
        assert (row["volume"], row["quality"]) == (f"{candle.volume:f}", candle.quality.value)
        assert int(row["trade_count"]) == candle.trade_count
        compared += 1
    assert compared > len(SYMBOLS) * (START_MS + MINUTES * MINUTE_MS - from_ms) // MINUTE_MS // 2


def test_trades_without_their_batch_are_refused(lived, tmp_path):
    _, (tape, _) = lived
    copy = tmp_path / tape.name
    copy.write_bytes(tape.read_bytes())
    lines = batches_file(tape).read_text().splitlines()
    batches_file(copy).write_text("\n".join(lines[: len(lines) // 3]) + "\n")

    with pytest.raises(PermanentError, match="are not among the batches"):
        run_replay(
            trades=copy,
            exchange="binance-spot",
            out=tmp_path / "out",
            strategy_names=(),
            timeframes="1m",
            config_file=Path("config/tracker.yaml"),
        )
