"""`cst infra`: topics, subscriptions, dead letters and tables of infra/topology.yaml on emulators; checks real projects."""

import asyncio
import os
from collections.abc import Sequence

from cli.supervisor.plan import EMULATOR_VARIABLES
from shared.domain.errors import PermanentError
from shared.domain.topology import Topology
from shared.runtime.adapters import bigtable_place, chosen, pubsub_project
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology


def create() -> list[str]:
    """Make what is missing on the emulators; returns the names of what was made."""
    _only_emulators()
    return asyncio.run(create_all(ServiceSettings.load()))


def delete() -> list[str]:
    """Remove everything declared from the emulators; returns the names of what was removed."""
    _only_emulators()
    return asyncio.run(_delete(ServiceSettings.load()))


def check() -> list[str]:
    """What the chosen project or emulators lack, e.g. "topic candles-closed"; nothing is made."""
    settings = ServiceSettings.load()
    choice = chosen(settings)
    if (choice.bus, choice.store) == ("sqlite", "sqlite"):
        raise PermanentError("the embedded file needs no resources; for others set BUS=pubsub and STORE=bigtable")
    return asyncio.run(missing(settings))


def _only_emulators() -> None:
    """A real project is built by its infrastructure code, with review; never from here."""
    if not any(os.environ.get(name) for name in EMULATOR_VARIABLES):
        raise PermanentError(
            f"this works on emulators only: set {' and '.join(EMULATOR_VARIABLES)}; "
            "a real project gets its resources from infra/ (`cst infra check` names what it lacks)"
        )


async def create_all(settings: ServiceSettings) -> list[str]:
    """On those emulators whose variable is set."""
    topology = load_topology()
    made: list[str] = []
    if settings.pubsub_emulator_host:
        from shared.bus.pubsub_admin import create_resources
        from shared.bus.pubsub_client import PubSubClient

        client = await PubSubClient.connect(pubsub_project(settings), settings.pubsub_emulator_host)
        try:
            made += await create_resources(client, topology)
        finally:
            await client.close()
    if settings.bigtable_emulator_host:
        from shared.store.bigtable_admin import open_admin

        async with open_admin(*bigtable_place(settings)) as admin:
            made += _tables(await admin.create_tables(topology))
    return made


async def _delete(settings: ServiceSettings) -> list[str]:
    topology = load_topology()
    removed: list[str] = []
    if settings.pubsub_emulator_host:
        from shared.bus.pubsub_admin import delete_resources
        from shared.bus.pubsub_client import PubSubClient

        client = await PubSubClient.connect(pubsub_project(settings), settings.pubsub_emulator_host)
        try:
            removed += await delete_resources(client, topology)
        finally:
            await client.close()
    if settings.bigtable_emulator_host:
        from shared.store.bigtable_admin import open_admin

        async with open_admin(*bigtable_place(settings)) as admin:
            removed += _tables(await admin.delete_tables(topology))
    return removed


async def missing(settings: ServiceSettings) -> list[str]:
    """What the chosen brokers lack."""
    choice, topology = chosen(settings), load_topology()
    lacking: list[str] = []
    if choice.bus == "pubsub":
        lacking += await _missing_messaging(settings, topology)
    if choice.store == "bigtable":
        from shared.store.bigtable_admin import open_admin

        async with open_admin(*bigtable_place(settings)) as admin:
            lacking += _tables(await admin.missing_tables(topology))
    return lacking


async def _missing_messaging(settings: ServiceSettings, topology: Topology) -> list[str]:
    from shared.bus.pubsub_admin import missing_resources
    from shared.bus.pubsub_client import PubSubClient

    client = await PubSubClient.connect(pubsub_project(settings), settings.pubsub_emulator_host)
    try:
        return await missing_resources(client, topology)
    finally:
        await client.close()


def _tables(names: Sequence[str]) -> list[str]:
    return [f"table {name}" for name in names]
