"""Many deliveries into chats of a server that enforces Telegram's limits, errs, and outlives the notifier it kills.

What is promised is checked from two sides: the outbox (every event's row and its end) and the server (what people saw).
"""

import asyncio
import contextlib
import os
import random
import signal as signals
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import yaml

from shared.bus.sqlite import SqliteBus
from shared.domain.events import AlertRaised, Event, Severity, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.outbox import OutboxRow, OutboxState
from shared.domain.signals import SignalStatus
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.outbox import OutboxStore
from shared.store.sqlite import SqliteStore
from tests.support.signals import EXCHANGE, FIRST_OPEN_MS, a_signal, closed
from tests.support.telegram_server import TOKEN, FaultRule, RateLimits, StateView, TelegramServerProcess

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = (1001, 1002, 1003, 1004)
GROUP = -1005
CHATS = (*PRIVATE, GROUP)
METHODS = ("sendMessage", "editMessageText")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run. factor: how much faster than Telegram both sides count; seconds: over which events come."""

    signals: int
    alerts: int
    reports: int
    seconds: float
    factor: float
    kills: int
    seed: int = 7
    flood_share: float = 0.05
    error_share: float = 0.02
    settle_seconds_max: float = 300.0


class Report(msgspec.Struct, kw_only=True):
    """What came of it."""

    deliveries: int
    seconds: float
    states: dict[str, int]
    lost: list[str]
    messages: int
    edits: int
    repeats_counted: int
    repeats_seen: int
    repeats_unmarked: list[str]
    overtaken_max: int
    overtaken_twice: int
    exits: int
    injected_429: int
    own_429: int
    errors_5xx: int
    kills: int
    faults: dict[str, int]


def planned(plan: Plan) -> list[tuple[float, Event]]:
    """(second, event) in order: signals with progress and an end, alerts of pairs, reports of the platform."""
    source = random.Random(plan.seed)
    found: list[tuple[float, Event]] = []
    for number in range(plan.signals):
        signal = a_signal(f"S{number:04d}USDT")
        at_s = source.uniform(0, plan.seconds * 0.9)
        found.append((at_s, SignalOpened(signal=signal)))
        # Some end before their entry is out, most later; one in three says something on the way.
        ends_s = at_s + source.choice([0.0, 0.2, 2.0, 10.0, 20.0])
        version = 2
        if number % 3 == 0:
            noted = msgspec.structs.replace(signal, version=version)
            found.append(((at_s + ends_s) / 2, SignalProgressed(signal=noted, note=f"note on {signal.symbol}")))
            version += 1
        found.append((min(ends_s, plan.seconds), SignalClosed(signal=closed(signal, version=version))))
    for number in range(plan.alerts):
        at_s = source.uniform(0, plan.seconds)
        found += [(at_s, an_alert(number, name)) for name in ("ppo_up", "vwap_up")]
    for number in range(plan.reports):
        kind = source.choice(("blind", "seeing", "hole", "candle_partial"))
        found.append((source.uniform(0, plan.seconds), a_report(number, kind)))
    return sorted(found, key=lambda item: item[0])


def an_alert(number: int, name: str) -> AlertRaised:
    return AlertRaised(
        strategy="scanner",
        alert=name,
        exchange=EXCHANGE,
        symbol=f"A{number:04d}USDT",
        timeframe=Timeframe.M15,
        candle_open_time_ms=FIRST_OPEN_MS,
        price=1.0,
        values={"ppo": 0.1},
    )


def a_report(number: int, kind: str) -> SystemEvent:
    text = f"report {number} of {kind}."
    return SystemEvent(
        kind=kind, subject=f"s#{number}", version=number, severity=Severity.WARNING, text=text, at_ms=number
    )


def _is_held(event: Event) -> bool:
    return isinstance(event, SignalClosed) and int(event.signal.symbol[1:5]) % 4 == 0


def is_told(chat: int, event: Event) -> bool:
    """The group hears of every fourth symbol alone, and of no reports."""
    if chat != GROUP:
        return True
    if isinstance(event, SystemEvent):
        return False
    symbol = event.symbol if isinstance(event, AlertRaised) else event.signal.symbol
    return int(symbol[1:5]) % 4 == 0


def configuration(plan: Plan) -> dict[str, object]:
    """Five chats with different wishes."""
    kinds = ["signals", "alerts", "macro", "system"]  # what is counted is published here: no notices of starts
    plain = {"pictures": False, "digest": None, "kinds": kinds}
    symbols = [f"{kind}{number:04d}USDT" for kind in "SA" for number in range(0, plan.signals + plan.alerts, 4)]
    wishes: list[dict[str, object]] = [
        {"exit_notice": "edit_and_reply"},
        {"exit_notice": "edit", "language": "vi"},
        {"exit_notice": "edit", "digest": {"more_than": 20, "seconds": max(1, round(60 / plan.factor))}},
        {"exit_notice": "edit", "entries_expire_minutes": 60 / plan.factor},
        {"exit_notice": "edit", "symbols": symbols, "kinds": ["signals", "alerts"]},
    ]
    return {
        "venues": {EXCHANGE: {"symbols": ["BTCUSDT"]}},
        "strategies": [{"name": "rsi_divergence"}],
        "chats": [{"name": f"c{chat}", "id": chat, **plain, **wish} for chat, wish in zip(CHATS, wishes, strict=True)],
    }


class Torture:
    """The run: server and notifier as processes, events over the bus, kills at random."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._database = open_database(folder / "data" / "tracker.db")
        clock, topology = ScaledClock(), load_topology()
        self._outbox = OutboxStore(SqliteStore(self._database, topology, clock))
        self._bus = SqliteBus(self._database, topology, clock)
        self._process: subprocess.Popen[bytes] | None = None
        self._kills = 0
        (folder / "tracker.yaml").write_text(yaml.safe_dump(configuration(plan)))

    async def run(self) -> Report:
        """Returns when every delivery has ended, or after the time to settle."""
        plan, events = self._plan, planned(self._plan)
        with TelegramServerProcess(self._folder / "telegram.jsonl", chats=CHATS, token=TOKEN, seed=plan.seed) as server:
            for rule in _faults(plan):
                server.add_fault(rule)
            server.set_rate_limits(RateLimits(factor=plan.factor))
            self._start(server)
            started = time.monotonic()
            killing = asyncio.create_task(self._kill_at_random(server))
            try:
                await self._publish(events, started)
                await killing
                await self._settled(server, events)
            finally:
                killing.cancel()
                self._stop()
            seconds = time.monotonic() - started
            view = server.state()
        rows = {
            (chat, event.event_id): await self._outbox.get(str(chat), event.event_id)
            for _, event in events
            for chat in CHATS
            if is_told(chat, event)
        }
        await self._database.close()
        return _report(plan, rows, view, seconds, self._kills)

    def _start(self, server: TelegramServerProcess) -> None:
        plan = self._plan
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("TELEGRAM", "CRASH", "RATE"))
        }
        environment |= {
            "DATA_DIR": str(self._folder / "data"),
            "TRACKER_CONFIG": str(self._folder / "tracker.yaml"),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": server.base_url,
            "TELEGRAM_CHAT_ID": str(CHATS[0]),
            "INSTANCE_ID": "torture",
            "RATE_FACTOR": str(plan.factor),
            "OUTBOX_BACKOFF_FIRST_MS": str(round(1_000 / plan.factor) or 1),
            "OUTBOX_BACKOFF_MAX_MS": str(round(300_000 / plan.factor)),
            "PROGRESS_PAUSE_MS": str(round(300_000 / plan.factor)),
            "SYSTEM_PAUSE_MS": str(round(300_000 / plan.factor)),
            "LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(ROOT),
        }
        log = (self._folder / "notifier.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.notifier.main"],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    async def _kill_at_random(self, server: TelegramServerProcess) -> None:
        source = random.Random(self._plan.seed + 1)
        pause_s = self._plan.seconds / max(1, self._plan.kills)
        for _ in range(self._plan.kills):
            await asyncio.sleep(pause_s * source.uniform(0.6, 1.4))
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "notifier.log").read_text()[-2_000:]
            self._process.send_signal(signals.SIGKILL)
            await asyncio.to_thread(self._process.wait)
            self._kills += 1
            self._start(server)

    async def _publish(self, events: list[tuple[float, Event]], started: float) -> None:
        """Each event at its time; one exit in four not before its entry was told, so that it is an edit."""
        waiting, held = list(events), list[Event]()
        while waiting or held:
            now_s = time.monotonic() - started
            due = [event for at_s, event in waiting if at_s <= now_s]
            waiting = waiting[len(due) :]
            held += [event for event in due if _is_held(event)]
            due = [event for event in due if not _is_held(event)]
            due += await self._told(held)
            held = [event for event in held if event not in due]
            for topic, kinds in (("system-events", True), ("trade-signals-micro", False)):
                batch = [event for event in due if isinstance(event, SystemEvent) is kinds]
                if batch:
                    await self._bus.publish(topic, batch)
            await asyncio.sleep(0.1)

    async def _told(self, held: list[Event]) -> list[Event]:
        """Of the exits that wait for their entries, those whose entry has ended in the first chat (20 asked at a time)."""
        found = []
        for event in held[:20]:
            assert isinstance(event, SignalClosed)
            opened = msgspec.structs.replace(event.signal, version=1, status=SignalStatus.OPEN, exit=None)
            row = await self._outbox.get(str(CHATS[0]), SignalOpened(signal=opened).event_id)
            if row is not None and row.is_final:
                found.append(event)
        return found

    async def _settled(self, server: TelegramServerProcess, events: list[tuple[float, Event]]) -> None:
        deadline = time.monotonic() + self._plan.settle_seconds_max
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "notifier.log").read_text()[-2_000:]
            backlog = [
                await self._bus.backlog(f"notifier--{topic}") for topic in ("trade-signals-micro", "system-events")
            ]
            if not sum(backlog) and not await self._outbox.open_rows():
                return
            await asyncio.sleep(0.5)


