"""What runs in each mode, in which order, with which environment."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from cli.supervisor.emulators import (
    BIGTABLE_PORT,
    PUBSUB_PORT,
    REDIS_PORT,
    bigtable_command,
    pubsub_command,
    redis_command,
)
from shared.domain.errors import PermanentError
from shared.domain.timeframe import DAY_MS, MINUTE_MS
from shared.exchanges.venue import BYBIT_LINEAR
from shared.runtime.adapters import EMULATOR_INSTANCE, EMULATOR_PROJECT
from shared.runtime.config import load_config
from shared.runtime.settings import read_secret

DATA_DIR: Final = Path("data")
KERNEL_CACHE_DIR: Final = Path(".cache") / "kernels"
QUARTER_SECONDS: Final = 900.0
MACRO_SECONDS_MIN: Final = 15.0  # nine pairs take some seconds
PORT_MAX: Final = 65_535
MODES: Final = ("demo", "live", "emulators", "cloud")
EMULATOR_VARIABLES: Final = ("PUBSUB_EMULATOR_HOST", "BIGTABLE_EMULATOR_HOST")
CLOUD_VARIABLES: Final = ("GOOGLE_CLOUD_PROJECT", "BIGTABLE_INSTANCE", "REDIS_URL")
# The order of starting; the last is in front.
SERVICES: Final = ("ingestion", "aggregator", "logic_engine", "macro_engine", "notifier")

UNAWAITED: Final = frozenset({"macro_engine"})  # without a bias entries are allowed: nobody waits for it


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One process to start. awaited: the next one starts once it has reported its status under its own PID or opened its port."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log_file: Path
    port: int | None = None
    awaited: bool = True


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one mode. The last process runs in front; the others in the background, started in order.

    brokers: started before them, and the declared resources made on them. fresh: begins without old data. adapters: the
    variables that choose the adapters, for the supervisor's own process too.
    """

    mode: str
    data_dir: Path
    outbox_dir: Path
    processes: tuple[ProcessPlan, ...]
    adapters: dict[str, str]
    brokers: tuple[ProcessPlan, ...] = ()
    fresh: bool = False
    market_speed: float
    headline: str

    @property
    def run_dir(self) -> Path:
        """Where the PID files are."""
        return self.data_dir / "run"


def mode_data_dir(mode: str) -> Path:
    """Every mode but `live` has a folder of its own, so that it never touches collected data."""
    root = Path(os.environ.get("DATA_DIR", str(DATA_DIR)))
    return root if mode == "live" else root / mode


def mode_adapters(mode: str) -> dict[str, str]:
    """The variables that choose the mode's adapters; see shared/runtime/adapters.py."""
    if mode == "emulators":
        return {
            "BUS": "pubsub",
            "STORE": "bigtable",
            "CACHE": "redis",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{_port('PUBSUB_EMULATOR_PORT', PUBSUB_PORT)}",
            "BIGTABLE_EMULATOR_HOST": f"127.0.0.1:{_port('BIGTABLE_EMULATOR_PORT', BIGTABLE_PORT)}",
            "REDIS_URL": f"redis://127.0.0.1:{_port('REDIS_PORT', REDIS_PORT)}/0",
            "GOOGLE_CLOUD_PROJECT": EMULATOR_PROJECT,
            "PUBSUB_PROJECT_ID": EMULATOR_PROJECT,
            "BIGTABLE_INSTANCE": EMULATOR_INSTANCE,
        }
    if mode == "cloud":
        return {"BUS": "pubsub", "STORE": "bigtable", "CACHE": "redis"}
    return {"BUS": "sqlite", "STORE": "sqlite", "CACHE": "sqlite"}


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not 0 < int(value) <= PORT_MAX:
        raise PermanentError(f"{variable} must be a port from 1 to {PORT_MAX}, was {value!r}")
    return int(value)


