"""Starts services under wrong conditions, many in a second: `python -m tests.support.bad_starts < cases.json`.

The services' modules are imported once; each case is a fork of that process which runs the module as its main program. Prints
what became of each: exit code, wall and processor seconds from the fork on, what it said on standard error.
"""

import importlib
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from typing import NoReturn

import msgspec

SECONDS_MAX = 20.0  # then it hangs
# What services import once they know that they need it; only imported here, nothing is opened before the fork.
ON_DEMAND = (
    "shared.bus.pubsub_admin",
    "shared.bus.pubsub",
    "shared.cache.redis",
    "shared.runtime.http_port",
    "prometheus_client",
)


class Case(msgspec.Struct, frozen=True):
    """One start. environment: on top of the parent's."""

    module: str
    environment: dict[str, str]


class End(msgspec.Struct, frozen=True):
    """What became of it. code: None where it had to be killed."""

    code: int | None
    wall_seconds: float
    cpu_seconds: float
    errors: str


def run(case: Case) -> End:
    """Fork, wait, report."""
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(case, errors.fileno())
        code: int | None = None
        usage: resource.struct_rusage | None = None
        while usage is None:
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                usage = used
                code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() - began > SECONDS_MAX:
                os.kill(pid, signal.SIGKILL)
                _, _, usage = os.wait4(pid, 0)
            else:
                time.sleep(0.005)
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace")
        return End(code, time.monotonic() - began, usage.ru_utime + usage.ru_stime, text)


def _child(case: Case, errors: int) -> NoReturn:
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.update(case.environment)
    code = 1
    try:
        runpy.run_module(case.module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001 - what the interpreter would print
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    cases = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Case])
    for module in dict.fromkeys([*(case.module for case in cases), *ON_DEMAND]):
        importlib.import_module(module)
    sys.stdout.buffer.write(msgspec.json.encode([run(case) for case in cases]))
