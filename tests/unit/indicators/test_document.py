"""docs/indicators.md is what the catalogue and TA-Lib say today."""

from pathlib import Path

from cli.indicators import document
from shared.indicators.catalogue import INDICATORS

PAGE = Path(__file__).parents[3] / "docs" / "indicators.md"


def test_the_page_is_what_the_command_writes(market_data):
    text = PAGE.read_text(encoding="utf-8")
    assert text == document(market_data), "run `cst indicators` and commit docs/indicators.md"


def test_every_indicator_has_its_line():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{item.label}` |" in text for item in INDICATORS)
