"""Has every kernel ready before the first candle: compiled by `setup`, loaded from the cache here, never while serving."""

import os
from pathlib import Path

from shared.runtime.settings import require_writable


def use_kernels(cache_dir: Path, *, require_compiled: bool) -> None:
    """From now on kernels come from this cache. Building a strategy loads its own and no other, which is a quicker start.

    A kernel that the cache lacks is compiled then, or is a PermanentError where `require_compiled` forbids that. Must run
    before anything imports Numba, which reads its cache folder once.
    """
    require_writable(cache_dir, "NUMBA_CACHE_DIR")  # or every start compiles anew, for minutes
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir.resolve())
    from shared.indicators import refuse_cold

    if require_compiled:
        refuse_cold()


def load_kernels(cache_dir: Path, *, require_compiled: bool) -> int:
    """Load the kernels of every strategy there is, as `use_kernels` says; returns how many were compiled."""
    use_kernels(cache_dir, require_compiled=require_compiled)
    from shared.indicators import compilations
    from shared.strategies.registry import warm_up

    warm_up(every_indicator=False)
    return compilations()
