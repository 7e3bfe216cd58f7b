"""What runs in each mode, in which order, with which environment."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from shared.domain.errors import PermanentError

DATA_DIR: Final = Path("data")
OUTBOX_DIR: Final = DATA_DIR / "outbox"
KERNEL_CACHE_DIR: Final = Path(".cache") / "kernels"
SIMULATOR_PORT: Final = 8790
DEMO_SPEED: Final = 20.0
SERVICES: Final = ("ingestion", "aggregator", "logic_engine", "notifier")  # the order of starting; the last is in front


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One process to start. reports_status: it is ready once it has reported its status under its own PID."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log_file: Path
    port: int | None = None
    reports_status: bool = True


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one mode. The last process runs in front; the others in the background, started in order."""

    mode: str
    data_dir: Path
    outbox_dir: Path
    processes: tuple[ProcessPlan, ...]
    market_speed: float
    headline: str

    @property
    def run_dir(self) -> Path:
        """Where the PID files are."""
        return self.data_dir / "run"


def mode_data_dir(mode: str) -> Path:
    """`demo` has a store of its own, so that it never touches collected data."""
    root = Path(os.environ.get("DATA_DIR", str(DATA_DIR)))
    return root / "demo" if mode == "demo" else root


def make_plan(mode: str, *, speed: float, simulator_port: int) -> RunPlan:
    """The plan of `demo` (simulator, console messages) or `live` (the real exchange, Telegram when a token is set)."""
    if mode == "demo":
        return _demo_plan(speed, simulator_port)
    if mode == "live":
        return _live_plan()
    raise PermanentError(f"mode must be demo or live, was {mode!r}")


def _demo_plan(speed: float, port: int) -> RunPlan:
    data_dir = mode_data_dir("demo")
    now_ms = time.time_ns() // 1_000_000
    # One origin for every process: the market's clock is the same function of the machine's everywhere.
    environment = {
        **_common(data_dir),
        "MARKET_CLOCK_ORIGIN_WALL_MS": str(now_ms),
        "MARKET_CLOCK_ORIGIN_MARKET_MS": str(now_ms),
        "MARKET_CLOCK_SPEED": f"{speed:g}",
        "SIMULATOR_SPEED": f"{speed:g}",
        "SIMULATOR_PORT": str(port),
        "BYBIT_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/v5/public/linear",
        "BYBIT_REST_URL": f"http://127.0.0.1:{port}",
        "TELEGRAM_BOT_TOKEN": "",  # the demo never sends to a real chat, whatever .env says
        "TELEGRAM_BOT_TOKEN_FILE": "",
        "TELEGRAM_BOT_TOKEN_B64": "",
        "SECRETS_FILE": "",
    }
    simulator = _process("simulator", data_dir, environment, port=port, reports_status=False)
    return RunPlan(
        mode="demo",
        data_dir=data_dir,
        outbox_dir=data_dir.parent / "outbox",
        processes=(simulator, *(_process(name, data_dir, environment) for name in SERVICES)),
        market_speed=speed,
        headline=f"demo · simulated market, time runs {speed:g}x faster · not financial advice",
    )


def _live_plan() -> RunPlan:
    data_dir = mode_data_dir("live")
    environment = _common(data_dir)
    speed = float(os.environ.get("MARKET_CLOCK_SPEED") or 1)
    return RunPlan(
        mode="live",
        data_dir=data_dir,
        outbox_dir=data_dir / "outbox",
        processes=tuple(_process(name, data_dir, environment) for name in SERVICES),
        market_speed=speed,
        headline="live · not financial advice",
    )


def _common(data_dir: Path) -> dict[str, str]:
    outbox = data_dir.parent / "outbox" if data_dir.name == "demo" else data_dir / "outbox"
    return {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "OUTBOX_DIR": str(outbox),
        "CONSOLE_FORMAT": "json",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(KERNEL_CACHE_DIR.resolve())),
        "PYTHONUNBUFFERED": "1",
    }


def _process(
    name: str, data_dir: Path, environment: dict[str, str], *, port: int | None = None, reports_status: bool = True
) -> ProcessPlan:
    log_file = data_dir / "logs" / f"{name}.log"
    return ProcessPlan(
        name=name,
        command=(sys.executable, "-m", f"services.{name}.main"),
        # A stable name: one instance of each service per folder, so that a restarted one takes its lease over at once.
        environment={"INSTANCE_ID": f"{name}@{socket.gethostname()}", **environment, "LOG_FILE": str(log_file)},
        log_file=log_file,
        port=port,
        reports_status=reports_status,
    )


def use_kernel_cache() -> None:
    """Point Numba at the project's cache before it is imported, where the user has not chosen another."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(KERNEL_CACHE_DIR.resolve()))
