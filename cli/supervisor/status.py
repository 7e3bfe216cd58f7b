"""`status`: what runs in this folder."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from cli.supervisor.plan import MODES, SERVICES, mode_adapters, mode_data_dir
from cli.supervisor.processes import RunningProcess, read_running
from cli.supervisor.view import TrackerView
from shared.domain.errors import PermanentError, TransientError
from shared.runtime.adapters import chosen, open_store_and_cache
from shared.runtime.clock import ScaledClock
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology

_MEGABYTE = 1_000_000
# What a person wants to know of each service's report, in this order; the rest is for tools.
_FACTS = {
    "ingestion": (
        "watermark_age_ms",
        "blind",
        "clock_skew",
        "reconnects",
        "queue",
        "spilled_bytes",
        "refused",
        "holes",
    ),
    "aggregator": (
        "role",
        "feed_blind",
        "blind_symbols",
        "watermark_age_ms",
        "open_minutes",
        "closed",
        "corrected",
        "partial",
        "holes",
        "verified",
        "differing",
        "unconfirmed",
        "tape_bytes",
        "conflicts",
    ),
    "logic_engine": ("role", "candles_blind", "candles_age_ms", "open_signals", "decisions", "compilations"),
    "macro_engine": ("regime", "score", "pairs", "missing", "failed"),
    "notifier": ("mode", "engine_blind", "engine_age_ms", "backlog", "open", "sent", "edited", "failed", "repeats"),
}


def print_status() -> int:
    """Print a table per mode that has run here; 0 when every process of a running mode is alive, else 1."""
    console = Console()
    found = False
    healthy = True
    for mode in MODES:
        data_dir = mode_data_dir(mode)
        running = read_running(data_dir / "run")
        if not running:
            continue
        found = True
        healthy = healthy and all(process.alive for process in running)
        console.print(_table(mode, running, _reports(mode, data_dir)))
        console.print(_disk_line(data_dir))
    if not found:
        console.print("nothing runs here: ./start_services.sh demo")
    return 0 if found and healthy else 1


def _reports(mode: str, data_dir: Path) -> dict[str, dict[str, Any]]:
    with _environment(mode_adapters(mode)):
        try:
            settings = ServiceSettings(data_dir=data_dir)
            if chosen(settings).embedded and not settings.database_file.is_file():
                return {}
            return asyncio.run(_read_reports(settings))
        except (PermanentError, TransientError):
            return {}


async def _read_reports(settings: ServiceSettings) -> dict[str, dict[str, Any]]:
    config = load_config(os.environ.get("TRACKER_CONFIG", "config/tracker.yaml"))
    clock = ScaledClock()
    async with open_store_and_cache(settings, load_topology(), clock) as (store, cache):
        return await TrackerView(store, cache, config, clock).statuses(SERVICES)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Bigtable's client reads its emulator's address from the environment alone."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _table(mode: str, running: list[RunningProcess], reports: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=mode, title_justify="left")
    for name in ("service", "PID", "state", "up", "memory", "reports"):
        table.add_column(name)
    for process in running:
        facts = _facts(process.name, reports.get(process.name, {}))
        table.add_row(process.name, str(process.pid), *_vitals(process), facts)
    return table


def _vitals(process: RunningProcess) -> tuple[str, str, str]:
    if not process.alive:
        return "[red]down[/red]", "-", "-"
    up_s = int(time.time() - process.started_at_s)
    try:
        memory = psutil.Process(process.pid).memory_info().rss / _MEGABYTE
    except psutil.NoSuchProcess:
        return "[red]down[/red]", "-", "-"
    return "[green]up[/green]", f"{up_s // 60} min {up_s % 60} s", f"{memory:.0f} MB"


def _disk_line(data_dir: Path) -> str:
    used = sum(file.stat().st_size for file in data_dir.rglob("*") if file.is_file())
    free = shutil.disk_usage(data_dir).free
    return f"disk: {used / _MEGABYTE:.1f} MB in {data_dir}, {free / _MEGABYTE / 1000:.1f} GB free"


def _facts(name: str, report: dict[str, Any]) -> str:
    """watermark_age_ms 1500 -> 'watermark age 1.5 s'; values that are absent are left out."""
    parts = []
    for key in _FACTS.get(name, ()):
        value = report.get(key)
        if key.endswith("_ms") and isinstance(value, int | float):
            parts.append(f"{key[:-3].replace('_', ' ')} {value / 1000:.1f} s")
        elif value is not None:
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            parts.append(f"{key.replace('_', ' ')} {shown}")
    return " · ".join(parts)
