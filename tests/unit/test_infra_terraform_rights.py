"""A service's rights are for the tables and topics that its code names: none is missing, none is too much."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest

from cli.infra_settings import SERVICE_SETTINGS
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.topology import ServiceRights, Topology
from shared.runtime.adapters import require_tables
from shared.runtime.topology import load_topology
from shared.store.bigtable_connection import RefusedError

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = {
    "ingestion": "services.ingestion.main",
    "aggregator": "services.aggregator.main",
    "logic-engine": "services.logic_engine.main",
    "notifier": "services.notifier.main",
    "notifier-webhook": "services.notifier.webhook",
    "macro-engine": "services.macro_engine.main",
}
# One module names the tables of both sides; each side uses its own.
NAMED_AND_NOT_USED = {
    "logic-engine": {"macro-published"},
    "notifier": {"macro-bias"},
    "notifier-webhook": {"macro-bias"},
    "macro-engine": {"macro-bias"},
}
_TABLE = re.compile(r'^\w*TABLE\w*(?:: Final)? = "([a-z0-9-]+)"', re.MULTILINE)


@cache
def tables_named() -> dict[str, set[str]]:
    """module -> the tables whose names stand in it."""
    found = {}
    for file in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        if names := set(_TABLE.findall(file.read_text(encoding="utf-8"))):
            found[module] = names
    candles = {table.name for table in load_topology().tables if table.name.startswith("market-data-")}
    return {**found, "shared.store.candles": candles}


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("services", "shared")


@pytest.mark.parametrize("service", list(ENTRIES))
def test_a_service_may_use_the_tables_that_its_code_names_and_no_others(service):
    modules = {ENTRIES[service], *imports().find_upstream_modules(ENTRIES[service])}
    named = {table for module in modules for table in tables_named().get(module, ())}
    allowed = {table.name for table in load_topology().tables_of(service)} - {"leases"}  # any store names that one

    assert allowed == named - NAMED_AND_NOT_USED.get(service, set())


@pytest.mark.parametrize("service", [name for name in ENTRIES if name != "notifier-webhook"])
def test_a_service_may_publish_to_the_topics_that_its_code_names(service):
    topology = load_topology()
    folder = ROOT / "services" / service.replace("-", "_")
    code = "\n".join(file.read_text(encoding="utf-8") for file in folder.rglob("*.py"))
    named = {topic.name for topic in topology.topics if f'"{topic.name}"' in code}
    pulled = {name for name in (item.name for item in topology.subscriptions) if f'"{name}"' in code}
    rights = next(item for item in topology.services if item.name == service)
    own = {item.name for item in topology.subscriptions if item.name.startswith(f"{service}--")}

    assert named <= set(rights.publishes)
    assert pulled <= own


def test_every_table_and_every_topic_with_events_has_somebody_who_writes_it():
    topology = load_topology()
    written = {
        table.name for service in topology.services for name in service.writes for table in topology._matching(name)
    }
    published = {name for service in topology.services for name in service.publishes}

    assert written == {table.name for table in topology.tables}
    assert {topic.name for topic in topology.topics if topic.events} <= published
    assert {service.name for service in topology.services} == set(SERVICE_SETTINGS) == set(ENTRIES)


def test_a_service_asks_at_its_start_for_its_own_tables_only():
    topology = load_topology()
    assert [table.name for table in topology.tables_of("ingestion")] == ["ingestion-frontier", "refill-requests"]
    assert topology.tables_of("logic_engine") == topology.tables_of("logic-engine")
    assert topology.tables_of("") == topology.tables


@pytest.mark.parametrize(
    ("rights", "message"),
    [
        (ServiceRights(name="s", publishes=("nowhere",)), "publishes to declared topics"),
        (ServiceRights(name="s", reads=("decision",)), "reads and writes declared tables"),
        (ServiceRights(name="s", writes=("candles-*",)), "reads and writes declared tables"),
    ],
)
def test_rights_to_what_is_not_declared_are_refused(rights, message):
    real = load_topology()
    with pytest.raises(InvalidValueError, match=message):
        Topology(topics=real.topics, subscriptions=real.subscriptions, tables=real.tables, services=(rights,))


class StoreOfAnAccount:
    """A store whose account may read some tables only."""

    def __init__(self, readable: set[str], *, is_away: bool = False) -> None:
        self._readable = readable
        self._is_away = is_away
        self.asked: list[str] = []

    async def get(self, table: str, _key: str) -> None:
        self.asked.append(table)
        if self._is_away:
            raise TransientError("no answer")
        if table not in self._readable:
            raise RefusedError(f"permission denied, table {table}")


async def test_an_account_with_its_own_rights_starts_and_one_that_lacks_a_right_is_told_which():
    own = load_topology().tables_of("notifier-webhook")
    names = {table.name for table in own}

    store: Any = StoreOfAnAccount(names)
    await require_tables(store, own, RefusedError)
    assert set(store.asked) == names

    store = StoreOfAnAccount(names - {"audit"})
    with pytest.raises(PermanentError, match="tables audit: permission denied, table audit"):
        await require_tables(store, own, RefusedError)

    store = StoreOfAnAccount(names, is_away=True)
    await require_tables(store, own, RefusedError)  # waited for, later
