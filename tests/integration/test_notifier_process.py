"""The notifier as its own process: killed at every point between durable, claimed, sent and recorded; console mode."""

import asyncio
import contextlib
import json
import os
import re
import signal as signals
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.notifier.sender import LEASE_NAME
from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.events import SignalClosed, SignalOpened
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.sqlite import SqliteStore
from shared.strategies.windows import window_digest
from tests.support.notifier import CHAT
from tests.support.signals import a_decision, a_signal, closed, some_candles
from tests.support.telegram_server import TelegramServer

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = "venues:\n  bybit-linear:\n    symbols: [BTCUSDT]\nstrategies:\n  - name: rsi_divergence\n"
# One text, one edit: what else a message may get is tested elsewhere.
KINDS = "kinds: [signals, alerts, macro, system]"
CONFIG += f"chats:\n  - {{name: default, pictures: false, exit_notice: edit, {KINDS}}}\n"


class Platform:
    """The embedded file as the other services would fill it, and notifier processes on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "tracker.yaml"
        self.config.write_text(CONFIG)
        self.database = open_database(folder / "data" / "tracker.db")
        clock, topology = ScaledClock(), load_topology()
        self.store = SqliteStore(self.database, topology, clock)
        self.bus = SqliteBus(self.database, topology, clock)
        self.cache = SqliteCache(self.database, clock)

    async def a_signal(self, symbol="BTCUSDT"):
        candles = await CandleStore(self.store).save(some_candles(symbol), fence=None)
        signal = a_signal(symbol, entry_price=candles[-1].close, window_digest=window_digest(candles))
        await DecisionStore(self.store).save_first([a_decision(signal, candles)], fence=None)
        return signal

    async def publish(self, *events):
        await self.bus.publish("trade-signals-micro", list(events))

    def start(self, server=None, *, output=None, module="services.notifier.main", **variables):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("TELEGRAM", "CRASH"))}
        environment |= {
            "DATA_DIR": str(self.folder / "data"),
            "TRACKER_CONFIG": str(self.config),
            "OUTBOX_DIR": str(self.folder / "outbox"),
            "SENDER_LEASE_MS": "600",
            "OUTBOX_SCAN_MS": "300",
            "PYTHONPATH": str(REPOSITORY),
        }
        if server is not None:
            environment |= {
                "TELEGRAM_BOT_TOKEN": server.token,
                "TELEGRAM_API_URL": server.base_url,
                "TELEGRAM_CHAT_ID": str(CHAT),
                "TELEGRAM_POLL_SECONDS": "1",
            }
        return subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=self.folder,
            env=environment | variables,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
async def platform(tmp_path):
    made = Platform(tmp_path)
    yield made
    await made.database.close()


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT,)) as running:
        yield running


@contextlib.contextmanager
def ended(process):
    """SIGTERM at the end; whatever happens, no process stays."""
    try:
        yield process
        process.terminate()
        assert process.wait(15) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()


async def until_killed(process, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        assert time.monotonic() < deadline, "the crash point was not passed"
        await asyncio.sleep(0.05)
    assert process.returncode == -signals.SIGKILL, process.stderr.read()
    process.stderr.close()


@pytest.mark.parametrize(
    ("point", "copies"),
    [("notifier.queued", 1), ("notifier.claimed", 1), ("notifier.sent", 2)],
    ids=["durable, not acknowledged", "claimed, not sent", "sent, not recorded"],
)
async def test_a_kill_loses_no_message_and_repeats_only_what_may_have_been_sent(platform, server, point, copies):
    signal = await platform.a_signal()
    # Durable and nothing more: its sender could claim the row in the moment between the write and the kill.
    lease = (
        await platform.store.acquire_lease(LEASE_NAME, "elsewhere/1", ttl_ms=60_000)
        if point == "notifier.queued"
        else None
    )
    first = platform.start(server, CRASH_AT=f"{point}:1")
    await platform.publish(SignalOpened(signal=signal))
    await until_killed(first)
    if lease is not None:
        await platform.store.release_lease(lease)

    with ended(platform.start(server)):
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == copies, timeout_s=20)
        await platform.publish(SignalClosed(signal=closed(signal)))
        view = await server.wait_until_async(lambda state: state.messages_of(CHAT)[-1].edit_count == 1, timeout_s=20)

    messages = view.messages_of(CHAT)
    assert len(messages) == copies
    assert messages[-1].text.startswith("✅ EXIT LONG")
    marked = ["repeat 1" in message.history[0].text for message in messages]
    # A claim that was never sent looks like one that was: its repeat is marked, too.
    assert marked == {"notifier.queued": [False], "notifier.claimed": [True], "notifier.sent": [False, True]}[point]


async def test_a_kill_between_an_edit_and_its_record_shows_nothing_twice(platform, server):
    signal = await platform.a_signal()
    first = platform.start(server, CRASH_AT="notifier.sent:2")
    await platform.publish(SignalOpened(signal=signal))
    await server.wait_until_async(lambda state: state.messages_of(CHAT), timeout_s=20)
    await platform.publish(SignalClosed(signal=closed(signal)))
    await until_killed(first)

    with ended(platform.start(server)):
        await server.wait_until_async(
            lambda state: sum(call.method.lower() == "editmessagetext" for call in state.calls) == 2, timeout_s=20
        )

    [message] = server.messages(CHAT)
    assert (message.edit_count, "repeat" in message.text) == (1, False)


async def test_without_a_token_messages_are_printed_and_charts_saved(platform, tmp_path):
    signal = await platform.a_signal()
    printed = tmp_path / "printed.txt"
    with printed.open("w") as output, ended(platform.start(output=output, CONSOLE_FORMAT="json")):
        await platform.publish(SignalOpened(signal=signal))
        await until_lines(printed, 2)
        await platform.publish(SignalClosed(signal=closed(signal)))
        lines = await until_lines(printed, 4)

    assert [line["kind"] for line in lines] == ["new", "chart", "edit", "chart"]
    assert {line["signal_id"] for line in lines} == {signal.signal_id}
    assert lines[0]["text"].startswith("⬆️ LONG SIGNAL for BTCUSDT")
    for line, stage in ((lines[1], "entry"), (lines[3], "exit")):
        assert line["chart_path"].endswith(f"{signal.signal_id}_{stage}.png")
        assert Path(line["chart_path"]).read_bytes().startswith(b"\x89PNG")


async def until_lines(path, count, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while len(lines := path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, lines
        await asyncio.sleep(0.05)
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("token", ["1000001:another-bots-token", "no token at all"])
def test_a_wrong_token_is_one_line_that_names_the_variable_and_hides_the_value(platform, server, token):
    process = platform.start(server, TELEGRAM_BOT_TOKEN=token)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    last = errors.strip().splitlines()[-1]
    assert last.startswith("notifier: TELEGRAM_BOT_TOKEN ")
    assert token not in errors


async def test_the_log_never_shows_the_token(platform, server):
    process = platform.start(server, LOG_LEVEL="DEBUG", LOG_FILE=str(platform.folder / "notifier.log"))
    with ended(process):
        await platform.publish(SignalOpened(signal=a_signal()))
        await server.wait_until_async(lambda state: state.messages_of(CHAT), timeout_s=20)

    log = (platform.folder / "notifier.log").read_text()
    assert "message_sent" in log
    assert server.token not in log


async def test_a_killed_notifier_takes_its_drawing_process_with_it(platform, server):
    process = platform.start(server)
    deadline = time.monotonic() + 20
    while not (children := children_of(process.pid)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # the worker has imported and watches
    process.kill()
    process.wait()
    process.stderr.close()

    while any(Path(f"/proc/{child}").exists() and not is_zombie(child) for child in children):
        assert time.monotonic() < deadline + 10, children
        await asyncio.sleep(0.05)


def children_of(pid):
    """Running processes whose parent it is (Linux)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if re.search(rf"^PPid:\s+{pid}$", status.read_text(), re.MULTILINE):
                found.append(int(status.parent.name))
    return found


def is_zombie(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_importing_the_notifier_loads_neither_numba_nor_what_draws():
    code = (
        "import sys, services.notifier.main; print([m for m in ('numba', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