def _faults(plan: Plan) -> list[FaultRule]:
    shares = (
        ("too_many_requests", plan.flood_share),
        ("error_before", plan.error_share / 2),
        ("error_after", plan.error_share / 2),
    )
    return [
        FaultRule(kind=kind, method=method, count=None, probability=share)  # type: ignore[arg-type] # names of kinds
        for method in METHODS
        for kind, share in shares
    ]


def _report(
    plan: Plan,
    rows: dict[tuple[int, str], OutboxRow | None],
    view: StateView,
    seconds: float,
    kills: int,
) -> Report:
    calls = [call for call in view.calls if call.method in METHODS]
    found = [row for row in rows.values() if row is not None]
    overtaken = _overtaken(found, view)
    unmarked, seen = _repeats(view)
    return Report(
        deliveries=len(rows),
        seconds=seconds,
        states=dict(Counter(row.state.value for row in found)),
        lost=_lost(rows, view),
        messages=sum(len(view.messages_of(chat)) for chat in CHATS),
        edits=sum(message.edit_count for message in view.messages),
        repeats_counted=sum(row.repeats for row in found),
        repeats_seen=seen,
        repeats_unmarked=unmarked,
        overtaken_max=max(overtaken, default=0),
        overtaken_twice=sum(count > 1 for count in overtaken),
        exits=len(overtaken),
        injected_429=sum(call.fault == "too_many_requests" for call in calls),
        own_429=sum(call.answer == "429" and not call.fault for call in calls),
        errors_5xx=sum(call.fault.startswith("error_") for call in calls),
        kills=kills,
        faults=dict(Counter(call.fault for call in calls if call.fault)),
    )


