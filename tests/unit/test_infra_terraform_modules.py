"""What every module of infra/ must keep, read from its text; what Terraform itself can judge, infra/check.sh lets it judge."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

INFRA = Path(__file__).resolve().parents[2] / "infra"
FOLDERS = sorted({file.parent for file in INFRA.rglob("*.tf")})
PUBLIC = {"allUsers", "allAuthenticatedUsers"}
# Rights on the whole project; everything else is granted on one topic, table, secret, account or service.
PROJECT_ROLES = {
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/ondemandscanning.admin",  # the builder
    "roles/run.developer",  # the builder
    "roles/storage.objectViewer",  # the builder, on its uploads only
}
RUNNING = ("google_cloud_run_v2_worker_pool", "google_cloud_run_v2_service", "google_compute_instance")


@cache
def body(folder: Path) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """kind ("resource", "variable", ...) -> (name, content) of every block of the folder's files."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for file in sorted(folder.glob("*.tf")):
        for kind, blocks in hcl2.loads(file.read_text(encoding="utf-8")).items():
            for item in blocks if kind in {"resource", "data", "module", "variable", "output", "terraform"} else ():
                if kind == "terraform":
                    found.setdefault(kind, []).append((file.name, item))
                    continue
                [(first, content)] = ((name, value) for name, value in item.items() if not name.startswith("__"))
                if kind in {"resource", "data"}:
                    [(second, content)] = (
                        (name, value) for name, value in content.items() if not name.startswith("__")
                    )
                    first = f"{_bare(first)}.{_bare(second)}"
                found.setdefault(kind, []).append((_bare(first), content))
    return found


def _bare(text: Any) -> str:
    return str(text).strip('"')


def text_of(folder: Path) -> str:
    """The folder's code without its comments and without the declarations of its variables' names."""
    return "\n".join(re.sub(r"(^|\s)#.*", "", file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.tf")))


def resources() -> list[tuple[Path, str, dict[str, Any]]]:
    return [(folder, name, content) for folder in FOLDERS for name, content in body(folder).get("resource", [])]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(INFRA).as_posix())
def test_every_variable_is_used_and_explained(folder):
    code = text_of(folder)
    for name, content in body(folder).get("variable", []):
        own = re.escape(f'variable "{name}" {{')
        outside = re.sub(rf"{own}.*?\n}}\n", "", code, flags=re.DOTALL)
        assert re.search(rf"\bvar\.{name}\b", outside), f"{folder.name}: variable {name} is declared and never used"
        assert _bare(content.get("description", "")), f"{folder.name}: variable {name} has no description"
        assert "type" in content, f"{folder.name}: variable {name} has no type"
    for name, content in body(folder).get("output", []):
        assert _bare(content.get("description", "")), f"{folder.name}: output {name} has no description"


def test_every_module_is_used_by_an_environment_and_every_output_by_somebody():
    used = {
        _bare(call["source"]).rpartition("/")[2] for folder in FOLDERS for _, call in body(folder).get("module", [])
    }
    assert used == {folder.name for folder in FOLDERS if folder.parent.name == "modules"}
    everything = "\n".join(text_of(folder) for folder in FOLDERS)
    for folder in FOLDERS:
        for name, _ in body(folder).get("output", []):
            named = re.search(
                rf"\bmodule\.\w+(\[[^\]]+\])?\.{name}\b|\b\w+\.{name}\b", everything.replace(f'output "{name}"', "")
            )
            assert named or folder.name in {"platform", "vm"} or folder.parent.name == "environments", (
                f"{folder.name}: {name}"
            )


def test_only_telegrams_door_is_open_to_everybody():
    open_to_all = [
        (folder.name, name) for folder, name, content in resources() if any(word in str(content) for word in PUBLIC)
    ]
    assert open_to_all == [("webhook", "google_cloud_run_v2_service_iam_member.public")]
    reachable = {folder.name for folder in FOLDERS if "INGRESS_TRAFFIC_ALL" in text_of(folder)}
    assert reachable == {"webhook", "function"}  # IAM refuses everybody but the function's callers
    firewalls = [content for _, name, content in resources() if name.startswith("google_compute_firewall.")]
    assert [content["source_ranges"] for content in firewalls] == [['"35.235.240.0/20"']]


def test_whatever_runs_has_an_account_of_its_own():
    for folder, name, content in resources():
        if name.split(".")[0] in RUNNING:
            assert "service_account" in str(content), (
                f"{folder.name}: {name} would run as the project's default account"
            )
    calls = dict(body(INFRA / "modules" / "platform")["module"])
    accounts = {name: calls[name]["account_email"] for name in ("unit", "webhook", "function")}
    assert accounts == {
        "unit": "${module.iam.emails[each.value.service]}",
        "webhook": '${module.iam.emails["notifier-webhook"]}',
        "function": '${module.iam.emails["macro-engine"]}',
    }
    assert len(set(accounts.values())) == len(accounts)


@pytest.mark.parametrize("name", ["staging", "production", "lite"])
def test_the_example_of_an_environment_names_its_variables(name):
    folder = INFRA / "environments" / name
    example = (folder / "terraform.tfvars.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:# )?(\w+) += ", example, re.MULTILINE))
    declared = dict(body(folder)["variable"])
    required = {variable for variable, content in declared.items() if "default" not in content}
    assert required <= named <= set(declared)
    assert not [variable for variable in named if declared[variable].get("sensitive")], (
        "a file is no place for a secret"
    )


