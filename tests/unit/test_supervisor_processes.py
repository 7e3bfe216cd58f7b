"""PID files, second starts, busy ports, bounded stops."""

import io
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from cli.supervisor.plan import ProcessPlan, last_time_ms, make_plan
from cli.supervisor.processes import (
    AlreadyRunningError,
    check_port_free,
    read_running,
    refuse_second_start,
    spawn,
    start_lock,
    stop_all,
)
from cli.supervisor.run import Supervisor
from cli.supervisor.screen import Screen
from shared.domain.errors import PermanentError

SLEEPER = "import time\nwhile True: time.sleep(1)"


def a_plan(folder: Path, program: str, name: str = "sleeper") -> ProcessPlan:
    return ProcessPlan(
        name=name,
        command=(sys.executable, "-c", program),
        environment=dict(os.environ),
        log_file=folder / "logs" / f"{name}.log",
    )


def test_a_second_start_is_refused_by_name_and_pid(tmp_path):
    process = spawn(a_plan(tmp_path, SLEEPER), tmp_path)
    try:
        with pytest.raises(AlreadyRunningError, match=rf"sleeper \(PID {process.pid}\).*stop"):
            refuse_second_start(tmp_path)
    finally:
        [line] = stop_all(tmp_path, ("sleeper",))
    assert "stopped in" in line
    assert read_running(tmp_path) == []
    refuse_second_start(tmp_path)


def test_a_pid_that_is_used_again_by_another_process_does_not_count(tmp_path):
    process = spawn(a_plan(tmp_path, SLEEPER), tmp_path)
    process.kill()
    process.wait()

    [running] = read_running(tmp_path)

    assert not running.alive
    refuse_second_start(tmp_path)


def test_two_starts_at_once_in_one_folder_are_one(tmp_path):
    with start_lock(tmp_path), pytest.raises(AlreadyRunningError), start_lock(tmp_path):
        pytest.fail("the second start got through")


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(PermanentError, match=r"data folder cannot be written.*DATA_DIR"), start_lock(blocked / "run"):
        pytest.fail("started in a folder that cannot exist")


def test_a_busy_port_is_named_with_its_variable():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(PermanentError, match=rf"port {port} is in use.*SIMULATOR_PORT"):
            check_port_free(port, "SIMULATOR_PORT")


def test_the_demo_never_sends_to_a_real_chat(monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123:real")

    plan = make_plan("demo", speed=20, simulator_port=8790)

    assert [process.name for process in plan.processes] == [
        "simulator",
        "ingestion",
        "aggregator",
        "logic_engine",
        "macro_engine",
        "notifier",
    ]
    assert all(process.environment["TELEGRAM_BOT_TOKEN"] == "" for process in plan.processes)
    assert {process.environment["KRAKEN_REST_URL"] for process in plan.processes} == {"http://127.0.0.1:8790"}
    assert plan.data_dir.name == "demo"


def test_the_script_names_an_unknown_mode():
    script = Path(__file__).parents[2] / "start_services.sh"

    done = subprocess.run([script, "fly"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "unknown mode 'fly'" in done.stderr


def test_the_simulated_market_trades_what_the_user_follows(tmp_path, monkeypatch):
    config = tmp_path / "tracker.yaml"
    config.write_text(
        "venues: {bybit-linear: {symbols: [LTCUSDT, BNBUSDT]}}\nstrategies: [{name: rsi_divergence}]\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("TRACKER_CONFIG", str(config))

    plan = make_plan("demo", speed=20, simulator_port=8790)

    assert {process.environment["SIMULATOR_SYMBOLS"] for process in plan.processes} == {"LTCUSDT,BNBUSDT"}


def test_a_service_that_keeps_dying_is_started_with_longer_pauses_and_then_given_up(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("cli.supervisor.run.time.monotonic", lambda: now[0])
    lines = io.StringIO()
    plan = make_plan("demo", speed=20, simulator_port=8790)
    supervisor = Supervisor(plan, Screen("test", 20, Console(file=lines, width=200)))
    dying = a_plan(tmp_path, SLEEPER)

    pauses = []
    for _ in range(5):
        assert supervisor._restart_is_allowed(dying)
        pauses.append(supervisor._restart_at["sleeper"] - now[0])
        now[0] += 20
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert not supervisor._restart_is_allowed(dying)
    assert supervisor._gave_up
    assert "sleeper ended 6 times in 10 minutes, giving up" in lines.getvalue()


def test_deaths_of_long_ago_do_not_count(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("cli.supervisor.run.time.monotonic", lambda: now[0])
    plan = make_plan("demo", speed=20, simulator_port=8790)
    supervisor = Supervisor(plan, Screen("test", 20, Console(file=io.StringIO())))

    for _ in range(20):
        assert supervisor._restart_is_allowed(a_plan(tmp_path, SLEEPER))
        now[0] += 601


@pytest.mark.parametrize(
    ("time_of_day", "now", "origin"),
    [
        ("", "2026-11-20T12:34", "2026-11-20T12:34"),
        ("23:40", "2026-11-20T12:34", "2026-11-19T23:40"),
        ("12:34", "2026-11-20T12:34", "2026-11-20T12:34"),
        ("00:05", "2026-11-20T12:34", "2026-11-20T00:05"),
    ],
)
def test_a_simulated_market_begins_when_it_was_last_that_time_of_day(time_of_day, now, origin):
    def ms(text):
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    assert last_time_ms(time_of_day, ms(now)) == ms(origin)


@pytest.mark.parametrize("wrong", ["24:00", "noon", "12:60", "12"])
def test_a_time_of_day_that_is_none_is_refused(wrong):
    with pytest.raises(PermanentError, match="DEMO_STARTS_AT must be a time of day as HH:MM"):
        last_time_ms(wrong, 0)
