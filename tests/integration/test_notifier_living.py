"""One living message per signal: pictures that join it, exits that ring, and what happens when Telegram says no."""

import asyncio

import msgspec
import pytest

from services.notifier.core.chats import ChatState, Digest
from services.notifier.core.rates import RateLimits
from services.notifier.limits import SenderLimits
from services.notifier.owed_pictures import OwedPictures
from shared.domain.bias import Direction, MacroBias
from shared.domain.events import (
    AlertRaised,
    MacroBiasUpdated,
    Severity,
    SignalClosed,
    SignalOpened,
    SignalProgressed,
    SystemEvent,
)
from shared.domain.outbox import OutboxState
from shared.domain.timeframe import Timeframe
from shared.store.messages import MessageStore
from shared.store.outbox import OutboxStore
from shared.store.port import prefix_range
from tests.support.notifier import CHAT, LIMITS, a_profile, notifier_bench
from tests.support.signals import FIRST_OPEN_MS, a_signal, closed
from tests.support.telegram_server import FaultRule, TelegramServer

OTHER = 1002
GROUP = -55


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER, GROUP)) as running:
        yield running


def bench_of(server, tmp_path, *, limits=LIMITS, **wishes):
    return notifier_bench(server, tmp_path / "t.db", chats=(a_profile(**wishes),), limits=limits)


async def tell(bench, *events):
    for event in events:
        await bench.notifier.handle([event])
        await bench.notifier.drain()


def row_of(bench, event, chat=CHAT):
    return OutboxStore(bench.store).get(str(chat), event.event_id)


async def test_text_first_then_the_picture_joins_and_text_and_picture_follow_the_exit(server, tmp_path):
    async with bench_of(server, tmp_path, pictures=True) as bench, bench.running() as notifier:
        signal = await bench.a_stored_signal()
        await notifier.handle([SignalOpened(signal=signal)])
        view = await server.wait_until_async(
            lambda state: state.messages_of(CHAT)[0:1] and state.messages_of(CHAT)[0].photo
        )
        entry = view.messages_of(CHAT)[0].photo
        await notifier.handle([SignalClosed(signal=closed(signal))])
        view = await server.wait_until_async(
            lambda state: state.messages_of(CHAT)[0].photo.sha256 != entry.sha256, timeout_s=20
        )
        [message] = view.messages_of(CHAT)

    assert [version.method for version in message.history] == [
        "sendMessage",
        "editMessageMedia",
        "editMessageCaption",
        "editMessageMedia",
    ]
    assert message.history[0].photo is None, "the text leaves before anything is drawn"
    assert message.text.startswith("✅ EXIT LONG BTCUSDT")
    assert message.current.buttons() == [f"chart:{signal.signal_id}", f"why:{signal.signal_id}"]


def die_before_the_picture_is_sent(bench, monkeypatch):
    monkeypatch.setattr(bench.notifier._sender, "offer_picture", lambda _: None)


def die_before_the_picture_is_recorded(bench, monkeypatch):
    def killed(_):
        raise RuntimeError("killed")

    monkeypatch.setattr("services.notifier.pictures.crash_point", killed)


@pytest.mark.parametrize("die", [die_before_the_picture_is_sent, die_before_the_picture_is_recorded])
async def test_a_picture_that_a_kill_prevented_joins_after_the_restart_and_once(server, tmp_path, monkeypatch, die):
    async with bench_of(server, tmp_path, pictures=True) as bench:
        signal = await bench.a_stored_signal()
        with monkeypatch.context() as killing:
            die(bench, killing)
            await bench.notifier.handle([SignalOpened(signal=signal)])
            async with bench.running() as notifier:
                await server.wait_until_async(lambda state: state.messages_of(CHAT))
                await notifier.charts_done(20)
        owed = OwedPictures(bench.store, bench.notifier.chats, kept_ms=60_000)
        assert len(await owed.due(bench.clock.wall_ms())) == 1
        for _ in range(2):
            bench.restart()
            async with bench.running() as notifier:
                while notifier.status()["sending"] is False or await owed.due(bench.clock.wall_ms()):
                    await asyncio.sleep(0.05)
        record = (await MessageStore(bench.store).get(str(CHAT), signal.signal_id)).record
        marks = await bench.store.scan("notifier-state", *prefix_range("picture"))

    [message] = server.messages(CHAT)
    assert [version.method for version in message.history] == ["sendMessage", "editMessageMedia"]
    assert (message.photo is not None, record.picture, marks) == (True, "entry", [])


