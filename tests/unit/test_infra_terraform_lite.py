"""The units of the profile lite start what the project has, and systemd understands them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.supervisor.plan import SERVICES
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.port import Write
from shared.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
LITE = ROOT / "infra" / "lite"
UNITS = sorted((LITE / "systemd").iterdir())
PYTHON = "/opt/crypto-signals/.venv/bin/python -m "


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def commands() -> list[str]:
    """What the units execute, the template's once for every service."""
    found = [command for unit in UNITS for command in values(unit, "ExecStart")]
    return [command.replace("%i", service) for command in found for service in (SERVICES if "%i" in command else ("",))]


@pytest.mark.parametrize("command", commands())
def test_what_a_unit_executes_is_a_command_of_the_project(command):
    if command.startswith(PYTHON + "cli.main "):
        verb = command.removeprefix(PYTHON + "cli.main ").split()[0]
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", verb, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Usage:" in done.stdout) == (0, True), done.stderr
    elif command.startswith(PYTHON):
        assert importlib.util.find_spec(command.removeprefix(PYTHON)) is not None
    else:
        script = ROOT / Path(command).relative_to("/opt/crypto-signals")
        assert os.access(script, os.X_OK)


def test_the_target_starts_every_service_of_the_embedded_mode_and_no_others():
    [target] = [unit for unit in UNITS if unit.suffix == ".target"]
    wanted = {name for line in values(target, "Wants") for name in line.split()}
    assert wanted == {f"crypto-signals@{service}.service" for service in SERVICES}
    enabled = re.search(r"crypto-signals@\{([\w,]+)\}", (LITE / "install.sh").read_text(encoding="utf-8"))
    assert enabled is not None
    assert set(enabled[1].split(",")) == set(SERVICES)


def test_every_variable_of_the_environment_file_is_read_by_somebody():
    known = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    known |= {f"{name}_FILE" for name in known} | {"MPLCONFIGDIR"}  # matplotlib's own
    known |= set(re.findall(r"\$\{(\w+):", (LITE / "backup.sh").read_text(encoding="utf-8")))
    named = set(re.findall(r"^#?([A-Z_]+)=", (LITE / "environment.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= known


def test_systemd_understands_the_units(tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on the PATH")
    for unit in UNITS:
        name = unit.name.replace("@.", "@ingestion.")
        # Where nothing is installed, the programs themselves are missing; that they exist is judged above.
        text = re.sub(r"^(ExecStart)=\S+", r"\1=/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (tmp_path / name).write_text(text.replace("User=tracker", "User=root").replace("Group=tracker", "Group=root"))
    files = [str(file) for file in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    own = [line for line in done.stderr.splitlines() if "crypto-signals" in line and "not-found" not in line]
    assert not [line for line in own if "Unknown" in line or "ignoring" in line], done.stderr


def test_the_installer_keeps_what_an_operator_wrote(tmp_path: Path):
    secrets = tmp_path / "etc" / "crypto-signals" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "telegram-bot-token").write_text("1:a")
    variables = {"ROOT": str(tmp_path), "NO_SYSTEM": "1", "TELEGRAM_CHAT_ID": "42", "BACKUP_TARGET": "gs://somewhere"}

    def install() -> str:
        done = subprocess.run(
            [LITE / "install.sh"], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return (tmp_path / "etc" / "crypto-signals" / "environment").read_text()

    first = install()
    assert {"TELEGRAM_CHAT_ID=42", "BACKUP_TARGET=gs://somewhere"} <= set(first.splitlines())
    assert "TELEGRAM_BOT_TOKEN_FILE=/etc/crypto-signals/secrets/telegram-bot-token" in first.splitlines()
    config = tmp_path / "etc" / "crypto-signals" / "tracker.yaml"
    config.write_text("# mine\n")
    assert install() == first
    assert config.read_text() == "# mine\n"
    assert {unit.name for unit in UNITS} == {file.name for file in (tmp_path / "etc" / "systemd" / "system").iterdir()}


def test_the_machines_start_is_a_script_that_shells_understand(tmp_path: Path):
    template = (ROOT / "infra" / "modules" / "vm" / "startup.sh.tftpl").read_text(encoding="utf-8")
    script = tmp_path / "startup.sh"
    script.write_text(re.sub(r"\$\{\w+\}", "value", template))
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


async def rows_in(file: Path, *, add: int = 0) -> int:
    """How many signals the embedded file holds, after some were added."""
    database = open_database(file)
    store = SqliteStore(database, load_topology(), ScaledClock())
    await store.write([Write(table="signals", key=f"{number:04d}", value=b"signal") for number in range(add)])
    found = len(await store.scan("signals", "0", "9"))
    await store.close()
    await database.close()
    return found


async def test_a_backup_reaches_its_target_and_is_restored_from_there(tmp_path: Path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    assert await rows_in(data / "tracker.db", add=500) == 500
    environment = {**os.environ, "DATA_DIR": str(data), "PYTHON": sys.executable, "NO_SYSTEM": "1"}

    def call(script: str, *arguments: str, **more: str) -> str:
        command = [str(LITE / script), *arguments]
        done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "stays on this machine only" in call("backup.sh")
    assert str(elsewhere) in call("backup.sh", BACKUP_TARGET=str(elsewhere))
    [backup] = elsewhere.iterdir()
    for file in data.glob("tracker.db*"):
        file.unlink()  # the machine is lost
    call("restore.sh", str(backup))
    assert await rows_in(data / "tracker.db") == 500
