"""Fixtures for every kind of test; tests/README.md says which kind is for what."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a kernel compiles it: no deadline. One profile everywhere, so that a failure repeats.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")


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
