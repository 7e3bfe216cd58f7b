"""Has every kernel ready before the first candle: compiled by `setup`, loaded from the cache here, never while serving."""

import os
from pathlib import Path

from shared.domain.errors import PermanentError


def load_kernels(cache_dir: Path, *, require_compiled: bool) -> int:
    """Load every kernel, compiling what the cache lacks; returns how many were compiled.

    Raises PermanentError where some were and `require_compiled` forbids it. Must run before anything imports Numba, which
    reads its cache folder once.
    """
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir.resolve())
    from shared.indicators import compilations
    from shared.strategies.registry import warm_up

    names = warm_up(every_indicator=False)
    compiled = compilations()
    if compiled and require_compiled:
        raise PermanentError(
            f"{compiled} of {len(names)} kernels were not in the cache {cache_dir}: run ./start_services.sh setup"
        )
    return compiled
