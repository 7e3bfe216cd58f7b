"""Candles, Decisions and signals are those of the undisturbed run, whatever bus, store and cache do meanwhile.

Aggregator and logic engine run as their processes do, ingestion's publisher feeds them; the adapters fail as brokers and
databases fail. Every test says what struck. The same faults on the real emulators: tests/end_to_end/test_pipeline_roll_out.py.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from shared.domain.signals import ExitReason
from shared.domain.timeframe import MINUTE_MS
from shared.runtime import consumer
from tests.support.faulty import Faults
from tests.support.pipeline import (
    FIRST_MINUTE,
    LATE_MINUTE,
    MINUTES,
    SYMBOLS,
    Pipeline,
    Result,
    batches,
    corrected,
    interleaved,
    usable,
)

SHARES = tuple(name for name, kind in Faults.__annotations__.items() if kind is float)
END_MS = (FIRST_MINUTE + MINUTES) * MINUTE_MS


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoffs of a broken broker are seconds in production; here a market day passes in some."""
    monkeypatch.setattr(consumer, "RETRY_SECONDS_FIRST", 0.02)
    monkeypatch.setattr(consumer, "RETRY_SECONDS_MAX", 0.1)
    monkeypatch.setattr(consumer, "PULL_WAIT_SECONDS", 0.1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    made = Pipeline(tmp_path)
    yield made
    await made.close()


async def run(pipeline: Pipeline, feeds: list[list] | None = None) -> Result:
    """Everything fed, decided and stopped."""
    async with asyncio.timeout(100):
        async with asyncio.TaskGroup() as tasks:
            for number, feed in enumerate([batches("a")] if feeds is None else feeds):
                tasks.create_task(_feed(pipeline, str(number), feed))
        await pipeline.until_handled(END_MS)
        await asyncio.sleep(0.5)  # corrections of the last minutes
        pipeline.faults.end()
        await pipeline.stop_all()
    return await pipeline.result()


async def _feed(pipeline: Pipeline, name: str, some: list) -> None:
    async with pipeline.feed(name) as feed:
        for batch in some:
            await feed.offer(batch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The run that nothing disturbs; it holds all that the faults could spoil."""

    async def once() -> Result:
        pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed"))
        pipeline.start("one")
        result = await run(pipeline)
        await pipeline.close()
        return result

    result = asyncio.run(once())
    ends = {signal.exit.reason for signal in result.signals.values() if signal.exit}
    assert {ExitReason.TAKE_PROFIT, ExitReason.STOP_LOSS} <= ends
    assert LATE_MINUTE * MINUTE_MS in corrected(result)
    assert len(result.decisions) > 60 * len(SYMBOLS)
    assert len(list(usable(result))) > (MINUTES - 1) * len(SYMBOLS)
    assert result.dead_letters == 0
    return result


def same(result: Result, expected: Result) -> None:
    """Equal in everything that may not differ. Who vouches for a minute is evidence: another instance is another session."""
    assert result.candles.keys() == expected.candles.keys()
    found, wanted = (
        {key: replace(candle, vouched_by=()) for key, candle in one.candles.items()} for one in (result, expected)
    )
    assert [key for key in found if found[key] != wanted[key]] == []
    assert result.decisions.keys() == expected.decisions.keys()
    assert [key for key in result.decisions if result.decisions[key] != expected.decisions[key]] == []
    assert result.signals == expected.signals
    assert LATE_MINUTE * MINUTE_MS in corrected(result)
    assert result.dead_letters == 0


CASES = {
    "bus": Faults(seed=1, publish_refused=0.05, publish_unknown=0.05, pull_refused=0.1, acknowledge_lost=0.1),
    "redelivery and reorder": Faults(seed=2, publish_twice=0.3, reordered=0.3, acknowledge_late=0.02),
    "store": Faults(seed=3, store_unavailable=0.02, store_deadline=0.02),
    "everything": Faults(
        seed=4, publish_refused=0.02, publish_unknown=0.03, publish_twice=0.1, pull_refused=0.03, reordered=0.15,
        acknowledge_lost=0.05, store_unavailable=0.01, store_deadline=0.01, cache_unavailable=0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_faults_change_nothing(pipeline: Pipeline, undisturbed: Result, name: str):
    pipeline.faults = faults = CASES[name]
    ordered = {fault for fault in SHARES if getattr(faults, fault)}
    pipeline.start("one")

    result = await run(pipeline)

    same(result, undisturbed)
    assert {fault for fault in faults.struck if faults.struck[fault]} == ordered


async def test_nothing_answers_for_a_while(pipeline: Pipeline, undisturbed: Result):
    """Bus, store and cache are gone for longer than the leases; whoever led has lost its lease when they are back."""
    pipeline.start("one")

    async def outages() -> None:
        for minute in (60, 130):
            await pipeline.until_handled((FIRST_MINUTE + minute) * MINUTE_MS)
            pipeline.faults.down = True
            await asyncio.sleep(1.5)
            pipeline.faults.down = False

    outage = asyncio.create_task(outages())
    result = await run(pipeline)

    await outage
    same(result, undisturbed)


async def test_two_instances_of_each_service_overlap_as_in_a_roll_out(pipeline: Pipeline, undisturbed: Result):
    """The old instances lead, lose their leases while they are cut off from the store alone, and are stopped in the end."""
    old_faults = Faults(seed=5, publish_twice=0.1, reordered=0.2)
    pipeline.faults = Faults(seed=6, reordered=0.2)
    pipeline.start("old", old_faults)

    async def roll_out() -> None:
        await pipeline.until_handled((FIRST_MINUTE + 50) * MINUTE_MS)
        pipeline.start("new")
        await pipeline.until_handled((FIRST_MINUTE + 80) * MINUTE_MS)
        old_faults.store_unavailable = 1.0  # its lease runs out; what it pulled comes again elsewhere
        await asyncio.sleep(1.2)
        old_faults.store_unavailable = 0.0
        await pipeline.until_handled((FIRST_MINUTE + 150) * MINUTE_MS)
        await pipeline.stop("old")

    rolling = asyncio.create_task(roll_out())
    # Ingestion's instances overlap, too: the new one's session begins long before the old one's ends, cut elsewhere.
    feeds = [batches("a", end_minute=120), batches("b", first_minute=90, every_ms=20_000)]
    result = await run(pipeline, [interleaved(feeds)])

    await rolling
    same(result, undisturbed)
    for table in ("open-signals", "market-data-1m"):
        assert len({row.fence for row in await pipeline.store.scan(table, "", "~")} - {0, 1}) > 0, "nobody took over"
    assert old_faults.struck["store_unavailable"] > 0


async def test_an_emptied_cache_costs_nothing_but_a_status(pipeline: Pipeline, undisturbed: Result):
    pipeline.start("one")

    async def flush() -> int:
        flushed = 0
        while True:
            await asyncio.sleep(0.05)
            flushed += await pipeline.flush_cache()
            if await pipeline.handled_through() >= END_MS:
                return flushed

    flushing = asyncio.create_task(flush())
    result = await run(pipeline)

    assert await flushing > 0
    same(result, undisturbed)


async def test_beyond_the_freshness_only_the_gate_differs(tmp_path: Path, undisturbed: Result):
    """An outage longer than entries may wait: the same candles, the same conditions, and entries that say they are stale."""
    pipeline, engine_faults = Pipeline(tmp_path, entry_freshness_ms=5 * MINUTE_MS), Faults()
    pipeline.start("one", engine_faults=engine_faults)

    async def paced() -> None:
        """At the engine's pace, but for forty minutes in which it is cut off."""
        async with pipeline.feed("paced") as feed:
            for batch in batches("a"):
                minute = batch.watermark_ms // MINUTE_MS - FIRST_MINUTE
                engine_faults.down = 110 <= minute < 150
                await feed.offer(batch)
                if minute >= 40 and not engine_faults.down:
                    await pipeline.until_handled((FIRST_MINUTE + minute - 1) * MINUTE_MS)

    try:
        await paced()
        result = await run(pipeline, [])
    finally:
        await pipeline.close()

    assert result.candles == undisturbed.candles
    assert result.decisions.keys() == undisturbed.decisions.keys()
    stale = 0
    for key, decision in result.decisions.items():
        expected = undisturbed.decisions[key]
        gates = [gate for gate in decision.gates if gate.name != "freshness"]
        assert gates == [gate for gate in expected.gates if gate.name != "freshness"], key
        assert replace(decision, gates=expected.gates) == expected, key
        stale += not decision.gates_passed and expected.gates_passed
    assert stale > 0
