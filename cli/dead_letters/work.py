"""Reads and requeues dead letters of whichever bus the environment chooses."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from shared.bus.port import Bus, DeadLetter
from shared.domain.errors import PermanentError
from shared.domain.topology import Topology
from shared.runtime.adapters import chosen, open_bus
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology

LETTERS_MAX: Final = 10_000  # of a subscription, in memory at once
ResultT = TypeVar("ResultT")


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter with what the topology says of it. age_seconds: since it died."""

    dead: DeadLetter
    topic: str
    age_seconds: float


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which ones are meant. everything: needed where no ids are named, so that nobody requeues all by a slip."""

    subscription: str = ""
    reason: str = ""
    message_ids: tuple[str, ...] = ()
    everything: bool = False
    limit: int = LETTERS_MAX


class Requeued(msgspec.Struct, frozen=True, kw_only=True):
    """What became of them: published again, or left because they never were events of ours, or gone meanwhile."""

    again: list[Letter]
    never_events: list[Letter]
    gone: list[Letter]


def run_list(wanted: Filter) -> list[Letter]:
    """Those that the filter means, oldest first within each subscription."""
    return _with_bus(lambda bus, topology: _found(bus, topology, wanted))


def run_show(message_id: str, subscription: str) -> Letter:
    """The one with this id. Raises PermanentError where there is none, or several."""
    found = run_list(Filter(subscription=subscription, message_ids=(message_id,)))
    if not found:
        raise PermanentError(f"no dead letter has the id {message_id!r}: `cst dead-letters list` shows those there are")
    if len({letter.dead.subscription for letter in found}) > 1:
        names = ", ".join(letter.dead.subscription for letter in found)
        raise PermanentError(f"several have the id {message_id!r}: name one with --subscription ({names})")
    return found[0]


def run_requeue(wanted: Filter, *, dry_run: bool) -> Requeued:
    """Publish again what the filter means; with dry_run nothing is changed."""
    if bool(wanted.message_ids) is wanted.everything:
        raise PermanentError("name the ids to requeue, or say --all (with --reason: all with that reason)")
    return _with_bus(lambda bus, topology: _requeue(bus, topology, wanted, dry_run=dry_run))


async def _requeue(bus: Bus, topology: Topology, wanted: Filter, *, dry_run: bool) -> Requeued:
    letters = await _found(bus, topology, wanted)
    missing = sorted(set(wanted.message_ids) - {letter.dead.message_id for letter in letters})
    if missing:
        raise PermanentError(f"no dead letter has the id {', '.join(missing)}: nothing was requeued")
    events = [letter for letter in letters if letter.dead.was_event]
    revived: set[tuple[str, str]] = set()
    for subscription in dict.fromkeys(letter.dead.subscription for letter in events):
        ids = [letter.dead.message_id for letter in events if letter.dead.subscription == subscription]
        done = ids if dry_run else await bus.requeue(subscription, ids)
        revived |= {(subscription, message_id) for message_id in done}
    return Requeued(
        again=[letter for letter in events if (letter.dead.subscription, letter.dead.message_id) in revived],
        never_events=[letter for letter in letters if not letter.dead.was_event],
        gone=[letter for letter in events if (letter.dead.subscription, letter.dead.message_id) not in revived],
    )


async def _found(bus: Bus, topology: Topology, wanted: Filter) -> list[Letter]:
    declared = [topology.subscription(wanted.subscription)] if wanted.subscription else list(topology.subscriptions)
    limit = LETTERS_MAX if wanted.message_ids or wanted.reason else wanted.limit
    read = await asyncio.gather(*(bus.dead_letters(item.name, limit=limit) for item in declared))
    now_ms = time.time_ns() // 1_000_000
    return [
        Letter(dead=dead, topic=item.topic, age_seconds=max(0, now_ms - dead.dead_at_ms) / 1000)
        for item, dead_letters in zip(declared, read, strict=True)
        for dead in [one for one in dead_letters if _is_meant(one, wanted)][: wanted.limit]
    ]


def _is_meant(dead: DeadLetter, wanted: Filter) -> bool:
    by_id = not wanted.message_ids or dead.message_id in wanted.message_ids
    return by_id and wanted.reason.lower() in dead.reason.lower()


def _with_bus(work: Callable[[Bus, Topology], Awaitable[ResultT]]) -> ResultT:
    settings, topology = ServiceSettings.load(), load_topology()
    if chosen(settings).bus == "sqlite" and not settings.database_file.is_file():
        raise PermanentError(
            f"nothing has run in {settings.data_dir}: DATA_DIR names the folder (the demo's is data/demo), BUS another bus"
        )

    async def run() -> ResultT:
        async with open_bus(settings, topology, settings.clock()) as bus:
            return await work(bus, topology)

    return asyncio.run(run())