def _lost(rows: dict[tuple[int, str], OutboxRow | None], view: StateView) -> list[str]:
    """Deliveries without an end, or whose end is a message that does not exist or does not say it."""
    messages = {(message.chat_id, message.message_id): message for message in view.messages}
    told = {OutboxState.SENT, OutboxState.MERGED, OutboxState.REPLACED, OutboxState.DIGESTED}
    lost = []
    for (chat, event_id), row in rows.items():
        if row is None or not row.is_final or row.state is OutboxState.FAILED:
            lost.append(f"{chat} {event_id}: {row.state if row else 'no row'} {row.reason if row else ''}")
        elif row.state in told:
            message = messages.get((chat, row.message_id or 0))
            if message is None or (row.state is not OutboxState.DIGESTED and not _says(message, row)):
                lost.append(f"{chat} {event_id}: {row.state}, but message {row.message_id} does not say it")
    return lost


def _says(message: object, row: OutboxRow) -> bool:
    texts = [version.text for version in message.history]  # type: ignore[attr-defined] # a StoredMessage
    if isinstance(row.event, AlertRaised):
        return any(row.event.symbol in text for text in texts)
    if isinstance(row.event, SystemEvent):
        return any(row.event.text in text or "…" in text for text in texts)
    signal = row.event.signal
    named = any(signal.symbol in text for text in texts)
    # The last word of an ended signal is its end.
    return named and (not isinstance(row.event, SignalClosed) or texts[-1].startswith(("✅", "❌")))


