"""What the function's process loads, and how soon it answers."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "llvmlite", "pandas", "matplotlib", "scipy", "telegram", "google.cloud.bigtable", "google.pubsub_v1")


def test_the_function_loads_neither_numba_nor_pandas_nor_a_broker_it_does_not_use():
    source = f"""
import sys
from functions_framework import create_app
create_app("run_signal_generation", "services/macro_engine/main.py", "http")
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )

    assert answer.stdout.split() == []