def make_plan(mode: str, *, speed: float, simulator_port: int, starts_at: str = "") -> RunPlan:
    """The plan of a mode. starts_at: the simulated market's time of day at the start, HH:MM in UTC; empty: as it is now.

    `demo`: simulator, console messages. `live`: the real exchange, Telegram when a token is set. `emulators`: the demo
    over the emulators of Pub/Sub and Bigtable and a real Redis. `cloud`: `live` against a Google Cloud project.
    """
    if mode in {"demo", "emulators"}:
        return _simulated_plan(mode, speed, simulator_port, starts_at)
    if mode in {"live", "cloud"}:
        return _live_plan(mode)
    raise PermanentError(f"mode must be one of {', '.join(MODES)}, was {mode!r}")


def _simulated_plan(mode: str, speed: float, port: int, starts_at: str) -> RunPlan:
    data_dir, adapters = mode_data_dir(mode), mode_adapters(mode)
    now_ms = time.time_ns() // 1_000_000
    # One origin for every process: the market's clock is the same function of the machine's everywhere.
    environment = {
        **_common(data_dir, data_dir.parent / "outbox"),
        **adapters,
        "MARKET_CLOCK_ORIGIN_WALL_MS": str(now_ms),
        "MARKET_CLOCK_ORIGIN_MARKET_MS": str(last_time_ms(starts_at, now_ms)),
        "MARKET_CLOCK_SPEED": f"{speed:g}",
        "SIMULATOR_SPEED": f"{speed:g}",
        "SIMULATOR_PORT": str(port),
        "SIMULATOR_SYMBOLS": ",".join(_bybit_symbols()),
        "BYBIT_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/v5/public/linear",
        "BYBIT_REST_URL": f"http://127.0.0.1:{port}",
        # The simulator speaks Kraken's protocol, too. The timer runs on wall time: every quarter of an hour of this market.
        "KRAKEN_REST_URL": f"http://127.0.0.1:{port}",
        "KRAKEN_REQUESTS_PER_SECOND": "5",
        "MACRO_EVERY_SECONDS": f"{max(MACRO_SECONDS_MIN, QUARTER_SECONDS / speed):g}",
        "MACRO_OFFSET_SECONDS": "0",
        "MACRO_DXY_URL": "",  # nothing outside this machine is asked
        "MACRO_DOMINANCE_URL": "",
        "TELEGRAM_BOT_TOKEN": "",  # never to a real chat, whatever .env says
        "TELEGRAM_BOT_TOKEN_FILE": "",
        "TELEGRAM_BOT_TOKEN_B64": "",
        "SECRETS_FILE": "",
    }
    simulator = _process("simulator", data_dir, environment, port=port)
    over = " over the emulators of Pub/Sub and Bigtable and Redis" if mode == "emulators" else ""
    return RunPlan(
        mode=mode,
        data_dir=data_dir,
        outbox_dir=data_dir.parent / "outbox",
        processes=(simulator, *(_process(name, data_dir, environment) for name in SERVICES)),
        adapters=adapters,
        brokers=_brokers(data_dir) if mode == "emulators" else (),
        fresh=True,
        market_speed=speed,
        headline=f"{mode} · simulated market{over}, time runs {speed:g}x faster · not financial advice",
    )


def last_time_ms(time_of_day: str, now_ms: int) -> int:
    """When it was last this time of day (HH:MM, UTC); now for an empty one. Raises PermanentError for what is no time."""
    if not time_of_day:
        return now_ms
    try:
        wanted = time.strptime(time_of_day, "%H:%M")
    except ValueError:
        raise PermanentError(f"DEMO_STARTS_AT must be a time of day as HH:MM, was {time_of_day!r}") from None
    today_ms = now_ms // DAY_MS * DAY_MS + (wanted.tm_hour * 60 + wanted.tm_min) * MINUTE_MS
    return today_ms if today_ms <= now_ms else today_ms - DAY_MS


