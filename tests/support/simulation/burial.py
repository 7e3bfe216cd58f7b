"""When what killed processes leave behind is collected: when their history is over, and for all of a series together."""

import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator

from tests.support.simulation.process import forget_the_dead

HISTORIES_TOGETHER = 10  # a collection looks at all that lives, however little is dead
_dead_histories = 0
_in_series = 0
_frozen = False


@contextlib.contextmanager
def buried_afterwards() -> Iterator[None]:
    """Killed tasks are collected when all is over and their loop is gone, not at any odd moment; they complain to nobody."""
    global _dead_histories  # noqa: PLW0603 - one collector per process
    with _collector_stopped():
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            yield
        finally:
            forget_the_dead()
            _dead_histories += 1
            if not _in_series or _dead_histories >= HISTORIES_TOGETHER:
                _collect()
            sys.unraisablehook = hook


@contextlib.contextmanager
def series() -> Iterator[None]:
    """Many histories: their dead are collected a few histories together."""
    global _in_series  # noqa: PLW0603 - as above
    with _collector_stopped():
        _in_series += 1
        try:
            yield
        finally:
            _in_series -= 1
            hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
            _collect()
            sys.unraisablehook = hook


@contextlib.contextmanager
def _collector_stopped() -> Iterator[None]:
    global _frozen  # noqa: PLW0603 - as above
    if not _frozen:
        gc.collect()
        gc.freeze()  # what was there before the first history is not looked at after each
        _frozen = True
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _collect() -> None:
    global _dead_histories  # noqa: PLW0603 - as above
    _dead_histories = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
