"""`cst dead-letters` on the embedded bus and on Pub/Sub: the same words, the same effects."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cli.infra import create_all
from cli.main import main
from shared.bus.port import Bus
from shared.domain.events import Severity, SystemEvent
from shared.runtime.adapters import open_bus
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from tests.support.emulators import running_pubsub

NOTIFIER = "notifier--system-events"
VARIABLES = (
    "BUS",
    "STORE",
    "CACHE",
    "PUBSUB_EMULATOR_HOST",
    "BIGTABLE_EMULATOR_HOST",
    "BIGTABLE_INSTANCE",
    "REDIS_URL",
)


@pytest.fixture(params=["sqlite", "pubsub"])
def chosen_bus(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BUS", request.param)
    if request.param == "sqlite":
        yield request.param
        return
    with running_pubsub() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        asyncio.run(create_all(ServiceSettings()))
        yield request.param


@contextlib.asynccontextmanager
async def a_bus() -> AsyncIterator[Bus]:
    settings = ServiceSettings()
    async with open_bus(settings, load_topology(), settings.clock()) as bus:
        yield bus


def fact(version: int) -> SystemEvent:
    return SystemEvent(
        kind="fact", subject="a", version=version, severity=Severity.INFO, text="b", at_ms=1_780_000_000_000
    )


async def three_dead_and_one_that_never_was(bus: Bus) -> None:
    await bus.publish("system-events", [fact(number) for number in range(3)])
    taken = 0
    while taken < 3:
        for delivery in await bus.pull(NOTIFIER, max_messages=3, wait_seconds=1):
            await bus.dead_letter(delivery, "chat is gone" if delivery.event.version else "price must be > 0")
            taken += 1
    await bus.refuse(NOTIFIER, b"\xffgarbage", {"topic": "x"}, "frame is no JSON")


async def handled(bus: Bus, count: int) -> list[int]:
    """What the service gets, as far as it comes within half a minute."""
    found: list[int] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            deliveries = await bus.pull(NOTIFIER, max_messages=10, wait_seconds=1)
            found += [delivery.event.version for delivery in deliveries]
            await bus.acknowledge(deliveries)
    return sorted(found)


def cst(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["dead-letters", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


async def test_look_understand_requeue(chosen_bus: str, capsys: pytest.CaptureFixture[str]):
    async def told(*arguments: str) -> str:
        return (await asyncio.to_thread(cst, capsys, *arguments))[1]

    async with a_bus() as bus:
        await three_dead_and_one_that_never_was(bus)

        table = await told("list")
        listed = [json.loads(line) for line in (await told("list", "--json")).splitlines()]
        by_reason = {letter["reason"]: letter for letter in listed}
        assert len(listed) == 4
        assert "4 dead letter(s)" in table
        assert "chat is gone" in table
        assert {letter["topic"] for letter in listed} == {"system-events"}
        assert by_reason["price must be > 0"]["attempts"] == 1
        assert by_reason["frame is no JSON"]["was_event"] is False
        assert all(0 <= letter["age_seconds"] < 600 for letter in listed)

        shown = json.loads(await told("show", by_reason["price must be > 0"]["message_id"]))
        assert shown["data"]["version"] == 0
        assert shown["attributes"]["type"] == "SystemEvent"
        assert "garbage" in await told("show", by_reason["frame is no JSON"]["message_id"])

        assert "2 would be published again" in await told("requeue", "--all", "--reason", "CHAT", "--dry-run")
        assert "4 dead letter(s)" in await told("list")
        assert "2 published again, 0 stay" in await told("requeue", "--all", "--reason", "CHAT")
        assert await handled(bus, 2) == [1, 2]

        everything = await told("requeue", "--all", "--subscription", NOTIFIER)
        assert "1 published again, 1 stay" in everything
        assert "never was an event" in everything
        assert await handled(bus, 1) == [0]
        assert "1 dead letter(s)" in await told("list")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["requeue"], "name the ids to requeue, or say --all"),
        (["requeue", "1", "--all"], "name the ids to requeue, or say --all"),
        (["requeue", "not-there"], "no dead letter has the id not-there: nothing was requeued"),
        (["show", "not-there"], "no dead letter has the id 'not-there'"),
        (["list", "--subscription", "nobody"], "subscriptions are declared in infra/topology.yaml"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "tracker.db").touch()

    code, _, errors = cst(capsys, *arguments)

    assert code == 2
    assert text in errors
    assert errors.count("\n") == 1


def test_a_folder_where_nothing_ran_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "typo"))

    code, _, errors = cst(capsys, "list")

    assert (code, (tmp_path / "typo").exists()) == (2, False)
    assert "DATA_DIR names the folder" in errors
