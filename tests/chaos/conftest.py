"""How many histories on real processes: `pytest tests/chaos --seeds N` plays N embedded and three for every ten on the emulators."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import chosen_adapters
from tests.support.emulators_store import ServerProcess

SEEDS = 10
_EMULATED_OF_TEN = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=SEEDS, help="chaos: histories on the embedded file (10)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"servers", "seed"} <= set(metafunc.fixturenames):
        seeds = metafunc.config.getoption("--seeds", SEEDS)  # unknown where pytest was given no path of this folder
        emulated = round(seeds * _EMULATED_OF_TEN / 10)
        cases = [("embedded", seed) for seed in range(seeds)] + [("emulators", seed) for seed in range(emulated)]
        metafunc.parametrize(("servers", "seed"), cases, indirect=["servers"])


@pytest.fixture
def servers(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, ServerProcess]]:
    """The emulators that run; none where all is embedded."""
    with chosen_adapters(request.param, tmp_path, monkeypatch) as running:
        yield running
