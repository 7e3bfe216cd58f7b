"""`cst infra` on real emulators, and what it refuses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.runtime.topology import load_topology
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = (
    "BUS",
    "STORE",
    "CACHE",
    "PUBSUB_EMULATOR_HOST",
    "BIGTABLE_EMULATOR_HOST",
    "REDIS_URL",
    "BIGTABLE_INSTANCE",
)


@pytest.fixture
def emulators() -> Iterator[dict[str, str]]:
    with running_pubsub() as pubsub, running_bigtable() as bigtable:
        yield {"PUBSUB_EMULATOR_HOST": pubsub.address, "BIGTABLE_EMULATOR_HOST": bigtable.address}


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"DATA_DIR": str(folder), "PYTHONWARNINGS": "ignore", **variables}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment, check=False
    )


def infra(verb: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(["-c", "from cli.main import main; main()", "infra", verb], folder, **variables)


def test_create_check_delete_on_emulators(emulators: dict[str, str], tmp_path: Path):
    topology = load_topology()
    expected = len(topology.topics) + 3 * len(topology.subscriptions) + len(topology.tables)

    before = infra("check", tmp_path, **emulators)
    assert before.returncode == 1
    assert len(before.stdout.splitlines()) == expected
    assert "missing: topic notifier--system-events--dead" in before.stdout
    assert "missing: subscription notifier--system-events--dead" in before.stdout
    assert "missing: table market-data-1m" in before.stdout

    made = infra("create", tmp_path, **emulators)
    assert (made.returncode, len(made.stdout.splitlines())) == (0, expected), made.stderr
    assert infra("check", tmp_path, **emulators).returncode == 0
    assert infra("create", tmp_path, **emulators).stdout == "nothing made\n"
    assert len(infra("delete", tmp_path, **emulators).stdout.splitlines()) == expected
    assert infra("check", tmp_path, **emulators).returncode == 1


def test_a_service_ends_with_one_line_that_names_what_is_missing(emulators: dict[str, str], tmp_path: Path):
    only_bus = {"PUBSUB_EMULATOR_HOST": emulators["PUBSUB_EMULATOR_HOST"]}
    without_topics = run(["-m", "services.aggregator.main"], tmp_path, **only_bus)

    assert without_topics.returncode == 2
    [line] = without_topics.stderr.strip().splitlines()
    assert "topic candles-closed, " in line
    assert "cst infra create" in line

    assert infra("create", tmp_path, **only_bus).returncode == 0
    without_tables = run(["-m", "services.aggregator.main"], tmp_path, **emulators)
    assert without_tables.returncode == 2
    assert "market-data-1m" in without_tables.stderr
    assert "cst infra create" in without_tables.stderr


@pytest.mark.parametrize("verb", ["create", "delete"])
def test_a_real_project_is_never_changed(verb: str, tmp_path: Path):
    refused = infra(verb, tmp_path, BUS="pubsub", GOOGLE_CLOUD_PROJECT="somebodys-project", BIGTABLE_INSTANCE="tracker")

    assert refused.returncode == 2
    assert "works on emulators only: set PUBSUB_EMULATOR_HOST" in refused.stderr


def test_check_says_that_the_embedded_file_needs_nothing(tmp_path: Path):
    answer = infra("check", tmp_path)

    assert answer.returncode == 2
    assert "the embedded file needs no resources" in answer.stderr
