"""The published reference values of indicators, as columns with NaN where nothing is printed."""

import csv
import json
import math
from pathlib import Path

import numpy as np


class Spy:
    """502 daily bars of SPY and the expected results that Stock.Indicators publishes for them."""

    def __init__(self, market_data: Path) -> None:
        self._folder = market_data / "indicators"
        with (self._folder / "spy_daily_502.quotes.csv").open(encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        self.columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "date"}
        self.columns["open_time_ms"] = np.arange(len(rows), dtype=np.int64) * 86_400_000

    def __getattr__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def expected(self, name: str, key: str) -> np.ndarray:
        text = (self._folder / f"spy_daily_502.{name}.json").read_text(encoding="utf-8")
        values = [bar.get(key) for bar in json.loads(text)]
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


class Sheet:
    """A ChartSchool sheet: its columns by their printed heads, and comparison to the last digit printed in each cell."""

    def __init__(self, market_data: Path, name: str) -> None:
        with (market_data / "indicators" / f"chartschool_{name}.csv").open(encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
        self._texts = {
            head.strip(): [row[place].strip() if place < len(row) else "" for row in rows[1:]]
            for place, head in enumerate(rows[0])
        }

    def __getitem__(self, head: str) -> np.ndarray:
        return np.array([float(text) if text else math.nan for text in self._texts[head]])

    def check(self, head: str, found: np.ndarray, *, first: int = 0) -> None:
        """Every cell from row `first` on is met, and nothing is found where nothing (or a filler 0) is printed."""
        rows = list(zip(found, self._texts[head], strict=True))[first:]
        assert sum(bool(text) for _, text in rows) >= 10
        for row, (value, text) in enumerate(rows, first):
            if math.isnan(value):
                assert not text or float(text) == 0, (head, row)
            elif text:
                last_digit = 10.0 ** -len(text.partition(".")[2])
                assert abs(value - float(text)) <= 0.5001 * last_digit + 1e-12 * abs(value), (head, row, value, text)


def tulip(market_data: Path) -> dict[str, list[np.ndarray]]:
    """The arrays of each Tulip vector, inputs first, by `name parameters`."""
    found: dict[str, list[np.ndarray]] = {}
    name = ""
    for line in (market_data / "indicators" / "tulip_vectors.txt").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("{"):
            found[name].append(np.array([float(item) for item in text.strip("{}").split(",") if item]))
        elif text and not text.startswith("#"):
            name = text
            found[name] = []
    return found
