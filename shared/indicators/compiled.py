"""The one way to make a kernel: compiled when its module is imported, for one signature, through the on-disk cache.

Numba fixes a function with an explicit signature to it: a call with other types is a TypeError, never a compilation.
Numba keys the cached code of a kernel by its own file only, although what it calls in another file is compiled into it.
Here the key also holds a digest of the files of every kernel it calls, directly or not, so that no cache is ever stale.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

from shared.domain.errors import PermanentError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_KERNELS: Final[dict[str, Any]] = {}
_FILES: Final[dict[str, frozenset[str]]] = {}  # by kernel: its own file and those of all it calls
_COLD_ALLOWED: Final = [True]


def kernel(signature: str, *, inline: bool = False) -> Callable[[_Function], _Function]:
    """Compile the function for this signature. No fast-math: the same bits on every run; division by zero gives inf/nan.

    inline: for a step that other kernels take once per candle: its code becomes part of theirs.
    """

    def compile_now(function: _Function) -> _Function:
        plain = cast("FunctionType", function)
        name = f"{plain.__module__}.{plain.__name__}"
        files = _FILES[name] = _files_of(plain)
        compiled: Any = numba.njit(error_model="numpy", forceinline=inline)(function)
        if hasattr(compiled, "compile"):  # not where Numba is switched off
            compiled._cache = _SourcesCache(plain, files)  # noqa: SLF001 - what njit(cache=True) does, with our key
            compiled.compile(signature)
            compiled.disable_compile()
        _KERNELS[name] = compiled
        return cast("_Function", compiled)

    return compile_now


class _SourcesCache(FunctionCache):
    """Numba's cache whose key names the sources of all that is compiled in."""

    def __init__(self, function: FunctionType, files: frozenset[str]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]  # so it is in Numba
        texts = sorted(hashlib.sha256(Path(file).read_bytes()).digest() for file in files)
        self._sources = hashlib.sha256(b"".join(texts)).hexdigest()
        self._function_name = f"{function.__module__}.{function.__name__}"

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), self._sources)  # type: ignore[no-untyped-call]  # so it is in Numba

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The cached code, None where there is none and compiling is allowed; raises PermanentError where it is not."""
        found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # so it is in Numba
        if found is None and not _COLD_ALLOWED[0]:
            raise PermanentError(
                f"kernel {self._function_name} was not in the cache {self.cache_path}: run ./start_services.sh setup"
            )
        return found


def _files_of(function: FunctionType) -> frozenset[str]:
    """The file of the function and those of every kernel it names, as a global or as an attribute of a module."""
    names = function.__code__.co_names
    found = {function.__code__.co_filename}
    for name in names:
        value = function.__globals__.get(name)
        called = [getattr(value, item, None) for item in names] if isinstance(value, ModuleType) else [value]
        for item in called:
            found |= _FILES.get(f"{getattr(item, '__module__', '')}.{getattr(item, '__name__', '')}", frozenset())
    return frozenset(found)


def kernel_names(module: str = "") -> list[str]:
    """Names of the kernels made so far, of one module or of all."""
    return sorted(name for name in _KERNELS if name.startswith(module))


def refuse_cold() -> None:
    """From now on, in this process, a kernel that the cache does not hold is a PermanentError and is not compiled."""
    _COLD_ALLOWED[0] = False


def cache_misses() -> int:
    """Compilations in this process: kernels the cache did not hold. 0 where Numba is switched off."""
    statistics = (getattr(item, "stats", None) for item in _KERNELS.values())
    return sum(sum(stats.cache_misses.values()) for stats in statistics if stats is not None)
