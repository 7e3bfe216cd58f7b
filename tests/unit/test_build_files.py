"""The image, compose, Cloud Build and workflow files agree with one another and with the code; their schemas are checked by run_tests.sh."""

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("ingestion", "aggregator", "logic-engine", "notifier", "macro-engine", "simulator", "tools")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    parser = DockerfileParser(path=str(ROOT / "docker" / "Dockerfile"))
    for item in parser.structure:
        if item["instruction"] == "FROM":
            found[item["value"].partition(" AS ")[2]] = []
        elif item["instruction"] != "COMMENT":
            list(found.values())[-1].append((item["instruction"], item["value"]))
    return found


def values(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [value for name, value in stage if name == instruction]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))


def test_every_service_has_a_target_with_its_own_lock_only():
    for target in TARGETS:
        lock = "cli" if target == "tools" else target
        copies = values(stages()[f"build-{target}"], "COPY")

        assert [copy for copy in copies if copy.startswith("locks/")] == [f"locks/{lock}.txt locks/{lock}.txt"]
        assert f"--from=build-{target} /opt/venv /opt/venv" in values(stages()[target], "COPY")
    services = {file.parent.name.replace("_", "-") for file in (ROOT / "services").glob("*/main.py")}
    assert services <= set(TARGETS)


def test_what_is_copied_is_let_into_the_build_and_secrets_are_not():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]

    def enters(path: str) -> bool:
        return any(fnmatch(path, one) or path.startswith(f"{one}/") for one in let_in)

    copies = [
        value.split()[:-1] for stage in stages().values() for value in values(stage, "COPY") if "--from" not in value
    ]
    sources = {source for words in copies for source in words}

    assert "*" in lines
    assert sources
    assert not [source for source in sources if not enters(source)]
    assert not [
        path for path in (".env", ".git", "data", "infra/environments/staging/terraform.tfvars") if enters(path)
    ]


def test_the_base_is_pinned_by_its_digest():
    [(_, base)] = stages()[""]

    assert DIGEST.search(base)


def test_images_run_as_nobody_with_a_health_check():
    run = stages()["run"]

    assert values(run, "USER") == ["10001:10001"]
    assert all("healthcheck.py" in value for value in values(run, "HEALTHCHECK"))
    assert values(run, "HEALTHCHECK")
    assert not [target for target in TARGETS if values(stages()[target], "USER")]


def test_kernels_are_compiled_for_the_processor_they_run_on():
    def numba(stage: str) -> set[str]:
        return {
            part for value in values(stages()[stage], "ENV") for part in value.split() if part.startswith("NUMBA_CPU")
        }

    assert numba("build-logic-engine") == numba("logic-engine") != set()
    assert any("REQUIRE_COMPILED=1" in value for value in values(stages()["logic-engine"], "ENV"))


def test_compose_starts_every_image_and_waits_for_its_health():
    services = compose()["services"]

    built = {one["build"]["target"] for one in services.values() if "build" in one}
    pulled = [one["image"] for one in services.values() if "image" in one]
    waited = {name for one in services.values() for name in one.get("depends_on", {})}

    assert built == set(TARGETS)
    assert len(pulled) == 3
    assert all(DIGEST.search(image) for image in pulled)
    assert {"resources", "pubsub", "bigtable", "redis", "simulator"} == waited
    assert all(one["read_only"] for one in services.values() if "build" in one)


def steps() -> list[dict[str, Any]]:
    return yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))["steps"]


def test_the_build_moves_nothing_before_tests_scan_and_smoke():
    order = [step["id"] for step in steps()]

    assert order == [
        "prepare",
        "lint",
        "infrastructure",
        "checkov",
        "tests",
        "build",
        "scan",
        "push",
        "deploy",
        "smoke",
        "traffic",
    ]
    assert not [step for step in steps() if "waitFor" in step]  # one after the other


def test_the_build_makes_and_deploys_what_there_is():
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))
    units = [unit.split(":") for unit in build["substitutions"]["_UNITS"].split()]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "images.yaml").read_text(encoding="utf-8"))

    assert tuple(build["substitutions"]["_TARGETS"].split()) == TARGETS
    assert tuple(workflow["jobs"]["image"]["strategy"]["matrix"]["target"]) == TARGETS
    assert {target for _, target, _ in units} == set(TARGETS) - {"simulator", "tools"}
    assert [unit for unit, _, kind in units if kind == "public"] == ["notifier-webhook"]
    for name in ("images.sh", "deploy.sh"):  # by hand the same as there
        script = (ROOT / "docker" / "release" / name).read_text(encoding="utf-8").replace("\\\n", "")
        [[variable, default]] = re.findall(r"=\$\{(TARGETS|UNITS):-([^}]*)\}", script)
        assert default.split() == build["substitutions"][f"_{variable}"].split()


def test_actions_are_pinned_and_may_do_nothing_more_than_they_must():
    for file in (ROOT / ".github" / "workflows").glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        used = re.findall(r"uses: (\S+)", text)

        assert used
        assert all(name.startswith("./") or re.search(r"@[0-9a-f]{40}$", name) for name in used), file
        assert "permissions" in yaml.safe_load(text), file
