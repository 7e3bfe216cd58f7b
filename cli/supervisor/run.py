"""Start a plan, keep it running, show it, stop it."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from cli.infra import create_all, missing
from cli.supervisor.nightly import Nightly
from cli.supervisor.plan import SERVICES, ProcessPlan, RunPlan
from cli.supervisor.processes import (
    check_port_free,
    last_log_line,
    last_problem,
    refuse_second_start,
    spawn,
    start_lock,
    stop_all,
)
from cli.supervisor.screen import Screen, pump_lines
from cli.supervisor.view import TrackerView
from shared.domain.errors import PermanentError, TransientError
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.clock import ScaledClock
from shared.runtime.config import load_config
from shared.runtime.consumer import wait_or_stop
from shared.runtime.settings import ServiceSettings, read_secret
from shared.runtime.topology import load_topology

READY_SECONDS_MAX: Final = 60.0
PATIENCE_SECONDS: Final = 5.0
RESTARTS_MAX: Final = 5
RESTARTS_WINDOW_SECONDS: Final = 600.0
RESTART_SECONDS_FIRST: Final = 0.5
EXIT_GAVE_UP: Final = 1
REFRESH_SECONDS: Final = 0.5


def run(plan: RunPlan) -> int:
    """Run the plan until it is interrupted; returns the exit status. Every failure is a PermanentError of one line."""
    load_config(os.environ.get("TRACKER_CONFIG", "config/tracker.yaml"))
    with start_lock(plan.run_dir):
        refuse_second_start(plan.run_dir)
        for process in (*plan.brokers, *plan.processes):
            if process.port is not None:
                check_port_free(process.port, f"{process.name.upper()}_PORT")
        if plan.fresh:
            _empty(plan)
        os.environ.update(plan.adapters)  # this process looks where the services write
        screen = Screen(plan.headline, plan.market_speed)
        try:
            return asyncio.run(Supervisor(plan, screen).run())
        finally:
            screen.stop()
            for line in stop_all(plan.run_dir, SERVICES):
                screen.line(f"[dim]{line}[/dim]")


def _empty(plan: RunPlan) -> None:
    """A simulated market begins on an empty store and an empty outbox folder each time."""
    for child in plan.data_dir.iterdir():
        if child != plan.run_dir:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    if plan.outbox_dir.is_dir():
        for picture in plan.outbox_dir.glob("*.png"):
            picture.unlink()


class Supervisor:
    """Starts the processes in order, each once the one before is ready; restarts what dies, a bounded number of times."""

    def __init__(self, plan: RunPlan, screen: Screen) -> None:
        self._plan = plan
        self._screen = screen
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: dict[str, list[float]] = {}
        self._restart_at: dict[str, float] = {}
        self._gave_up = False
        self._said_destination = False
        self._stopping = asyncio.Event()
        self._blind_since = 0.0
        self._said_blind = False
        self._view: TrackerView | None = None

    async def run(self) -> int:
        """Until SIGINT or SIGTERM, 0 then; 1 when a service kept dying."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        self._screen.start()
        started = time.monotonic()
        settings = ServiceSettings(data_dir=self._plan.data_dir)
        for broker in self._plan.brokers:
            await self._start(broker, started)
        await self._prepare(settings)
        async with open_store_and_cache(settings, load_topology(), self._clock()) as (store, cache):
            config = load_config(os.environ.get("TRACKER_CONFIG", "config/tracker.yaml"))
            self._view = TrackerView(store, cache, config, self._clock())
            *background, front = self._plan.processes
            for process in background:
                await self._start(process, started)
            front_task = asyncio.ensure_future(self._front(front))
            nightly = self._nightly(front)
            await self._watch(background, settings, nightly)
            await nightly.stop()
            await front_task
        return EXIT_GAVE_UP if self._gave_up else 0

    def _clock(self) -> ScaledClock:
        environment = self._plan.processes[-1].environment
        return ScaledClock(
            origin_wall_ms=int(environment.get("MARKET_CLOCK_ORIGIN_WALL_MS") or 0),
            origin_market_ms=int(environment.get("MARKET_CLOCK_ORIGIN_MARKET_MS") or 0),
            speed=self._plan.market_speed,
        )

    def _nightly(self, front: ProcessPlan) -> Nightly:
        log_file = front.log_file.with_name("parity.log")
        return Nightly(self._clock(), self._plan.run_dir, log_file, front.environment, fresh=self._plan.fresh)

    async def _prepare(self, settings: ServiceSettings) -> None:
        """Make the declared resources on our own emulators; name what a real project lacks, and make nothing there."""
        if self._plan.brokers and not self._stopping.is_set():
            made = await create_all(settings)
            self._screen.line(f"[dim]{len(made)} topics, subscriptions and tables made[/dim]")
        elif self._plan.mode == "cloud":
            lacking = await missing(settings)
            if lacking:
                raise PermanentError(f"the project lacks: {', '.join(lacking)}; build it from infra/ first")

    async def _start(self, plan: ProcessPlan, started: float) -> None:
        if self._stopping.is_set():
            return
        child = spawn(plan, self._plan.run_dir)
        self._children[plan.name] = child
        deadline = time.monotonic() + READY_SECONDS_MAX
        quiet_until = time.monotonic() + PATIENCE_SECONDS
        while not self._stopping.is_set() and not await self._ready(plan, child.pid):
            if child.poll() is not None:
                raise PermanentError(f"{plan.name} ended at its start: {_reason(plan.log_file)}")
            if time.monotonic() > quiet_until:
                quiet_until = deadline
                self._screen.line(f"[yellow]{plan.name} is not ready yet: {_problem(plan.log_file)}[/yellow]")
            if time.monotonic() > deadline:
                raise PermanentError(
                    f"{plan.name} was not ready within {READY_SECONDS_MAX:g} s: see {plan.log_file} "
                    f"(last line: {last_log_line(plan.log_file)})"
                )
            await asyncio.sleep(0.05)
        if self._stopping.is_set():
            return
        self._screen.line(f"[dim]{plan.name} ready after {time.monotonic() - started:.1f} s (PID {child.pid})[/dim]")

    async def _ready(self, plan: ProcessPlan, pid: int) -> bool:
        if not plan.awaited:
            return True
        if plan.port is not None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", plan.port)
            except OSError:
                return False
            writer.close()
            return True
        if self._view is None:
            return False
        try:
            status = (await self._view.statuses((plan.name,))).get(plan.name, {})
        except TransientError:
            return False
        return status.get("pid") == pid

    async def _front(self, plan: ProcessPlan) -> None:
        """The notifier runs in front: its lines are the screen's messages."""
        while not self._stopping.is_set():
            read_end, write_end = os.pipe()
            child = spawn(plan, self._plan.run_dir, output=write_end)
            os.close(write_end)
            self._children[plan.name] = child
            await _pump(read_end, self._screen, child, self._stopping)
            if not self._stopping.is_set() and self._restart_is_allowed(plan):
                await wait_or_stop(self._stopping, self._restart_at[plan.name] - time.monotonic())

    async def _watch(self, background: list[ProcessPlan], settings: ServiceSettings, nightly: Nightly) -> None:
        while not self._stopping.is_set():
            for plan in (*self._plan.brokers, *background):
                await self._bring_back(plan, settings)
            told = await nightly.tick()
            if told is not None:
                self._screen.line(f"[dim]{escape(told)}[/dim]")
            await self._refresh()
            await wait_or_stop(self._stopping, REFRESH_SECONDS)

    async def _bring_back(self, plan: ProcessPlan, settings: ServiceSettings) -> None:
        """Start a process that has died, once its pause is over."""
        if self._stopping.is_set() or self._children[plan.name].poll() is None:
            return
        if plan.name not in self._restart_at and not self._restart_is_allowed(plan):
            return
        if time.monotonic() < self._restart_at[plan.name]:
            return
        del self._restart_at[plan.name]
        self._children[plan.name] = spawn(plan, self._plan.run_dir)
        if plan in self._plan.brokers:  # it came back empty
            await self._prepare_again(plan, settings)

    async def _prepare_again(self, broker: ProcessPlan, settings: ServiceSettings) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if await self._ready(broker, 0):
                break
            await asyncio.sleep(0.05)
        try:
            await self._prepare(settings)
        except TransientError as error:
            self._screen.line(f"[yellow]{error}[/yellow]")

    def _restart_is_allowed(self, plan: ProcessPlan) -> bool:
        """Count a death, say it, set the pause before the next start: it doubles with every death of the last minutes.

        False after too many of them: the supervisor stops and says why, instead of hiding a broken service.
        """
        now = time.monotonic()
        recent = [at for at in self._deaths.get(plan.name, []) if now - at < RESTARTS_WINDOW_SECONDS]
        self._deaths[plan.name] = [*recent, now]
        reason = _reason(plan.log_file)
        if len(recent) >= RESTARTS_MAX:
            minutes = RESTARTS_WINDOW_SECONDS / 60
            self._screen.line(
                f"[bold red]{plan.name} ended {len(recent) + 1} times in {minutes:g} minutes, giving up: {reason}[/bold red]"
            )
            self._gave_up = True
            self._stopping.set()
            return False
        pause_s = RESTART_SECONDS_FIRST * 2 ** len(recent)
        self._restart_at[plan.name] = now + pause_s
        self._screen.line(f"[yellow]{plan.name} ended, starting again in {pause_s:g} s: {reason}[/yellow]")
        return True

    def _say_destination(self, status: dict[str, Any]) -> None:
        """Say once, in live modes, where messages go, and what is missing for Telegram."""
        if self._said_destination or self._plan.fresh or not status:
            return
        self._said_destination = True
        if status.get("mode") == "telegram":
            self._screen.line(f"messages go to {status.get('chats', 0)} Telegram chat(s)")
        elif os.environ.get("TELEGRAM_BOT_TOKEN") or read_secret("TELEGRAM_BOT_TOKEN"):
            self._screen.line(
                "[bold yellow]a Telegram token is set, but no chat[/bold yellow]: write /start to your bot, it tells the id "
                "for TELEGRAM_CHAT_ID; until then messages are printed here"
            )
        else:
            self._screen.line("TELEGRAM_BOT_TOKEN is not set: messages are printed here")

    def _say_blindness(self, status: dict[str, Any]) -> None:
        """Say once when nothing is heard from the exchange, with the reason and what happens, and once when it is back."""
        blind = not status or bool(status.get("blind")) or not status.get("ready")
        now = time.monotonic()
        self._blind_since = (self._blind_since or now) if blind else 0.0
        if blind and not self._said_blind and now - self._blind_since > PATIENCE_SECONDS:
            log_file = next(plan.log_file for plan in self._plan.processes if plan.name == "ingestion")
            self._screen.line(
                f"[bold yellow]nothing is heard from the exchange[/bold yellow] ({_problem(log_file)}); "
                f"trying on by itself. Check the network, or BYBIT_WEBSOCKET_URL and BYBIT_REST_URL"
            )
            self._said_blind = True
        elif not blind and self._said_blind:
            self._screen.line("[green]the exchange is heard again[/green]")
            self._said_blind = False

    async def _refresh(self) -> None:
        if self._view is None:
            return
        try:
            statuses = await self._view.statuses(SERVICES)
            watermark_ms = statuses.get("ingestion", {}).get("watermark_ms")
            watermarks = dict.fromkeys(self._view.exchanges, watermark_ms) if watermark_ms else {}
            self._say_blindness(statuses.get("ingestion", {}))
            self._say_destination(statuses.get("notifier", {}))
            self._screen.update(await self._view.symbols(watermarks), statuses, self._view.clock.market_ms())
        except TransientError as error:
            self._screen.line(f"[yellow]{error}[/yellow]")


async def _pump(read_end: int, screen: Screen, child: subprocess.Popen[bytes], stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", closefd=True)
    )
    lines = asyncio.ensure_future(pump_lines(reader, screen))
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({lines, stop}, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        child.terminate()
        await asyncio.wait({lines}, timeout=10)
    stop.cancel()
    lines.cancel()
    transport.close()


def _problem(log_file: Path) -> str:
    return escape(last_problem(log_file) or f"see {log_file}")


def _reason(log_file: Path) -> str:
    return escape(last_log_line(log_file) or f"no word in {log_file}")
