"""What services do in a simulated history lies within what infra/topology.yaml lets their accounts do."""

from typing import Any

import pytest

from shared.domain.topology import Topology
from shared.runtime.service import ServiceContext
from shared.runtime.topology import load_topology
from tests.support.rights import Witness
from tests.support.simulation import world
from tests.support.simulation.plan import fault_free

NAMES = {"logic_engine": "logic-engine"}


@pytest.fixture(scope="module")
def witness() -> Witness:
    seen = Witness()

    class WatchedWorld(world.World):
        def _context(self, name: str, settings: Any) -> ServiceContext[Any]:
            context = super()._context(name, settings)
            service = NAMES.get(name, name)
            context.store = seen.store(context.store, service)
            context.bus = seen.bus(context.bus, service)
            return context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "World", WatchedWorld)
        world.run_history(fault_free(1))
    return seen


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load_topology()


@pytest.mark.parametrize("service", ["ingestion", "aggregator", "logic-engine", "notifier"])
def test_a_service_does_what_it_may_and_nothing_else(witness, topology, service):
    rights = next(item for item in topology.services if item.name == service)
    own = {item.name for item in topology.subscriptions if item.name.startswith(f"{service}--")}
    buried = {f"{name}--dead" for name in own}
    writable = {table.name for name in rights.writes for table in topology._matching(name)}

    assert witness.written[service], "it wrote nothing: the history shows nothing"
    assert witness.written[service] <= writable
    assert witness.read[service] <= {table.name for table in topology.tables_of(service)}
    assert witness.published.get(service, set()) <= {*rights.publishes, *buried}
    assert witness.pulled.get(service, set()) <= own