async def test_a_picture_is_owed_no_longer_than_its_setting_says(server, tmp_path, monkeypatch):
    async with bench_of(server, tmp_path, pictures=True) as bench:
        signal = await bench.a_stored_signal()
        die_before_the_picture_is_sent(bench, monkeypatch)
        await tell(bench, SignalOpened(signal=signal))
        now_ms = bench.clock.wall_ms()
        assert await OwedPictures(bench.store, bench.notifier.chats, kept_ms=1_000).due(now_ms + 5_000) == []
        assert await OwedPictures(bench.store, bench.notifier.chats, kept_ms=60_000).due(now_ms) == []

    assert server.messages(CHAT)[0].photo is None


async def test_an_exit_rings_by_a_reply_to_the_edited_message_once(server, tmp_path):
    signal = a_signal()
    events = [SignalOpened(signal=signal), SignalClosed(signal=closed(signal))]
    async with bench_of(server, tmp_path, exit_reply=True) as bench:
        await tell(bench, *events, *events)
        row = await row_of(bench, events[1])

    message, reply = server.messages(CHAT)
    assert message.text.startswith("✅ EXIT LONG BTCUSDT")
    assert reply.text.startswith("✅ EXIT LONG BTCUSDT at 60900.00 · +1.50 %")
    assert reply.reply_to_message_id == message.message_id
    assert (row.state, row.repeats) == (OutboxState.SENT, 0)


async def test_an_exit_told_by_a_message_of_its_own_needs_no_reply(server, tmp_path):
    signal = a_signal()
    async with bench_of(server, tmp_path, exit_reply=True) as bench:
        await bench.notifier.handle([SignalOpened(signal=signal), SignalClosed(signal=closed(signal))])
        await bench.notifier.drain()

    assert len(server.messages(CHAT)) == 1


async def test_a_reply_of_unknown_outcome_is_repeated_and_marked_and_the_edit_is_not_made_again(server, tmp_path):
    signal = a_signal()
    async with bench_of(server, tmp_path, exit_reply=True) as bench, bench.running() as notifier:
        await notifier.handle([SignalOpened(signal=signal)])
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        server.add_fault(FaultRule(kind="error_after", method="sendMessage"))
        await notifier.handle([SignalClosed(signal=closed(signal))])
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 3)

    _, first, second = server.messages(CHAT)
    assert ("repeat" in first.text, "repeat 1" in second.text) == (False, True)
    assert len(server.calls("editMessageText")) == 1


async def test_an_edit_that_telegram_refuses_becomes_a_reply(server, tmp_path):
    signal = a_signal()
    async with bench_of(server, tmp_path, exit_reply=True) as bench:
        await tell(bench, SignalOpened(signal=signal))
        refusal = "Bad Request: message can't be edited"
        server.add_fault(FaultRule(kind="refuse", method="editMessageText", status=400, description=refusal))
        await tell(bench, SignalClosed(signal=closed(signal)))

    message, reply = server.messages(CHAT)
    assert reply.text.startswith("✅ EXIT LONG")
    assert reply.reply_to_message_id == message.message_id
    assert bench.notifier.status()["replied"] == 1


async def test_progress_is_told_at_most_once_in_its_pause_and_of_what_waits_only_the_newest(server, tmp_path):
    signal = a_signal()
    notes = [
        SignalProgressed(signal=msgspec.structs.replace(signal, version=version), note=f"note {version}")
        for version in (2, 3, 4)
    ]
    limits = msgspec.structs.replace(LIMITS, progress_pause_ms=700)
    async with bench_of(server, tmp_path, limits=limits) as bench:
        await tell(bench, SignalOpened(signal=signal), notes[0])
        bench.restart()  # what is held is known from the message's record, too
        await tell(bench, notes[1], notes[2])
        assert server.messages(CHAT)[0].edit_count == 1
        async with bench.running():
            await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].edit_count == 2)
        states = [(await row_of(bench, note)).state for note in notes]

    [message] = server.messages(CHAT)
    assert states == [OutboxState.SENT, OutboxState.REPLACED, OutboxState.SENT]
    assert all(f"note {version}" in message.text for version in (2, 3, 4))
    assert (message.history[2].at_wall_ns - message.history[1].at_wall_ns) / 1e6 >= 650


