"""The one way to make a kernel: compiled when its module is imported, for one signature, through the on-disk cache.

Numba fixes a function with an explicit signature to it: a call with other types is a TypeError, never a compilation.
Numba keys the cached code of a kernel by its own file only, although what it calls in another file is compiled into it.
A kernel that calls kernels of another file therefore names that file's digest in its own text; a test compares them.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
_KERNELS: Final[dict[str, Any]] = {}


def kernel(signature: str) -> Callable[[_Function], _Function]:
    """Compile the function for this signature. No fast-math: the same bits on every run; division by zero gives inf/nan."""

    def compile_now(function: _Function) -> _Function:
        compiled = numba.njit(signature, cache=True, error_model="numpy")(function)
        _KERNELS[f"{function.__module__}.{function.__name__}"] = compiled
        return cast("_Function", compiled)

    return compile_now


def kernel_names(module: str = "") -> list[str]:
    """Names of the kernels made so far, of one module or of all."""
    return sorted(name for name in _KERNELS if name.startswith(module))


def cache_misses() -> int:
    """Compilations in this process: kernels the cache did not hold. 0 where Numba is switched off."""
    statistics = (getattr(item, "stats", None) for item in _KERNELS.values())
    return sum(sum(stats.cache_misses.values()) for stats in statistics if stats is not None)
