"""Take the charts as they are drawn now as the approved ones. Look at them before you commit them.

.venv/bin/python -m tests.support.approve_charts [NAME ...]
"""

import sys
from pathlib import Path

from services.notifier.chart_drawing import draw_chart
from tests.support.chart_cases import chart_cases
from tests.support.pictures import picture, small

APPROVED = Path(__file__).resolve().parents[1] / "approved" / "charts"


def main() -> None:
    """Write the approved pictures, all or the named ones; those of cases that are gone are removed."""
    cases = chart_cases()
    wanted = sys.argv[1:] or list(cases)
    if unknown := set(wanted) - set(cases):
        sys.exit(f"no such chart: {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    APPROVED.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        small(picture(draw_chart(cases[name]))).save(APPROVED / f"{name}.png", optimize=True)
        print(f"approved {name}")  # noqa: T201 - a command
    for file in APPROVED.glob("*.png"):
        if file.stem not in cases:
            file.unlink()
            print(f"removed {file.stem}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
