"""The waiting part of the bus contract on Pub/Sub, side by side: as long as the longest, not as their sum."""

import asyncio
import inspect

from tests.contract import test_bus_contract
from tests.contract.pubsub_case import pubsub_case


def waiting_tests():
    """The contract's tests that are marked `waits`."""
    for _, function in inspect.getmembers(test_bus_contract, inspect.iscoroutinefunction):
        if any(mark.name == "waits" for mark in getattr(function, "pytestmark", [])):
            yield function


async def test_leases_end_on_pubsub_as_the_contract_says(pubsub_host: str):
    async def run(test) -> None:
        async with pubsub_case(pubsub_host) as case:
            await test(case)

    tests = list(waiting_tests())
    outcomes = await asyncio.gather(*(run(test) for test in tests), return_exceptions=True)

    failures = {test.__name__: outcome for test, outcome in zip(tests, outcomes, strict=True) if outcome is not None}
    assert not failures, failures
    assert len(tests) >= 6
