"""One leads, the others stand by; whoever loses the lease stops, and a restarted process takes over at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import FencedError
from shared.runtime.leadership import Term, lead
from shared.runtime.service import ServiceContext, open_context
from shared.runtime.settings import ServiceSettings


class Process:
    """A service that does nothing but lead."""

    def __init__(self, context: ServiceContext[Any]) -> None:
        self.context = context
        self.terms: list[Term] = []
        self.ended = 0
        self._task: asyncio.Task[None] | None = None

    def start(self, *, ttl_ms: int = 60_000) -> None:
        self._task = asyncio.create_task(lead(self.context, "a-lease", self._serve, ttl_ms=ttl_ms, retry_seconds=0.02))

    async def _serve(self, term: Term) -> None:
        self.terms.append(term)
        await term.run(self._work)
        self.ended += 1

    async def _work(self) -> None:
        await self.terms[-1].over.wait()

    async def stop(self) -> None:
        self.context.stopping.set()
        if self._task is not None:
            await asyncio.wait_for(self._task, 5)


@asynccontextmanager
async def processes(folder: Path, *instances: str) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        made: list[Process] = []
        for instance in instances:
            settings = ServiceSettings(DATA_DIR=folder, INSTANCE_ID=instance)
            made.append(Process(await stack.enter_async_context(open_context("leader", settings))))
        try:
            yield made
        finally:
            for process in made:
                await process.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_standby_leads_when_the_leader_stops(tmp_path):
    async with processes(tmp_path, "a", "b") as (first, second):
        first.start()
        await until(lambda: first.terms)
        second.start()
        await asyncio.sleep(0.2)
        assert second.terms == []
        assert b"standby" in (await second.context.cache.get("status:leader") or b"")

        await first.stop()
        await until(lambda: second.terms)  # long before the lease would end

        assert first.ended == 1
        assert second.terms[0].fence > first.terms[0].fence


async def test_a_restarted_instance_takes_over_at_once_and_the_paused_one_stands_by(tmp_path):
    async with processes(tmp_path, "same", "same") as (paused, restarted):
        paused.start(ttl_ms=1_000)
        await until(lambda: paused.terms)
        restarted.start(ttl_ms=1_000)
        await until(lambda: restarted.terms)
        assert restarted.terms[0].fence > paused.terms[0].fence

        await until(lambda: paused.ended)  # its renewal is refused
        await asyncio.sleep(1.2)

        assert (len(paused.terms), len(restarted.terms)) == (1, 1)
        assert not restarted.terms[0].over.is_set()


async def test_a_fenced_leader_ends_its_term_and_asks_again(tmp_path):
    async with processes(tmp_path, "a") as (process,):
        process.start()
        await until(lambda: process.terms)
        process.terms[0].lost(FencedError("a newer owner wrote"))
        await until(lambda: len(process.terms) == 2)
        assert process.terms[1].fence > process.terms[0].fence


async def test_a_job_that_raises_ends_the_term_and_the_service(tmp_path):
    async with processes(tmp_path, "a") as (process,):

        async def serve(term: Term) -> None:
            async def fail() -> None:
                raise ValueError("a fault")

            await term.run(fail)

        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await asyncio.wait_for(lead(process.context, "a-lease", serve, ttl_ms=60_000, retry_seconds=0.02), 5)