def _bybit_symbols() -> tuple[str, ...]:
    """What the user follows; the simulated market trades just that."""
    config = load_config(os.environ.get("TRACKER_CONFIG", "config/tracker.yaml"))
    venue = config.venues.get(BYBIT_LINEAR)
    if venue is None:
        raise PermanentError(f"the simulated market speaks {BYBIT_LINEAR}, which the configuration does not name")
    return venue.symbols


def _brokers(data_dir: Path) -> tuple[ProcessPlan, ...]:
    ports = {
        "pubsub_emulator": _port("PUBSUB_EMULATOR_PORT", PUBSUB_PORT),
        "bigtable_emulator": _port("BIGTABLE_EMULATOR_PORT", BIGTABLE_PORT),
        "redis": _port("REDIS_PORT", REDIS_PORT),
    }
    commands = {
        "pubsub_emulator": pubsub_command(ports["pubsub_emulator"]),
        "bigtable_emulator": bigtable_command(ports["bigtable_emulator"]),
        "redis": redis_command(ports["redis"], data_dir),
    }
    return tuple(
        ProcessPlan(
            name=name,
            command=commands[name],
            environment=dict(os.environ),
            log_file=data_dir / "logs" / f"{name}.log",
            port=port,
        )
        for name, port in ports.items()
    )


def _live_plan(mode: str) -> RunPlan:
    data_dir, adapters = mode_data_dir(mode), mode_adapters(mode)
    if mode == "cloud":
        _check_cloud_variables()
    environment = {**_common(data_dir, data_dir / "outbox"), **adapters}
    return RunPlan(
        mode=mode,
        data_dir=data_dir,
        outbox_dir=data_dir / "outbox",
        processes=tuple(_process(name, data_dir, environment) for name in SERVICES),
        adapters=adapters,
        market_speed=float(os.environ.get("MARKET_CLOCK_SPEED") or 1),
        headline=f"{mode} · not financial advice",
    )


def _check_cloud_variables() -> None:
    """Raise PermanentError naming all variables that are missing, or that point away from the cloud."""
    emulators = [name for name in EMULATOR_VARIABLES if os.environ.get(name)]
    if emulators:
        raise PermanentError(f"cloud is a real project: unset {' and '.join(emulators)}, or use `emulators`")
    missing = [name for name in CLOUD_VARIABLES if not os.environ.get(name) and read_secret(name) is None]
    if missing:
        raise PermanentError(f"cloud needs {', '.join(missing)} in the environment or in .env")


def _common(data_dir: Path, outbox: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "OUTBOX_DIR": str(outbox),
        "CONSOLE_FORMAT": "json",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(KERNEL_CACHE_DIR.resolve())),
        "PYTHONUNBUFFERED": "1",
    }


def _process(name: str, data_dir: Path, environment: dict[str, str], *, port: int | None = None) -> ProcessPlan:
    log_file = data_dir / "logs" / f"{name}.log"
    environment = {**environment, **_own_http_port(name)}
    return ProcessPlan(
        name=name,
        command=(sys.executable, "-m", f"services.{name}.main"),
        # A stable name: one instance of each service per folder, so that a restarted one takes its lease over at once.
        environment={"INSTANCE_ID": f"{name}@{socket.gethostname()}", **environment, "LOG_FILE": str(log_file)},
        log_file=log_file,
        port=port,
        awaited=name not in UNAWAITED,
    )


def _own_http_port(name: str) -> dict[str, str]:
    """HTTP_PORT is the first service's; the others count on from it."""
    if not os.environ.get("HTTP_PORT"):
        return {}
    first = _port("HTTP_PORT", 1)
    return {"HTTP_PORT": str(first + SERVICES.index(name))} if name in SERVICES else {"HTTP_PORT": ""}


def use_kernel_cache() -> None:
    """Point Numba at the project's cache before it is imported, where the user has not chosen another."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(KERNEL_CACHE_DIR.resolve()))
