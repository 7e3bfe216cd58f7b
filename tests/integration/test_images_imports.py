"""What each entry point imports, and what stands in its image's lock: nothing that only another service needs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What is large or slow to import, and of whom each belongs to.
HEAVY = (
    "ccxt",
    "fastapi",
    "flask",
    "functions_framework",
    "google.cloud.bigtable",
    "google.pubsub_v1",
    "grpc",
    "llvmlite",
    "matplotlib",
    "mplfinance",
    "numba",
    "pandas",
    "PIL",
    "psutil",
    "pyarrow",
    "redis",
    "scipy",
    "telegram",
    "typer",
    "uvicorn",
    "websockets",
)
# Brokers are imported where settings choose them, Numba once its cache's folder is known, matplotlib in the drawing process.
ALLOWED = {
    "services.ingestion.main": {"websockets"},
    "services.aggregator.main": {"websockets"},  # the venues' registry knows their feeds, too
    "services.logic_engine.main": set(),
    "services.notifier.main": {"telegram"},
    "services.notifier.webhook": {"telegram"},
    "services.macro_engine.main": set(),
    "services.simulator.main": {"fastapi", "uvicorn", "websockets"},
}
COMPILED, DRAWN = {"numba", "llvmlite"}, {"matplotlib", "mplfinance", "pandas", "pillow"}
LOCKED_NEVER = {
    "ingestion": COMPILED | DRAWN | {"python-telegram-bot", "fastapi"},
    "aggregator": COMPILED | DRAWN | {"python-telegram-bot", "fastapi"},
    "logic-engine": DRAWN | {"python-telegram-bot", "fastapi", "websockets", "scipy"},
    "notifier": COMPILED | {"fastapi", "scipy"},
    "macro-engine": COMPILED | DRAWN | {"python-telegram-bot", "fastapi", "scipy"},
    "simulator": COMPILED | DRAWN | {"python-telegram-bot", "google-cloud-pubsub", "grpcio", "redis"},
}


@pytest.mark.parametrize("module", ALLOWED)
def test_an_entry_point_imports_only_what_its_service_needs(module: str):
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert set(json.loads(answer.stdout)) <= ALLOWED[module]


@pytest.mark.parametrize("target", LOCKED_NEVER)
def test_an_image_holds_nothing_of_another_service(target: str):
    lock = (ROOT / "locks" / f"{target}.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE))

    assert locked
    assert not locked & LOCKED_NEVER[target]


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
