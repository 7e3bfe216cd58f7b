"""Runs the real Terraform where it is installed, with a stand-in for the provider: infra/offline."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

INFRA = Path(__file__).resolve().parents[2] / "infra"
ROOT = """\
module "plan" {{
  source      = "{infra}/modules/plan"
  environment = "staging"
  project     = "signals-staging"
  region      = "us-central1"
  topology    = yamldecode(file("{infra}/topology.yaml"))
  settings    = yamldecode(file("{infra}/settings.yaml"))
  sizing      = yamldecode(file("{infra}/sizing.yaml")).full
  webhook_url = "https://notifier-webhook.example"
  venues      = ["bybit-linear", "binance-spot"]
  secrets_unused = []
}}
output "plan" {{ value = module.plan }}
"""


VERSION_MIN = (1, 11)


@cache
def is_installed() -> bool:
    """A Terraform that knows write-only arguments."""
    if shutil.which("terraform") is None:
        return False
    said = json.loads(run(INFRA, "version", "-json"))["terraform_version"]
    return tuple(int(part) for part in said.split("-")[0].split(".")[:2]) >= VERSION_MIN


def call(folder: Path, *arguments: str, offline: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """offline: the folder that copy_with_provider made, where a provider is needed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment["TF_CLI_CONFIG_FILE"] = os.devnull if offline is None else str(offline / "terraformrc")
    environment |= {"TF_DISABLE_PLUGIN_TLS": "1", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def run(folder: Path, *arguments: str, offline: Path | None = None) -> str:
    """Standard output; raises with what Terraform said."""
    done = call(folder, *arguments, offline=offline)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def outputs_of_the_plan(folder: Path) -> dict[str, Any]:
    """What infra/modules/plan makes of the real topology, settings and sizes."""
    (folder / "main.tf").write_text(ROOT.format(infra=INFRA))
    run(folder, "init", "-no-color", "-input=false")
    run(folder, "apply", "-no-color", "-auto-approve", "-input=false")
    outputs: dict[str, Any] = json.loads(run(folder, "output", "-json", "plan"))
    return outputs


def copy_with_provider(folder: Path) -> Path:
    """infra/ copied into the folder, with the stand-in beside it; returns the copy."""
    subprocess.run([INFRA / "offline" / "copy.sh", folder], check=True, env={**os.environ, "PYTHON": sys.executable})
    return folder / "infra"
