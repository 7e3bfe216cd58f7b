"""Technical indicators: `kernels` (Numba), `checked` (their checked front), `plain` (the same in NumPy, no Numba).

Importing this package imports no Numba: services that only draw a chart use `plain` and stay small.
"""


def warm_up() -> list[str]:
    """Load (or, with a cold cache, compile) every indicator kernel; returns their names. Imports Numba."""
    from shared.indicators import kernels
    from shared.indicators.compiled import kernel_names

    return kernel_names(kernels.__name__)


def compilations() -> int:
    """How many kernels this process had to compile because the cache had none; rises never while serving."""
    from shared.indicators.compiled import cache_misses

    return cache_misses()
