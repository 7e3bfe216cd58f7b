"""Has every kernel ready before the first candle: compiled by `setup`, loaded from the cache here, never while serving."""

import os
from pathlib import Path


def load_kernels(cache_dir: Path, *, require_compiled: bool) -> int:
    """Load every kernel, compiling what the cache lacks; returns how many were compiled.

    Raises PermanentError at the first one that is lacking where `require_compiled` forbids that. Must run before anything
    imports Numba, which reads its cache folder once.
    """
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir.resolve())
    from shared.indicators import compilations, refuse_cold
    from shared.strategies.registry import warm_up

    if require_compiled:
        refuse_cold()
    warm_up(every_indicator=False)
    return compilations()