async def test_what_follows_a_muted_entry_is_not_told_and_what_was_told_before_is_followed_to_its_end(server, tmp_path):
    early, late = a_signal("BTCUSDT"), a_signal("BTCUSDT", trigger="divergence")
    async with bench_of(server, tmp_path) as bench:
        await tell(bench, SignalOpened(signal=early))
        await bench.notifier.chats.change(str(CHAT), lambda state: ChatState(muted={"BTCUSDT": 2**60}))
        await tell(
            bench, SignalOpened(signal=late), SignalClosed(signal=closed(late)), SignalClosed(signal=closed(early))
        )
        rows = [await row_of(bench, SignalOpened(signal=late)), await row_of(bench, SignalClosed(signal=closed(late)))]

    [message] = server.messages(CHAT)
    assert early.signal_id in message.text
    assert message.text.startswith("✅ EXIT")
    assert [row.state for row in rows] == [OutboxState.WITHHELD] * 2
    assert "muted" in rows[1].reason


async def test_an_entry_that_waited_too_long_expires_with_what_follows_it(server, tmp_path):
    server.add_fault(FaultRule(kind="too_many_requests", method="sendMessage", retry_after_s=1))
    first, late = a_signal("FIRST"), a_signal("LATE")
    async with bench_of(server, tmp_path, entry_expires_ms=300) as bench, bench.running() as notifier:
        await notifier.handle([SignalOpened(signal=first)])
        await server.wait_until_async(lambda state: state.calls)
        await notifier.handle([SignalOpened(signal=late)])
        await asyncio.sleep(0.6)
        await notifier.handle([SignalClosed(signal=closed(late))])
        while (row := await row_of(bench, SignalClosed(signal=closed(late)))) is None or not row.is_final:
            await asyncio.sleep(0.05)
        entry = await row_of(bench, SignalOpened(signal=late))

    assert (entry.state, row.state) == (OutboxState.EXPIRED, OutboxState.EXPIRED)
    assert all("LATE" not in text for text in server.sent_texts(CHAT))


async def test_a_flood_is_told_in_a_digest_and_an_exit_of_it_by_the_whole_story(server, tmp_path):
    signals = [a_signal(f"S{number}USDT") for number in range(8)]
    digest = Digest(more_than=3, window_ms=300)
    async with bench_of(server, tmp_path, digest=digest) as bench, bench.running() as notifier:
        await notifier.handle([SignalOpened(signal=signal) for signal in signals])
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        await asyncio.sleep(0.1)
        await notifier.handle([SignalClosed(signal=closed(signals[0]))])
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        row = await row_of(bench, SignalOpened(signal=signals[7]))

    digest_text, story = server.shown_texts(CHAT)
    assert digest_text.startswith("🗞 8 messages")
    assert all(signal.symbol in digest_text for signal in signals)
    assert story.startswith("✅ EXIT LONG S0USDT")
    assert (row.state, row.message_id) == (OutboxState.DIGESTED, server.messages(CHAT)[0].message_id)


def an_alert(name, **values):
    given = {"strategy": "scanner", "exchange": "bybit-linear", "symbol": "BTCUSDT", "timeframe": Timeframe.M15}
    return AlertRaised(alert=name, candle_open_time_ms=FIRST_OPEN_MS, price=60_000.0, **(given | values))


async def test_alerts_of_a_pair_that_come_together_are_one_message_as_a_tree(server, tmp_path):
    limits = msgspec.structs.replace(LIMITS, alert_gather_ms=300)
    alerts = [an_alert("ppo_up"), an_alert("vwap_up"), an_alert("ppo_up", symbol="ETHUSDT")]
    async with bench_of(server, tmp_path, limits=limits) as bench, bench.running() as notifier:
        for alert in alerts:
            await notifier.handle([alert])
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        await asyncio.sleep(0.2)
        states = [(await row_of(bench, alert)).state for alert in alerts]

    tree = next(message.text for message in view.messages_of(CHAT) if "BTCUSDT" in message.text)
    assert "├➤ 🔔 ppo up" in tree
    assert "└➤ 🔔 Price above VWAP" in tree
    assert sorted(states) == [OutboxState.MERGED, OutboxState.SENT, OutboxState.SENT]


async def test_the_bias_is_told_when_it_turns_strong_and_not_again_when_redelivered(server, tmp_path):
    bias = MacroBias(
        base="BTC",
        quote="USDT",
        version=1,
        direction=Direction.LONG,
        confidence=60.0,
        regime="risk_on",
        components={"rsi": 61.0},
        published_at_ms=FIRST_OPEN_MS,
        effective_from_ms=FIRST_OPEN_MS + 60_000,
        expires_at_ms=FIRST_OPEN_MS + 14_400_000,
    )
    strong = msgspec.structs.replace(bias, version=3, confidence=85.0)
    same = msgspec.structs.replace(bias, version=2, confidence=62.0)
    events = [MacroBiasUpdated(bias=one) for one in (bias, same, strong)]
    async with bench_of(server, tmp_path) as bench:
        await tell(bench, *events)
        bench.restart()
        await tell(bench, *events)

    first, second = server.shown_texts(CHAT)
    assert "binds nothing" in first
    assert "up 85/100, strong" in second
    assert "Before: up 60/100" in second


