"""Runs the real Terraform where it is installed, without a provider: infra/modules/plan only reckons."""

import json
import os
import shutil
import subprocess
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


def is_installed() -> bool:
    return shutil.which("terraform") is not None


def run(folder: Path, *arguments: str) -> str:
    """Standard output; raises with what Terraform said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
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
