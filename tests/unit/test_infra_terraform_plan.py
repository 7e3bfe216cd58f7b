"""Real Terraform makes of infra/topology.yaml what the code's own administration makes of it."""

import json
from datetime import timedelta
from typing import Any

import pytest
import yaml

from cli.infra_settings import SERVICE_SETTINGS, infra_settings_text
from shared.bus.pubsub_admin import RETENTION_HOURS, declared_resources
from shared.runtime.topology import load_topology
from shared.store.bigtable_admin import _collection
from shared.store.bigtable_cells import FAMILY
from tests.support import terraform

HOUR = 3600


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not terraform.is_installed():
        pytest.skip("terraform is not on the PATH")
    return terraform.outputs_of_the_plan(tmp_path_factory.mktemp("plan"))


def test_settings_yaml_is_what_the_settings_classes_say():
    file = terraform.INFRA / "settings.yaml"
    assert file.read_text(encoding="utf-8") == infra_settings_text(), "run `cst config env-example` and commit the file"


def test_topics_and_subscriptions_are_those_that_the_code_declares(plan):
    declared = declared_resources(load_topology())

    topics = {item.name for item in declared if item.subscription_of is None}
    assert {*plan["topics"], *plan["dead_letter_topics"]} == topics
    pulled = {
        item.name: (item.subscription_of, item.ack_deadline_seconds, item.dead_letter_topic, item.broker_attempts)
        for item in declared
        if item.subscription_of is not None
    }
    made = {
        name: (item["topic"], item["ack_deadline_seconds"], item["dead_letter_topic"], item["broker_attempts"])
        for name, item in plan["subscriptions"].items()
    }
    dead = {
        name: (item["topic"], item["ack_deadline_seconds"], None, 0)
        for name, item in plan["dead_letter_subscriptions"].items()
    }
    assert {**made, **dead} == pulled
    kept = [*plan["subscriptions"].values(), *plan["dead_letter_subscriptions"].values()]
    assert {item["retention_seconds"] for item in kept} == {RETENTION_HOURS * HOUR}
    assert {item["topic"] for item in plan["push_subscriptions"].values()} <= topics


def test_tables_collect_what_the_code_collects(plan):
    tables = load_topology().tables
    assert set(plan["tables"]) == {table.name for table in tables}
    for table in tables:
        made = plan["tables"][table.name]
        assert made["family"] == FAMILY
        assert _as_the_code_says(json.loads(made["gc_rules"])) == _collection(table), table.name


def _as_the_code_says(rules: dict[str, Any]) -> dict[str, Any]:
    """The provider's JSON in the words of the client library."""
    words: list[dict[str, Any]] = [
        {"max_num_versions": rule["max_version"]}
        if "max_version" in rule
        else {"max_age": timedelta(hours=int(rule["max_age"].removesuffix("h")))}
        for rule in rules["rules"]
    ]
    return {rules["mode"]: {"rules": words}} if "mode" in rules else words[0]


def test_each_account_gets_the_declared_tables_and_no_others(plan):
    topology = load_topology()
    granted = {(item["service"], item["table"]) for item in plan["table_rights"].values()}
    assert granted == {
        (service.name, table.name) for service in topology.services for table in topology.tables_of(service.name)
    }
    assert set(plan["accounts"]) == {service.name for service in topology.services} == set(SERVICE_SETTINGS)


def test_every_secret_of_the_code_is_a_secret_of_the_infrastructure_and_the_other_way_round(plan):
    known: dict[str, Any] = yaml.safe_load((terraform.INFRA / "settings.yaml").read_text())
    in_code = {name.lower().replace("_", "-") for service in known.values() for name in service["secrets"]}
    assert set(plan["secrets"]) == in_code
    assert {item["secret"] for item in plan["secret_readers"].values()} == in_code


def test_every_service_runs_with_settings_it_reads(plan):
    known = yaml.safe_load((terraform.INFRA / "settings.yaml").read_text())
    running = [*plan["units"].values(), {**plan["webhook"], "service": "notifier-webhook"}]
    running.append({**plan["function"], "service": "macro-engine"})
    assert {item["service"] for item in running} == set(SERVICE_SETTINGS)
    for item in running:
        assert set(item["environment"]) <= set(known[item["service"]]["variables"])
        assert set(item["secrets"]) <= set(known[item["service"]]["secrets"])