def test_nothing_is_made_before_its_api_is_enabled():
    calls = dict(body(INFRA / "modules" / "platform")["module"])
    enabled = {name for name, call in calls.items() if "google_project_service.this" in str(call.get("depends_on"))}
    later = {name for name, call in calls.items() if re.search(r"module\.(" + "|".join(enabled) + r")\b", str(call))}
    assert enabled | later == set(calls) - {"plan"}
    assert "google_project_service.this" in str(
        dict(body(INFRA / "environments" / "lite")["module"])["vm"]["depends_on"]
    )


def test_no_account_has_a_key_and_none_a_right_on_the_project_but_these():
    granted = {
        role
        for folder, name, _ in resources()
        if name.startswith("google_project_iam_member.")
        for role in re.findall(r"roles/[\w.]+", text_of(folder))
    }
    elsewhere = {
        "roles/artifactregistry.writer", "roles/bigtable.reader", "roles/bigtable.user", "roles/iam.serviceAccountUser",
        "roles/pubsub.publisher", "roles/pubsub.subscriber", "roles/run.invoker", "roles/secretmanager.secretAccessor",
        "roles/storage.objectCreator", "roles/storage.objectViewer",
    }  # fmt: skip
    everything = set(re.findall(r"roles/[\w.]+", "\n".join(text_of(folder) for folder in FOLDERS)))
    assert everything == PROJECT_ROLES | elsewhere
    assert granted - (elsewhere - PROJECT_ROLES) == PROJECT_ROLES
    assert not [
        name
        for _, name, _ in resources()
        if name.startswith(("google_service_account_key.", "google_project_iam_binding."))
    ]


def test_account_names_are_as_long_as_google_wants_them():
    named = {
        _bare(content["account_id"]) for _, name, content in resources() if name.startswith("google_service_account.")
    }
    for name in named - {"${each.key}"}:
        assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name), name


def test_secrets_are_never_in_the_code_and_reach_units_as_files():
    code = "\n".join(text_of(folder) for folder in FOLDERS)
    assert "secret_key_ref" not in code  # as a variable it would be fixed at the start
    for kind in ("service", "unit"):
        text = text_of(INFRA / "modules" / kind)
        assert '"${env.key}_FILE"' in text
        assert re.search(r'version\s+= "latest"', text)
    for folder in FOLDERS:
        for name, content in body(folder).get("variable", []):
            if "token" in name or name in {"secret_values", "first_values"}:
                assert content.get("ephemeral") is True, f"{folder.name}: {name} would stand in the state"


def test_all_modules_ask_for_the_provider_whose_schema_is_here():
    version = (INFRA / "offline" / "version").read_text().strip()
    for folder in FOLDERS:
        if folder.name != "plan":
            assert f'version = "{version}"' in text_of(folder), folder.name
        else:
            assert "required_providers" not in text_of(folder)
    schema = json.loads((INFRA / "offline" / "google.json").read_text(encoding="utf-8"))
    used = {name.split(".")[0].removeprefix("google_") for _, name, _ in resources()}
    data = {f"data_{name.split('.')[0]}" for folder in FOLDERS for name, _ in body(folder).get("data", [])}
    assert set(schema) == used | data, "run infra/offline/extract.py"
