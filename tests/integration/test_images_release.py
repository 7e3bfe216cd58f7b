"""docker/release: which commands it gives, in which order, and when it stops. The cloud's client and Docker are stand-ins that write
down how they were called; the real gcloud then says whether it knows every command and flag."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

RELEASE = Path(__file__).resolve().parents[2] / "docker" / "release"
GUIDES = ("first-deploy.md", "upgrade-and-rollback.md")
REGISTRY = "europe-west1-docker.pkg.dev/demo-project/crypto-signals"
POOLS = ("ingestion", "aggregator", "logic-engine", "notifier")
SERVICES = ("notifier-webhook", "run-signal-generation")
STAND_IN = """#!{python} -IS
import json, os, sys
called = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(called) + "\\n")
for words, text, code in json.loads(os.environ["ANSWERS"]):
    if all(any(word in part for part in called) for word in words):
        print(text)
        sys.exit(code)
"""
Answer = tuple[list[str], str, int]
READY: list[Answer] = [
    (["describe", "latestCreatedRevisionName"], "unit-00002", 0),
    (["describe", "latestReadyRevisionName"], "unit-00002", 0),
    (["describe", "status.url"], "https://unit-abc-ew.a.run.app", 0),
    (["print-identity-token"], "token", 0),
    (["revisions", "list"], "unit-00002\nunit-00001", 0),
]


class Release:
    """Runs a script's step and keeps what it called."""

    def __init__(self, folder: Path) -> None:
        self.calls_file = folder / "calls"
        self.digests = folder / "digests.txt"
        self._tools = folder / "tools"
        self._tools.mkdir()
        for name in ("gcloud", "curl", "docker"):
            tool = self._tools / name
            tool.write_text(STAND_IN.format(python=sys.executable))
            tool.chmod(0o755)
        targets = {*POOLS, "macro-engine"}
        self.digests.write_text("".join(f"{name} {REGISTRY}/{name}@sha256:{'0' * 64}\n" for name in sorted(targets)))

    def run(
        self, script: str, *step: str, answers: list[Answer], **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        self.calls_file.write_text("")
        variables = {
            "PATH": f"{self._tools}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
            "ANSWERS": json.dumps(answers),
            "DIGESTS": str(self.digests),
            "PROJECT": "demo-project",
            "REGION": "europe-west1",
            "REGISTRY": REGISTRY,
            "TAG": "abc1234",
        }
        command = ["bash", str(RELEASE / script), *step]
        return subprocess.run(command, env={**variables, **environment}, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[list[str]]:
        return [msgspec.json.decode(line, type=list[str]) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_deploying_makes_revisions_by_digest_and_moves_nothing(release: Release):
    answer = release.run("deploy.sh", "deploy", answers=READY)

    assert answer.returncode == 0, answer.stderr
    assert [call[4] for call in release.calls] == [*POOLS, *SERVICES]
    assert all("@sha256:" in next(part for part in call if part.startswith("--image=")) for call in release.calls)
    assert all("--no-promote" in call or "--no-traffic" in call for call in release.calls)


def test_an_image_without_a_digest_is_not_deployed(release: Release):
    release.digests.write_text(f"ingestion {REGISTRY}/ingestion:latest\n")

    answer = release.run("deploy.sh", "deploy", answers=READY)

    assert answer.returncode == 2
    assert "names no digest of ingestion" in answer.stderr
    assert release.calls == []


def test_smoke_asks_the_candidate_of_a_service_and_the_readiness_of_a_pool(release: Release):
    answer = release.run("deploy.sh", "smoke", answers=READY)

    asked = [call[-1] for call in release.calls if call[0] == "curl"]
    assert answer.returncode == 0, answer.stderr
    assert asked == ["https://candidate---unit-abc-ew.a.run.app/"] * len(SERVICES)


def test_a_unit_that_is_a_service_is_asked_by_its_probe_only(release: Release):
    answer = release.run("deploy.sh", "smoke", answers=READY, UNITS="notifier:notifier:private")

    assert answer.returncode == 0, answer.stderr
    assert [call for call in release.calls if call[0] == "curl"] == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((["describe", "latestReadyRevisionName"], "unit-00001", 0), "revision 'unit-00002' is not ready"),
        ((["curl"], "", 22), "does not answer 200"),
    ],
)
def test_smoke_stops_at_a_revision_that_does_not_work(release: Release, fault: Answer, said: str):
    answer = release.run("deploy.sh", "smoke", answers=[fault, *READY])

    assert answer.returncode == 2
    assert said in answer.stderr
    assert not [call for call in release.calls if "update-traffic" in call or "update-instance-split" in call]


def test_rollback_returns_every_unit_to_the_revision_before_its_newest(release: Release):
    answer = release.run("deploy.sh", "rollback", answers=READY)

    moved = [call[4] for call in release.calls if "--to-revisions=unit-00001=100" in call]
    assert answer.returncode == 0, answer.stderr
    assert moved == [*POOLS, *SERVICES]


def test_a_critical_weakness_closes_the_gate(release: Release):
    answers: list[Answer] = [(["scan", "notifier:"], "scans/2", 0), (["scan"], "scans/1", 0)]
    clean = [(["list-vulnerabilities"], "LOW\nMEDIUM", 0)]
    bad = [(["list-vulnerabilities", "scans/2"], "LOW\nCRITICAL", 0)]

    passed = release.run("images.sh", "scan", answers=[*clean, *answers])
    refused = release.run("images.sh", "scan", answers=[*bad, *clean, *answers])

    assert passed.returncode == 0, passed.stderr
    assert refused.returncode == 2
    assert "notifier has weaknesses" in refused.stderr


def _of_guide(name: str) -> list[str]:
    """The client's commands in a guide's blocks, its variables filled in."""
    text = (RELEASE.parents[1] / "docs" / "how-to" / name).read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
    found = re.findall(r"^gcloud .*$", re.sub(r"\$(\([^)]*\)|\w+)", "demo-value", blocks), flags=re.MULTILINE)
    return [" ".join(shlex.split(command)) for command in found]


def test_gcloud_knows_every_command(release: Release, tmp_path: Path):
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("gcloud is not installed")
    commands: dict[str, str] = {}  # one of each shape
    for script, step in (
        ("deploy.sh", "deploy"),
        ("deploy.sh", "smoke"),
        ("deploy.sh", "traffic"),
        ("deploy.sh", "rollback"),
        ("images.sh", "scan"),
    ):
        scanned: list[Answer] = [(["docker", "scan"], "scans/1", 0), (["list-vulnerabilities"], "LOW", 0)]
        answer = release.run(
            script,
            step,
            answers=[*READY, *scanned],
            TARGETS="ingestion",
            UNITS="ingestion:ingestion:pool notifier-webhook:notifier:public run-signal-generation:macro-engine:private",
        )
        assert answer.returncode == 0, answer.stderr
        for call in release.calls:
            shape = " ".join(part.partition("=")[0] for part in call if part not in {"ingestion", *SERVICES})
            if call[0] == "gcloud":
                commands[shape] = " ".join(call)
    commands |= {one: one for name in GUIDES for one in _of_guide(name)}
    # Older releases have worker pools among what is new.
    newer = {one: one.replace("gcloud run worker-pools", "gcloud beta run worker-pools") for one in commands.values()}
    file = tmp_path / "commands.json"
    file.write_text(json.dumps([{"command_string": one} for one in dict.fromkeys([*newer, *newer.values()])]))

    lint = [gcloud, "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    linted = subprocess.run(lint, capture_output=True, text=True, check=True)

    found = {item["command_string"]: item["error_message"] for item in json.loads(linted.stdout)}
    refused = {one: found[one] for one, other in newer.items() if found[one] and found[other]}
    assert len(newer) >= 10
    assert not refused
