"""What each entry point imports, and what stands in its image's lock: all that it needs, nothing that only another service needs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What is large or slow to import, or leads to a broker that was not chosen.
HEAVY = (
    *(
        "ccxt",
        "fastapi",
        "flask",
        "functions_framework",
        "google.cloud.bigtable",
        "google.pubsub_v1",
        "grpc",
        "llvmlite",
    ),
    *("matplotlib", "mplfinance", "numba", "pandas", "PIL", "psutil", "pyarrow", "redis", "scipy", "telegram", "typer"),
    *("uvicorn", "websockets"),
)
COMPILED, DRAWN = {"numba", "llvmlite"}, {"matplotlib", "mplfinance", "pandas", "pillow"}
TELEGRAM, WEB = {"python-telegram-bot"}, {"fastapi", "uvicorn"}
CLOUD = (
    "shared.bus.pubsub_client",
    "shared.store.bigtable_admin",
    "shared.store.bigtable",
    "shared.cache.redis",
    "shared.runtime.otlp",
)


class Contents(NamedTuple):
    """Entry points, what of HEAVY they may import, what they import later, and what must not be in the lock."""

    entries: tuple[str, ...]
    heavy: set[str]
    late: tuple[str, ...]
    absent: set[str]


# Brokers are imported where settings choose them, Numba once its cache's folder is known, matplotlib in the drawing process.
IMAGES = {
    "ingestion": Contents(("services.ingestion.main",), {"websockets"}, CLOUD, COMPILED | DRAWN | TELEGRAM | WEB),
    # The venues' registry knows their feeds, too.
    "aggregator": Contents(("services.aggregator.main",), {"websockets"}, CLOUD, COMPILED | DRAWN | TELEGRAM | WEB),
    "logic-engine": Contents(
        ("services.logic_engine.main",),
        set(),
        ("shared.indicators.compiled", *CLOUD),
        DRAWN | TELEGRAM | WEB | {"scipy"},
    ),
    "notifier": Contents(
        ("services.notifier.main", "services.notifier.webhook"),
        {"telegram"},
        ("services.notifier.chart_drawing", "services.notifier.macro_drawing", *CLOUD),
        COMPILED | WEB | {"scipy"},
    ),
    "macro-engine": Contents(
        ("services.macro_engine.main",), set(), ("functions_framework", *CLOUD), COMPILED | DRAWN | TELEGRAM | {"scipy"}
    ),
    "simulator": Contents(
        ("services.simulator.main",),
        {"fastapi", "uvicorn", "websockets"},
        (),
        COMPILED | DRAWN | TELEGRAM | {"google-cloud-pubsub", "grpcio", "redis"},
    ),
    "tools": Contents(
        ("cli.main",), {"typer"}, ("cli.infra", "cli.dead_letters.commands", *CLOUD), COMPILED | DRAWN | WEB
    ),
}
# Imports as in the image: every package that its lock does not name is hidden.
IMPORTS = """
import json, sys
from importlib import import_module
from importlib.metadata import packages_distributions

locked, entries, late, heavy = {locked!r}, {entries!r}, {late!r}, {heavy!r}
ours = {{"cli", "research", "services", "shared"}}
hidden = {{
    package
    for package, names in packages_distributions().items()
    if package not in ours and not any(name.lower().replace("_", "-").replace(".", "-") in locked for name in names)
}}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
for module in entries:
    import_module(module)
print(json.dumps([name for name in heavy if name in sys.modules]))
for module in late:
    import_module(module)
"""


def locked(target: str) -> set[str]:
    """The packages of an image."""
    lock = (ROOT / "locks" / f"{'cli' if target == 'tools' else target}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE))


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_holds_all_that_it_runs_and_imports_only_what_it_needs(target: str):
    image = IMAGES[target]
    code = IMPORTS.format(locked=locked(target), entries=image.entries, late=image.late, heavy=HEAVY)

    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stderr
    assert set(json.loads(answer.stdout)) <= image.heavy


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_holds_nothing_of_another_service(target: str):
    assert locked(target)
    assert not locked(target) & IMAGES[target].absent


def test_no_strategy_has_a_kernel_that_warming_up_leaves_out():
    code = """
from pathlib import Path
from services.logic_engine.configured import active_strategies
from services.logic_engine.kernels import load_kernels
load_kernels(Path(".cache/kernels"), require_compiled=False)
from shared.indicators.compiled import kernel_names
from shared.runtime.config import load_config
loaded = kernel_names()
active_strategies(load_config(Path("config/all-strategies.yaml")))
print(*sorted(set(kernel_names()) - set(loaded)))
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert answer.stdout.split() == []
