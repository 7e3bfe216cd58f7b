"""SIGTERM ends a process in good order, and in bounded time whatever hangs."""

import os
import subprocess
import sys
import time

import pytest

from shared.runtime.service import _CLOSE_SECONDS_MAX
from shared.runtime.settings import ServiceSettings

START = """
import asyncio, sys, threading, time
from shared.runtime.service import run_service
from shared.runtime.settings import ServiceSettings

async def start(context):
    print("started", flush=True)
    {work}

run_service("a-service", ServiceSettings, start)
"""
WORK = {
    "ends when told": "await context.stopping.wait()",
    "does not listen": "await asyncio.sleep(1_000)",
    "refuses to be cancelled": """
    while True:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            pass""",
    "holds the event loop": """
    while True:
        time.sleep(0.05)""",
    "has a thread that never ends": "await asyncio.to_thread(time.sleep, 1_000)",
}
GOOD_ORDER = {"ends when told": 0, "does not listen": 0}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, float]]:
    """Exit code and seconds after SIGTERM of each, side by side."""
    folder, environment = tmp_path_factory.mktemp("shutdown"), {**os.environ, "SHUTDOWN_SECONDS_MAX": "0.5"}
    processes = {}
    for number, (name, work) in enumerate(WORK.items()):
        variables = {**environment, "DATA_DIR": str(folder / str(number)), "LOG_FILE": str(folder / f"{number}.log")}
        processes[name] = subprocess.Popen(
            [sys.executable, "-c", START.replace("{work}", work)], env=variables, stdout=subprocess.PIPE
        )
    for process in processes.values():
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
    began = time.monotonic()
    for process in processes.values():
        process.terminate()
    found = {}
    try:
        while len(found) < len(processes) and time.monotonic() < began + 60:
            for name, process in processes.items():
                if name not in found and process.poll() is not None:
                    found[name] = (process.returncode, time.monotonic() - began)
            time.sleep(0.01)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    return found


@pytest.mark.parametrize("name", WORK)
def test_a_process_is_gone_in_bounded_time(ends: dict[str, tuple[int, float]], name: str):
    code, seconds = ends[name]

    assert code == GOOD_ORDER.get(name, 1)
    assert seconds < 10


def test_the_bounds_leave_room_within_ten_seconds():
    longest = ServiceSettings.model_fields["shutdown_seconds_max"].default + _CLOSE_SECONDS_MAX

    assert longest < 10
