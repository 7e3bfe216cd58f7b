"""Button data: what fits into Telegram's 64 bytes and names what is asked for."""

import re
from typing import Final

CALLBACK_BYTES_MAX: Final = 64
_CHART: Final = re.compile(r"chart:([0-9a-f]{16})")


def chart_callback(signal_id: str) -> str:
    """The data of a chart button."""
    return f"chart:{signal_id}"


def signal_of_chart_callback(data: str | None) -> str | None:
    """The signal a chart button names; None for anything else."""
    match = _CHART.fullmatch(data or "")
    return match.group(1) if match else None
