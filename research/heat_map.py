"""Two parameters of a sweep as a table of colours: the best Sharpe of all sets that share their values. One HTML file."""

from collections.abc import Sequence
from html import escape
from typing import Any

from research.sweep import Candidate


def heat_map_html(title: str, candidates: Sequence[Candidate], across: str, down: str) -> str:
    """across, down: names of two parameters that vary."""
    best: dict[tuple[Any, Any], float] = {}
    for one in candidates:
        place = (one.parameters[across], one.parameters[down])
        best[place] = max(best.get(place, one.measures.sharpe), one.measures.sharpe)
    columns = list(dict.fromkeys(one.parameters[across] for one in candidates))
    rows = list(dict.fromkeys(one.parameters[down] for one in candidates))
    reach = max((abs(value) for value in best.values()), default=0.0) or 1.0
    head = "".join(f"<th>{escape(str(value))}</th>" for value in columns)
    body = "".join(
        f"<tr><th>{escape(str(row))}</th>"
        + "".join(_cell(best.get((column, row)), reach) for column in columns)
        + "</tr>"
        for row in rows
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>'
        "body{font:15px system-ui,sans-serif;margin:2em}td,th{padding:.4em .9em;text-align:right}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>Best Sharpe by {escape(across)} (across) and {escape(down)} (down), in sample: the best of many "
        f"tries looks good by chance alone.</p><table><tr><th></th>{head}</tr>{body}</table></body></html>\n"
    )


def _cell(value: float | None, reach: float) -> str:
    if value is None:
        return "<td></td>"
    share = round(70 * abs(value) / reach)
    colour = f"color-mix(in srgb, {'#0a7a4b' if value >= 0 else '#b3261e'} {share}%, white)"
    return f'<td style="background:{colour}">{value:.2f}</td>'
