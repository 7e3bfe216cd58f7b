"""`./start_services.sh emulators` as a user runs it: brokers, resources, services; an emulator that dies; stop."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.supervisor.emulators import bigtable_command, pubsub_command, redis_command
from cli.supervisor.processes import read_running
from shared.bus.pubsub_admin import declared_resources
from shared.domain.errors import PermanentError
from shared.runtime.topology import load_topology
from tests.support.emulators_store import not_installed
from tests.support.simulator import free_port

ROOT = Path(__file__).resolve().parents[2]
ALL = {
    "pubsub_emulator",
    "bigtable_emulator",
    "redis",
    "simulator",
    "ingestion",
    "aggregator",
    "logic_engine",
    "macro_engine",
    "notifier",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    try:
        pubsub_command(1), bigtable_command(1), redis_command(1, tmp_path)
    except PermanentError as error:
        not_installed(str(error))
    ports = ("SIMULATOR_PORT", "PUBSUB_EMULATOR_PORT", "BIGTABLE_EMULATOR_PORT", "REDIS_PORT")
    return {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "kernels")),
        "DEMO_SPEED": "40",
        **{name: str(free_port()) for name in ports},
    }


CANDLE = r"candle \w+ .* (?:complete|repaired|repaired_kline)\n"


class Started:
    """The supervisor in front, its words in a file."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.run_dir = folder / "emulators" / "run"
        self._environment = environment
        self._output = folder / "output.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                self._cst("services", "emulators"), cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def _cst(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from cli.main import main; main()", *arguments]

    def ask(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._cst("services", verb),
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def words(self) -> str:
        return self._output.read_text(errors="replace")

    def wait_for(self, pattern: str, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while len(re.findall(pattern, self.words())) < count:
            assert self.process.poll() is None, self.words()
            assert time.monotonic() < deadline, f"waited for {pattern!r}: {self.words()[-3000:]}"
            time.sleep(0.1)


@pytest.fixture
def started(environment: dict[str, str], tmp_path: Path) -> Iterator[Started]:
    running = Started(environment, tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(timeout=60)


def test_it_starts_recovers_from_a_dead_emulator_and_leaves_nothing_behind(started: Started):
    started.wait_for(r"candle \w+ .* complete", 9, 90)
    processes = {process.name: process for process in read_running(started.run_dir)}
    assert set(processes) == ALL
    topology = load_topology()
    declared = len(declared_resources(topology)) + len(topology.tables)
    assert f"{declared} topics, subscriptions and tables made" in started.words()
    status = started.ask("status")
    assert status.returncode == 0, status.stdout
    assert "watermark" in status.stdout

    os.kill(processes["pubsub_emulator"].pid, signal.SIGKILL)
    started.wait_for("pubsub_emulator ended, starting again", 1, 30)
    seen = len(re.findall(CANDLE, started.words()))
    # What the emulator held is lost with it, which no broker may do: these minutes come from the venue's klines.
    started.wait_for(CANDLE, seen + 18, 90)

    running = read_running(started.run_dir)
    stopped = started.ask("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert started.process.wait(timeout=60) == 0
    assert not [process for process in running if process.alive]
    assert "was killed" not in started.words(), started.words()[-2000:]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}, "cloud is a real project: unset PUBSUB_EMULATOR_HOST"),
        ({}, "cloud needs GOOGLE_CLOUD_PROJECT, BIGTABLE_INSTANCE, REDIS_URL in the environment"),
        (
            {"GOOGLE_CLOUD_PROJECT": "p", "BIGTABLE_INSTANCE": "i", "REDIS_URL": "redis://127.0.0.1:1/0"},
            "no usable Google credentials for Pub/Sub: run `gcloud auth application-default login`",
        ),
    ],
)
def test_cloud_says_in_one_line_what_it_lacks(tmp_path: Path, variables: dict[str, str], said: str):
    absent = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent.json")}
    answer = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "services", "cloud"],
        cwd=ROOT,
        env={**os.environ, **absent, "DATA_DIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 2
    [line] = answer.stderr.strip().splitlines()
    assert said in line
