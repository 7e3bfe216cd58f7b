"""Named points at which a test may kill the process, as a power cut would: no handler runs, nothing is flushed."""

import os
import signal
from typing import Final

_VARIABLE: Final = "CRASH_AT"


def _armed() -> tuple[str, int] | None:
    name, _, count = os.environ.get(_VARIABLE, "").partition(":")
    return (name, int(count or 1)) if name else None


_target = _armed()
_passes = 0


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL at the n-th pass where CRASH_AT is `name:n`; otherwise do nothing."""
    global _passes  # noqa: PLW0603 - counts passes of one process
    if _target is None or _target[0] != name:
        return
    _passes += 1
    if _passes == _target[1]:
        os.kill(os.getpid(), signal.SIGKILL)
