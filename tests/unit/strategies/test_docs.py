"""docs/strategies.md explains every strategy there is, with a picture that exists; the configuration of all runs them all."""

import re
from pathlib import Path

from services.logic_engine.configured import active_strategies
from shared.runtime.config import load_config
from shared.strategies.registry import STRATEGIES

ROOT = Path(__file__).resolve().parents[3]


def test_every_strategy_is_explained_and_every_picture_exists():
    text = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^## (.*)$", text, flags=re.MULTILINE))
    assert [name for name in STRATEGIES if name not in headings] == []
    pictures = re.findall(r"\((pictures/[^)]+)\)", text)
    assert {f"pictures/strategy_{name}.png" for name in STRATEGIES} <= set(pictures)
    assert [name for name in pictures if not (ROOT / "docs" / name).is_file()] == []


def test_the_configuration_of_all_strategies_runs_them_all():
    active = active_strategies(load_config(ROOT / "config" / "all-strategies.yaml"))
    assert {item.strategy.name for item in active} == set(STRATEGIES)