def _repeats(view: StateView) -> tuple[list[str], int]:
    """Messages that say for the second time what another one said first and show no mark; and how many were marked."""
    first: dict[tuple[int, str], int] = {}
    unmarked, seen = [], 0
    for message in sorted(view.messages, key=lambda one: (one.chat_id, one.message_id)):
        if message.from_user_id != view.bot_id:
            continue
        original = message.history[0]
        marked = "🔁" in original.text
        seen += marked
        if original.text.startswith("🗞"):
            continue
        subject = _subject(original.text, message.reply_to_message_id)
        key = (message.chat_id, subject)
        if key in first and not marked:
            unmarked.append(f"{message.chat_id} {subject!r}: {first[key]} and {message.message_id}")
        first.setdefault(key, message.message_id)
    return unmarked, seen


def _subject(text: str, reply_to: int | None) -> str:
    """What a message is about: a signal (or the reply that tells its end), an alert's pair, the first report of several."""
    lines = [line for line in text.splitlines() if "🔁" not in line]
    words = " ".join(lines).split()
    symbol = next((word for word in words if word.endswith("USDT") and word[1:5].isdecimal()), "")
    return f"{symbol} reply {reply_to}" if reply_to else symbol or " ".join(words)


def _overtaken(rows: list[OutboxRow], view: StateView) -> list[int]:
    """For each exit: how many entries of other signals its chat was sent after the exit was queued and before it was told."""
    entries: dict[int, list[tuple[int, str]]] = defaultdict(list)
    ends: dict[tuple[int, str], int] = {}
    for call in view.calls:
        text = str(call.parameters.get("text", ""))
        if not call.accepted or call.chat_id is None or call.method not in METHODS:
            continue
        symbol = _subject(text.replace("<code>", " ").replace("</code>", " "), None)
        if "EXIT" in text or "ĐÓNG" in text:
            ends.setdefault((call.chat_id, symbol), call.first_byte_wall_ns)
        elif "SIGNAL" in text or "TÍN HIỆU" in text:
            entries[call.chat_id].append((call.first_byte_wall_ns, symbol))
    counts = []
    for row in rows:
        if not isinstance(row.event, SignalClosed):
            continue
        chat, symbol = int(row.chat), row.event.signal.symbol
        told_ns = ends.get((chat, symbol))
        if told_ns is not None:
            between = [
                1
                for at_ns, other in entries[chat]
                if row.queued_at_ms * 1_000_000 < at_ns < told_ns and other != symbol
            ]
            counts.append(len(between))
    return counts
