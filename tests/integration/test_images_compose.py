"""docker/compose.yaml without Docker: its services' images, environments, commands and order, over real emulators and a real Redis."""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.emulators import running_pubsub
from tests.support.emulators_store import running_bigtable, running_redis
from tests.support.image_runs import running
from tests.support.images import PROJECT, build_image
from tests.support.simulator import free_port

ORDER = ("simulator", "ingestion", "aggregator", "logic-engine", "macro-engine", "notifier")
# The project's packages are taken: the aggregator's image has no Numba, and the engine's kernels are the other test's.
PLAIN = {"NUMBA_DISABLE_JIT": "1", "REQUIRE_COMPILED": "0"}

pytestmark = pytest.mark.skipif("IMAGE_TARGETS" not in os.environ, reason="half a minute: set IMAGE_TARGETS")


def _environment(service: dict[str, Any], places: dict[str, str]) -> dict[str, str]:
    """As compose fills it in without a .env, with its hosts' names on this machine."""
    found = {}
    for name, value in service.get("environment", {}).items():
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        for host, place in places.items():
            text = text.replace(host, place)
        found[name] = text
    return found


def test_compose_brings_up_the_platform_in_its_order(tmp_path: Path):
    services = yaml.safe_load((PROJECT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    (tmp_path / "redis").mkdir()
    with contextlib.ExitStack() as stack:
        places = {
            "pubsub:8085": stack.enter_context(running_pubsub()).address,
            "bigtable:8086": stack.enter_context(running_bigtable()).address,
            "redis:6379": stack.enter_context(running_redis(tmp_path / "redis")).address,
            "simulator:8790": f"127.0.0.1:{free_port()}",
        }
        tools = build_image("tools", tmp_path / "tools", installed=Path(sys.prefix))
        log = tmp_path / "resources.log"
        made = tools.start(
            log, command=tuple(services["resources"]["command"]), **_environment(services["resources"], places)
        )

        assert made.wait(120) == 0, log.read_text()
        for name in ORDER:
            service = services[name]
            image = build_image(service["build"]["target"], tmp_path / name, installed=Path(sys.prefix))
            environment = _environment(service, places) | PLAIN
            if name == "simulator":
                environment |= {"SIMULATOR_PORT": places["simulator:8790"].partition(":")[2]}
            run = stack.enter_context(
                running(image, tmp_path, command=tuple(service.get("command", ())), **environment)
            )
            check = service.get("healthcheck", {}).get("test", ["CMD", *image.healthcheck])[1:]

            assert image.healthy(check=tuple(check), **run.environment), f"{name}: {check}"
