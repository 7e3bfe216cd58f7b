"""Processes and their PID files. A PID counts only with the start time it was written with: PIDs are used again."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import psutil

from cli.supervisor.plan import ProcessPlan
from shared.domain.errors import PermanentError

STOP_SECONDS_MAX: Final = 12.0
_START_TOLERANCE_SECONDS: Final = 1.0
_TAIL_BYTES: Final = 50_000
_SHOWN_MAX: Final = 300


class RunningProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What a PID file says."""

    name: str
    pid: int
    started_at_s: float
    log_file: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at_s) < _START_TOLERANCE_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class AlreadyRunningError(PermanentError):
    """A second start while the services run."""


@contextlib.contextmanager
def start_lock(run_dir: Path) -> Iterator[None]:
    """Only one start at a time in one folder; raises AlreadyRunningError at once, PermanentError where not writable."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = (run_dir / "start.lock").open("a", encoding="utf-8")
    except OSError as error:
        raise PermanentError(
            f"the data folder cannot be written: {error.strerror} ({run_dir}); free it or set DATA_DIR to another"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunningError("the services are running here: `./start_services.sh stop` ends them") from error
        handle.truncate(0)
        handle.write(f"{os.getpid()} {psutil.Process().create_time()}")
        handle.flush()
        yield


def read_running(run_dir: Path) -> list[RunningProcess]:
    """Every process that a PID file names, alive or not, oldest file first."""
    found = []
    for file in sorted(run_dir.glob("*.pid"), key=lambda path: path.stat().st_mtime):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=RunningProcess))
        except (OSError, msgspec.MsgspecError):
            file.unlink(missing_ok=True)  # cut short by a power cut: it names nothing
    return found


def refuse_second_start(run_dir: Path) -> None:
    """Raise AlreadyRunningError naming what runs."""
    alive = [process for process in read_running(run_dir) if process.alive]
    if alive:
        names = ", ".join(f"{process.name} (PID {process.pid})" for process in alive)
        raise AlreadyRunningError(f"already running: {names}; `./start_services.sh stop` ends them")


def check_port_free(port: int, variable: str) -> None:
    """Raise PermanentError where something listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PermanentError(f"port {port} is in use: end what holds it, or set {variable} to another") from error


def spawn(plan: ProcessPlan, run_dir: Path, *, output: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor."""
    plan.log_file.parent.mkdir(parents=True, exist_ok=True)
    with plan.log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            plan.command,
            env=plan.environment,
            stdin=subprocess.DEVNULL,
            stdout=log if output is None else output,
            stderr=log,
            start_new_session=True,
        )
    _write_pid_file(plan, process.pid, run_dir)
    return process


def _write_pid_file(plan: ProcessPlan, pid: int, run_dir: Path) -> None:
    try:
        started_at_s = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started_at_s = time.time()
    running = RunningProcess(name=plan.name, pid=pid, started_at_s=started_at_s, log_file=str(plan.log_file))
    temporary = run_dir / f".{plan.name}.pid"
    temporary.write_bytes(msgspec.json.encode(running))
    temporary.replace(run_dir / f"{plan.name}.pid")


def stop_all(run_dir: Path, order: tuple[str, ...]) -> list[str]:
    """End every process: sources first, so that what is in flight still flows to its end. Returns a line for each."""
    lines = []
    running = sorted(
        read_running(run_dir), key=lambda item: order.index(item.name) if item.name in order else len(order)
    )
    for process in running:
        if process.alive:
            lines.append(_stop_one(process))
        (run_dir / f"{process.name}.pid").unlink(missing_ok=True)
    return lines


def _stop_one(process: RunningProcess, *, seconds_max: float = STOP_SECONDS_MAX) -> str:
    begin = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    while process.alive:
        if time.monotonic() - begin > seconds_max:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            return f"{process.name} (PID {process.pid}) did not stop in {seconds_max:g} s and was killed"
        time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)  # reap it where it is our child
    return f"{process.name} (PID {process.pid}) stopped in {time.monotonic() - begin:.1f} s"


def stop_supervisors(run_dirs: list[Path]) -> list[str]:
    """Ask a supervisor in front to stop, first, so that it does not start again what we end."""
    lines = []
    for file in (run_dir / "start.lock" for run_dir in run_dirs):
        try:
            pid, started_at_s = file.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            continue
        supervisor = RunningProcess(name="supervisor", pid=int(pid), started_at_s=float(started_at_s), log_file="")
        if supervisor.alive:
            lines.append(_stop_one(supervisor, seconds_max=4 * STOP_SECONDS_MAX))
    return lines


def last_log_line(file: Path) -> str:
    """The last line of a log, for an error message."""
    lines = _log_lines(file)
    return lines[-1][:_SHOWN_MAX] if lines else ""


def last_problem(file: Path) -> str:
    """The last warning or error of a log in words; empty where there is none."""
    for line in reversed(_log_lines(file)):
        try:
            entry = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            continue
        if entry.get("severity") in {"WARNING", "ERROR", "CRITICAL"}:
            event = str(entry.get("message", "")).replace("_", " ")
            return f"{event}: {entry.get('error', entry.get('reason', ''))}".rstrip(": ")[:_SHOWN_MAX]
    return ""


def _log_lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return []