async def test_reports_of_one_kind_within_the_pause_wait_and_come_together(server, tmp_path):
    reports = [
        SystemEvent(
            kind=kind,
            subject=f"s{number}",
            version=number,
            severity=Severity.WARNING,
            text=f"text {number}",
            at_ms=number,
        )
        for number, kind in enumerate(("blind", "blind", "seeing", "hole"), 1)
    ]
    limits = msgspec.structs.replace(LIMITS, system_pause_ms=500)
    async with bench_of(server, tmp_path, limits=limits) as bench, bench.running() as notifier:
        for report in reports:
            await notifier.handle([report])
            await asyncio.sleep(0.05)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 3)

    texts = [message.text for message in view.messages_of(CHAT)]
    assert "text 1" in texts[0]
    assert "text 4" in texts[1], "another kind does not wait"
    assert "2 reports" in texts[2]


async def test_a_group_that_became_a_supergroup_is_told_there_from_then_on(server, tmp_path):
    server.migrate(GROUP, -100777)
    signal = a_signal()
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(GROUP),)) as bench:
        async with bench.running() as notifier:
            await notifier.handle([SignalOpened(signal=signal)])
            await server.wait_until_async(lambda state: state.messages_of(-100777))
        moved = await bench.notifier.state.moved()
        row = await row_of(bench, SignalOpened(signal=signal), GROUP)

    assert moved == {str(GROUP): "-100777"}
    assert (row.state, row.repeats) == (OutboxState.SENT, 0)


async def test_a_forum_topic_is_a_place_of_its_own(server, tmp_path):
    topic = msgspec.structs.replace(a_profile(GROUP), chat=f"{GROUP}/7", symbols=frozenset({"ETHUSDT"}))
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(GROUP), topic)) as bench:
        await tell(bench, SignalOpened(signal=a_signal("ETHUSDT")), SignalOpened(signal=a_signal("BTCUSDT")))

    threads = [call.parameters.get("message_thread_id") for call in server.calls("sendMessage")]
    assert sorted(map(str, threads)) == ["7", "None", "None"]


async def test_markup_that_telegram_cannot_read_is_sent_as_plain_text(server, tmp_path):
    refusal = "Bad Request: can't parse entities: unsupported start tag"
    server.add_fault(FaultRule(kind="refuse", method="sendMessage", status=400, description=refusal))
    async with bench_of(server, tmp_path) as bench:
        await tell(bench, SignalOpened(signal=a_signal()))

    assert server.shown_texts(CHAT)[0].startswith("⬆️ LONG SIGNAL for BTCUSDT")


async def test_a_wait_of_an_hour_is_kept_across_a_restart(server, tmp_path):
    server.add_fault(FaultRule(kind="too_many_requests", method="sendMessage", retry_after_s=3_600))
    async with bench_of(server, tmp_path) as bench:
        await tell(bench, SignalOpened(signal=a_signal("A")))
        bench.restart()
        await tell(bench, SignalOpened(signal=a_signal("B")))
        row = await row_of(bench, SignalOpened(signal=a_signal("A")))

    assert len(server.calls("sendMessage")) == 1, "the chat is left alone until its time has come"
    assert row.state is OutboxState.QUEUED


async def test_within_its_budget_nothing_is_refused_for_its_rate(tmp_path):
    from tests.support.telegram_server import RateLimits as ServerLimits

    factor = 20.0
    limits = msgspec.structs.replace(LIMITS, rates=RateLimits(factor=factor))
    with TelegramServer(chats=(CHAT, GROUP)) as server:
        server.set_rate_limits(ServerLimits(factor=factor))
        chats = (a_profile(CHAT), a_profile(GROUP))
        async with (
            notifier_bench(server, tmp_path / "t.db", chats=chats, limits=limits) as bench,
            bench.running() as one,
        ):
            await one.handle([SignalOpened(signal=a_signal(f"S{number}")) for number in range(24)])
            await server.wait_until_async(lambda state: len(state.messages_of(GROUP)) == 24)
        refused = [call for call in server.calls() if not call.accepted]

    assert len(refused) <= 4, [call.description for call in refused]


def test_limits_are_refused_where_they_make_no_sense():
    with pytest.raises(ValueError, match="rates must be >= 1"):
        SenderLimits(rates=RateLimits(per_chat_per_second=0))
