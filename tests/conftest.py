"""Fixtures for every kind of test; tests/README.md says which kind is for what."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.emulators_store import ServerProcess, running_bigtable, running_redis

# The first call of a kernel compiles it: no deadline. One profile everywhere, so that a failure repeats.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")


@pytest.fixture(scope="session")
def bigtable_server() -> Iterator[ServerProcess]:
    """One Bigtable emulator for all tests."""
    with running_bigtable() as server:
        yield server


@pytest.fixture(scope="module")
def bigtable_emulator(bigtable_server: ServerProcess) -> Iterator[ServerProcess]:
    """The emulator, named in the environment for this module's tests only: other tests start processes that read it too."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BIGTABLE_EMULATOR_HOST", bigtable_server.address)
        yield bigtable_server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The session's Redis; each test takes a prefix of its own."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of recorded market data named by MARKET_DATA; its absence skips, or fails where it is required."""
    value = os.environ.get("MARKET_DATA")
    if value and Path(value).is_dir():
        return Path(value).resolve()
    reason = "MARKET_DATA names no folder with recorded market data"
    if os.environ.get("REQUIRE_MARKET_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
