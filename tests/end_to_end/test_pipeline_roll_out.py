"""A roll-out on the emulators under faults of all three brokers: two processes of each service, and the twin's signals."""

import asyncio
import os
import signal

import pytest
from redis.asyncio import Redis

from tests.end_to_end.checks import check_candles, check_messages, check_signals, everything
from tests.end_to_end.conftest import LATE_SYMBOL, Run
from tests.end_to_end.platform import SERVICES
from tests.end_to_end.test_pipeline import see_enough, settled, wait_ready

PAUSE_SECONDS = 7.0  # longer than the deadline of a call
BREATH_SECONDS = 3.0
END_SECONDS_MAX = 40.0  # ten for what is in hand, two for each adapter, and a busy machine
NEW = "-new"


@pytest.mark.parametrize("adapters", ["emulators"], indirect=True)
async def test_a_roll_out_under_broken_brokers_changes_nothing(run: Run):
    for name in SERVICES:
        run.platform.start(name)
    await wait_ready(run)

    struck = await break_brokers(run)
    await roll_out(run)
    await see_enough(run)
    await settled(run)

    candles, signals, begins = await run.platform.read(everything)
    assert check_candles(run, candles) > 50
    check_signals(candles, signals, begins)
    # A publish, claim or send may be cut off by a pause: each leaves at most one marked repeat.
    check_messages(run, signals, repeats_max=len(SERVICES))
    assert any(candle.revision > 1 for candle in candles[LATE_SYMBOL])
    assert struck["flushed"] > 0
    for broker in ("Pub/Sub", "Bigtable"):
        assert broker in struck["errors"], f"nobody noticed that {broker} was gone: {struck['errors'][-300:]}"


async def break_brokers(run: Run) -> dict[str, object]:
    """Pub/Sub, then Bigtable answer nobody for some seconds; then Redis forgets everything. What was noticed of it."""
    for server in (run.servers["pubsub"], run.servers["bigtable"]):
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        server.signal(signal.SIGCONT)
        await asyncio.sleep(BREATH_SECONDS)
    async with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        flushed = await redis.dbsize()
        await redis.flushall()
    return {"flushed": flushed, "errors": "\n".join(run.platform.log_tail(name, lines=200) for name in SERVICES)}


async def roll_out(run: Run) -> None:
    """The new process of each service starts beside the old one, which is told to end once all of them work or stand by."""
    for name in SERVICES:
        run.platform.start_beside(name, environment={"INSTANCE_ID": f"{name}{NEW}@test"})

    async def overlaps() -> bool:
        logs = {name: run.platform.log_tail(name, lines=1000) for name in SERVICES}
        began = (
            f"ingestion{NEW}-test-" in logs["ingestion"]
        )  # its session: the old one's coverage is taken up without a gap
        return began and all(f'"{name}{NEW}@test"' in log for name, log in logs.items())

    await run.platform.until(overlaps, "the new processes to work beside the old ones", 60)
    await asyncio.sleep(BREATH_SECONDS)
    for name in SERVICES:
        assert await run.platform.end_older(name, END_SECONDS_MAX) == 0, run.platform.log_tail(name)
