"""`cst sweep` on one machine and on a Dask cluster of real processes: the same files."""

import contextlib
import gzip
import json
import subprocess
import sys
import time

import pytest

from cli.main import main

pytest.importorskip("distributed", reason="distributed is not installed: the dependency group research")
HOURS = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"


@pytest.fixture
def hours(market_data, tmp_path):
    with gzip.open(market_data / HOURS, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    part = tmp_path / "hours.csv"
    part.write_text("".join([lines[0], *lines[-3_000:]]), encoding="utf-8")
    return part


@contextlib.contextmanager
def process(kind, *arguments):
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, arguments)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


@pytest.fixture
def scheduler(tmp_path):
    """Address of a scheduler with one worker, on loopback."""
    file = tmp_path / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    worker = ("--scheduler-file", file, "--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "2")
    with process("scheduler", *place):
        until = time.monotonic() + 60
        while not (file.exists() and file.stat().st_size):
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.1)
        with process("worker", *worker, "--local-directory", tmp_path / "work"):
            yield json.loads(file.read_text(encoding="utf-8"))["address"]


def sweep(hours, out, *more):
    rule = ("--strategy", "macd_adx", "--timeframe", "1h", "--on-opposite", "close", "--max-age", "0")
    source = ("--candles", hours, "--exchange", "kraken-spot", "--symbol", "XBTUSD")
    grid = ("--grid", "fast=5,8,10,30", "--grid", "slow=24,30,35", "--grid", "signal=5,7,9", "--trades-min", "5")
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in ("sweep", *rule, *source, *grid, "--out", out, *more)])
    return ended.value.code


def test_a_cluster_gives_the_files_of_one_machine(hours, scheduler, tmp_path, capsys):
    assert sweep(hours, tmp_path / "here") == 0
    here = capsys.readouterr()
    assert "left out: 6 sets that break a rule of the strategy: fast must be < slow" in here.err
    assert sweep(hours, tmp_path / "there", "--scheduler", scheduler) == 0
    there = capsys.readouterr()

    assert there.out.replace("/there", "/here") == here.out
    for name in ("sweep.csv", "heat_map.html"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert len((tmp_path / "here" / "sweep.csv").read_text(encoding="utf-8").splitlines()) == 1 + 30


def test_a_scheduler_that_is_not_there_is_one_line(hours, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cli.research.searching.CONNECT_SECONDS", 0.5)
    assert sweep(hours, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9") == 2
    assert "--scheduler must be the address of a running Dask scheduler" in capsys.readouterr().err
    assert sweep(hours, tmp_path / "out", "--scheduler", "somewhere//") == 2
    assert "was 'somewhere//'" in capsys.readouterr().err
