"""Technical indicators: `kernels` (Numba), `checked` (their checked front), `plain` (the same in NumPy, no Numba).

Importing this package imports no Numba: services that only draw a chart use `plain` and stay small.
"""

from importlib import import_module
from typing import Final

FAMILIES: Final = (
    "averages",
    "board",
    "channels",
    "extremes",
    "levels",
    "momentum",
    "oscillators",
    "smoothing",
    "trend",
    "volatility",
    "volume",
)


def warm_up() -> list[str]:
    """Load (or, with a cold cache, compile) every indicator kernel; returns their names. Imports Numba."""
    from shared.indicators.compiled import kernel_names

    for family in FAMILIES:
        import_module(f"shared.indicators.kernels.{family}")
    return kernel_names("shared.indicators.kernels.")


def refuse_cold() -> None:
    """Have a kernel that the cache does not hold raise PermanentError at once, instead of being compiled. Imports Numba."""
    from shared.indicators.compiled import refuse_cold as refuse

    refuse()


def compilations() -> int:
    """How many kernels this process had to compile because the cache had none; rises never while serving."""
    from shared.indicators.compiled import cache_misses

    return cache_misses()
