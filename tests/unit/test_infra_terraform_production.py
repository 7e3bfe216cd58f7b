"""Production as Terraform plans it, resource by resource; and that its reading finds what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.bus.pubsub_admin import declared_resources
from shared.runtime.topology import load_topology
from tests.support import terraform

pytestmark = pytest.mark.skipif(not terraform.is_installed(), reason="terraform is not on the PATH")
Planned = dict[str, list[dict[str, Any]]]
RUNNING = ("google_cloud_run_v2_worker_pool", "google_cloud_run_v2_service")


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terraform")
    terraform.copy_with_provider(folder)
    return folder


@pytest.fixture(scope="module")
def planned(offline: Path) -> Planned:
    """type -> what each resource is to be; the plan of environments/production/tests, whose own assertions held."""
    root = offline / "infra" / "environments" / "production"
    terraform.run(root, "init", "-backend=false", "-input=false", "-no-color", offline=offline)
    lines = terraform.run(root, "test", "-json", "-verbose", offline=offline).splitlines()
    [plan] = [message["test_plan"] for message in map(json.loads, lines) if message["type"] == "test_plan"]
    found: Planned = {}
    for change in plan["resource_changes"]:
        found.setdefault(change["type"], []).append({**change["change"]["after"], "address": change["address"]})
    return found


def names(resources: list[dict[str, Any]], key: str = "name") -> set[str]:
    return {item[key] for item in resources}


def test_every_topic_subscription_and_table_of_the_code_is_planned_and_the_other_way_round(planned):
    topology = load_topology()
    declared = declared_resources(topology)

    assert names(planned["google_pubsub_topic"]) == {item.name for item in declared if item.subscription_of is None}
    pulled = {item.name for item in declared if item.subscription_of is not None}
    pushed = {item["name"] for item in planned["google_pubsub_subscription"] if item["push_config"]}
    assert names(planned["google_pubsub_subscription"]) == pulled | pushed
    assert pushed == {"macro-engine--macro-triggers"}
    tables = {table.name for table in topology.tables}
    assert names(planned["google_bigtable_table"]) == tables == names(planned["google_bigtable_gc_policy"], "table")


def test_whatever_pulls_has_dead_letters_and_nothing_expires(planned):
    for item in planned["google_pubsub_subscription"]:
        assert item["expiration_policy"] == [{"ttl": ""}], item["name"]
        assert bool(item["dead_letter_policy"]) == (not item["name"].endswith("--dead") and not item["push_config"])
    forwarders = [item for item in planned["google_pubsub_subscription_iam_member"] if ".forwarder[" in item["address"]]
    assert len(forwarders) == len(load_topology().subscriptions)


def test_units_read_the_variables_and_secret_files_that_they_are_given(planned):
    known = yaml.safe_load((terraform.INFRA / "settings.yaml").read_text())
    services = {"run-signal-generation": "macro-engine", "ingestion-binance-spot": "ingestion"}
    running = [item for kind in RUNNING for item in planned[kind]]
    assert len(running) == 7
    for unit in running:
        settings = known[services.get(unit["name"], unit["name"])]
        [template] = unit["template"]
        [container] = template["containers"]
        given = {item["name"]: item["value"] for item in container["env"]}
        files = {f"{name}_FILE" for name in settings["secrets"]}
        assert set(given) <= {*settings["variables"], *files}
        mounted = {mount["name"]: mount["mount_path"] for mount in container["volume_mounts"] or ()}
        assert {given[name] for name in files & set(given)} == {f"{path}/value" for path in mounted.values()}
        assert (
            set(mounted)
            == {volume["name"] for volume in template["volumes"] or ()}
            <= names(planned["google_secret_manager_secret"], "secret_id")
        )


def test_everybody_may_call_the_webhook_and_nothing_else(planned):
    grants = [item for kind, items in planned.items() if "_iam_" in kind for item in items]
    public = [item for item in grants if str(item.get("member")).startswith("all")]
    assert [(item["name"], item["role"]) for item in public] == [("notifier-webhook", "roles/run.invoker")]
    internal = {
        item["name"]
        for item in planned["google_cloud_run_v2_service"]
        if item["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    }
    assert internal == {"notifier"}  # a unit as a service


def test_no_secret_stands_in_the_plan(planned):
    by_hand = [item for item in planned["google_secret_manager_secret_version"] if ".first[" in item["address"]]
    assert len(by_hand) == 4
    assert not [item for item in by_hand if item.get("secret_data") or item.get("secret_data_wo")]


def test_production_is_protected_waits_for_approval_and_has_backups(planned):
    held = [*planned["google_bigtable_instance"], *(item for kind in RUNNING for item in planned[kind])]
    assert all(item["deletion_protection"] for item in held)
    assert {item["deletion_protection"] for item in planned["google_bigtable_table"]} == {"PROTECTED"}
    assert all(item["automated_backup_policy"] for item in planned["google_bigtable_table"])
    [trigger] = planned["google_cloudbuild_trigger"]
    assert trigger["approval_config"] == [{"approval_required": True}]
    assert trigger["substitutions"]["_UNITS"].count(":") == 2 * 7


def test_whoever_must_be_told_is_told(planned):
    told = names(planned["google_monitoring_alert_policy"], "display_name")
    assert {"Dead letters wait", "A subscription falls behind", "Units report errors"} <= told
    assert {
        f"Nothing is published on {name}" for name in ("raw-tick-data-bybit", "candles-closed", "macro-bias-updates")
    } <= told
    assert len(planned["google_billing_budget"]) == 1


def test_what_is_wrong_is_found(offline: Path):
    """Else nothing that the stand-in for the provider passes would mean anything."""
    root = offline / "infra" / "wrong"
    root.mkdir()
    (root / "versions.tf").write_text((terraform.INFRA / "modules" / "redis" / "versions.tf").read_text())
    (root / "main.tf").write_text("""\
resource "google_pubsub_topic" "good" {
  name = "good"
}
resource "google_pubsub_topic" "misspelt" {
  nam = "a"
}
resource "google_pubsub_subscription" "mistyped" {
  name                 = "b"
  topic                = "good"
  ack_deadline_seconds = "soon"
}
resource "google_pubsub_subscription" "unknown_block" {
  name  = "c"
  topic = "good"
  dead_letters {}
}
output "unknown_attribute" {
  value = google_pubsub_topic.good.identity
}
""")
    terraform.run(root, "init", "-input=false", "-no-color", offline=offline)
    done = terraform.call(root, "validate", "-json", offline=offline)
    said = " ".join(f"{item['summary']}: {item['detail']}" for item in json.loads(done.stdout)["diagnostics"])
    assert 'The argument "name" is required' in said
    assert 'An argument named "nam" is not expected here' in said
    assert "a number is required" in said
    assert 'Blocks of type "dead_letters" are not expected here' in said
    assert 'no argument, nested block, or exported attribute named "identity"' in said
