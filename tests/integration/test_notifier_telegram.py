"""The notifier in front of a real HTTP server, through the real client."""

import asyncio
import time

import msgspec
import pytest

from shared.domain.events import Severity, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.outbox import OutboxState
from shared.domain.signals import ExitReason
from shared.store.messages import MessageStore
from shared.store.outbox import OutboxStore
from tests.support.notifier import CHAT, a_profile, notifier_bench
from tests.support.signals import a_signal, closed
from tests.support.telegram_server import FaultRule, TelegramServer

OTHER = 1002
NAMES = ("chart", "why", "took", "skip", "mute")


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER)) as running:
        yield running


@pytest.fixture
async def bench(server, tmp_path):
    async with notifier_bench(server, tmp_path / "tracker.db") as made:
        yield made


def row_of(bench, event, chat=CHAT):
    return OutboxStore(bench.store).get(str(chat), event.event_id)


async def until_row(bench, event, state, timeout_s=30.0, chat=CHAT):
    """The row once it is in the state: the server has seen a call a little before it is recorded."""
    deadline = time.monotonic() + timeout_s
    while (row := await row_of(bench, event, chat)) is None or row.state is not state:
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.02)
    return row


async def test_entry_then_chart_on_a_press_then_edit_on_exit_that_keeps_its_button(server, bench):
    signal = await bench.a_stored_signal()
    async with bench.running(buttons=True) as notifier:
        await notifier.handle([SignalOpened(signal=signal)])
        view = await server.wait_until_async(lambda state: state.messages_of(CHAT))
        [entry] = view.messages_of(CHAT)
        assert entry.text.startswith("⬆️ LONG SIGNAL for BTCUSDT")
        assert entry.current.buttons() == [f"{name}:{signal.signal_id}" for name in NAMES]

        query = server.press(CHAT, entry.message_id, f"chart:{signal.signal_id}", user_id=5)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        picture = view.messages_of(CHAT)[1]
        assert (picture.photo.width, picture.reply_to_message_id) == (960, entry.message_id)
        assert view.callback_answers[query]["text"] == "Drawing the chart …"

        await notifier.handle([SignalClosed(signal=closed(signal))])
        view = await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].edit_count == 1)
        shown = view.messages_of(CHAT)[0]
        assert shown.text.startswith("✅ EXIT LONG BTCUSDT")
        assert shown.current.buttons() == [f"{name}:{signal.signal_id}" for name in NAMES[:2]]

    record = (await MessageStore(bench.store).get(str(CHAT), signal.signal_id)).record
    assert record.message_id == entry.message_id


async def test_the_button_works_after_the_exit_and_after_a_restart_with_an_empty_cache(server, bench):
    signal = await bench.a_stored_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    await bench.notifier.handle([SignalClosed(signal=closed(signal, ExitReason.STOP_LOSS))])
    await bench.notifier.drain()
    await bench.cache.delete(f"message:{CHAT}:{signal.signal_id}")

    bench.restart()
    async with bench.running(buttons=True):
        [message] = server.messages(CHAT)
        server.press(CHAT, message.message_id, f"chart:{signal.signal_id}", user_id=5)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)

    assert "PnL -0.70 %" in view.messages_of(CHAT)[1].text


async def test_a_second_press_uses_the_cached_picture(server, bench):
    signal = await bench.a_stored_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    [message] = server.messages(CHAT)
    async with bench.running(buttons=True):
        for count in (2, 3):
            server.press(CHAT, message.message_id, f"chart:{signal.signal_id}", user_id=5)
            await server.wait_until_async(lambda state, count=count: len(state.messages_of(CHAT)) == count)

    pictures = {item.photo.sha256 for item in server.messages(CHAT)[1:]}
    assert len(pictures) == 1


async def test_foreign_chats_and_strange_buttons_are_answered_and_get_nothing(server, tmp_path):
    async with notifier_bench(server, tmp_path / "t.db", chats=(CHAT, OTHER)) as bench:
        signal = await bench.a_stored_signal()
        await bench.notifier.handle([SignalOpened(signal=signal)])
        await bench.notifier.drain()
        bench.profiles = (a_profile(CHAT),)  # OTHER is configured no more
        bench.restart()
        async with bench.running(buttons=True):
            [message] = server.messages(OTHER)
            query = server.press(OTHER, message.message_id, f"chart:{signal.signal_id}", user_id=9)
            view = await server.wait_until_async(lambda state: query in state.callback_answers)
            server.send_text(OTHER, "/start", user_id=9)
            view = await server.wait_until_async(lambda state: len(state.messages_of(OTHER)) == 2)

    assert "configured chats only" in view.callback_answers[query]["text"]
    started = view.messages_of(OTHER)[1].text
    assert str(OTHER) in started
    assert "Not financial advice" in started
    assert all(item.photo is None for item in view.messages)


async def test_a_chart_whose_decision_is_gone_is_explained(server, bench):
    signal = a_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    async with bench.running(buttons=True):
        server.press(CHAT, server.messages(CHAT)[0].message_id, f"chart:{signal.signal_id}", user_id=5)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)

    assert "its decision is not in the store" in view.messages_of(CHAT)[1].text


async def test_an_exit_before_its_entry_is_one_message_and_a_redelivery_changes_nothing(server, bench):
    signal = a_signal()
    events = [SignalClosed(signal=closed(signal)), SignalOpened(signal=signal)]
    for event in [*events, *events]:
        await bench.notifier.handle([event])
        await bench.notifier.drain()

    [message] = server.messages(CHAT)
    assert message.text.startswith("✅ EXIT LONG")
    assert message.edit_count == 0
    assert (await row_of(bench, events[1])).state is OutboxState.MERGED
    assert await OutboxStore(bench.store).open_rows() == []


async def test_a_correction_adds_a_line_to_the_message(server, bench):
    signal = a_signal()
    noted = SignalProgressed(signal=msgspec.structs.replace(signal, version=2), note="corrected by a late trade")
    for event in (SignalOpened(signal=signal), noted):
        await bench.notifier.handle([event])
        await bench.notifier.drain()

    [message] = server.messages(CHAT)
    assert "corrected by a late trade" in message.text


async def test_retry_after_is_honoured_and_holds_back_no_other_chat(server, tmp_path):
    server.add_fault(FaultRule(kind="too_many_requests", method="sendMessage", chat_id=CHAT, retry_after_s=1))
    async with notifier_bench(server, tmp_path / "t.db", chats=(CHAT, OTHER)) as bench, bench.running() as notifier:
        event = SignalOpened(signal=a_signal())
        started = time.monotonic()
        await notifier.handle([event])
        await server.wait_until_async(lambda state: state.messages_of(OTHER), timeout_s=0.9)
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        waited = time.monotonic() - started
        row = await until_row(bench, event, OutboxState.SENT)

    assert waited >= 1.0
    assert (row.attempts, row.repeats) == (2, 0)
    assert "repeat" not in server.messages(CHAT)[0].text


@pytest.mark.parametrize("kind", ["error_after", "reset_after"])
async def test_an_unknown_outcome_is_repeated_and_the_repeat_is_marked(server, bench, kind):
    server.add_fault(FaultRule(kind=kind, method="sendMessage"))
    event = SignalOpened(signal=a_signal())
    async with bench.running() as notifier:
        await notifier.handle([event])
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        row = await until_row(bench, event, OutboxState.SENT)

    first, second = server.messages(CHAT)
    assert "repeat" not in first.text
    assert "repeat 1" in second.text
    assert row.repeats == 1
    assert row.message_id == second.message_id


async def test_a_slow_answer_beyond_the_timeout_counts_as_unknown(server, tmp_path):
    server.add_fault(FaultRule(kind="slow", method="sendMessage", delay_s=1.0))
    async with notifier_bench(server, tmp_path / "t.db", timeout_seconds=0.3) as bench, bench.running() as notifier:
        await notifier.handle([SignalOpened(signal=a_signal())])
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)

    assert "repeat 1" in server.messages(CHAT)[1].text


async def test_a_slow_answer_within_the_timeout_is_waited_for(server, bench):
    server.add_fault(FaultRule(kind="slow", method="sendMessage", delay_s=0.5))
    await bench.notifier.handle([SignalOpened(signal=a_signal())])
    await bench.notifier.drain()

    assert len(server.messages(CHAT)) == 1


async def test_an_edit_of_unknown_outcome_is_made_again_without_a_mark(server, bench):
    server.add_fault(FaultRule(kind="error_after", method="editMessageText"))
    signal = a_signal()
    event = SignalClosed(signal=closed(signal))
    async with bench.running() as notifier:
        await notifier.handle([SignalOpened(signal=signal)])
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        await notifier.handle([event])
        await until_row(bench, event, OutboxState.SENT)

    [message] = server.messages(CHAT)
    assert (message.edit_count, "repeat" in message.text) == (1, False)
    assert len(server.calls("editMessageText")) == 2


async def test_a_blocked_bot_ends_the_row_and_the_others_are_told_once(server, tmp_path):
    server.block(CHAT)
    async with notifier_bench(server, tmp_path / "t.db", chats=(CHAT, OTHER)) as bench:
        for symbol in ("A", "B"):
            await bench.notifier.handle([SignalOpened(signal=a_signal(symbol))])
            await bench.notifier.drain()
        row = await row_of(bench, SignalOpened(signal=a_signal("A")))
        deliveries = await bench.bus.pull("notifier--system-events", max_messages=10, wait_seconds=1)
        await bench.notifier.handle_deliveries(deliveries)
        await bench.notifier.drain()
        again = await bench.bus.pull("notifier--system-events", max_messages=10, wait_seconds=0.1)

    assert row.state is OutboxState.FAILED
    assert "blocked" in row.reason
    texts = server.sent_texts(OTHER)
    assert len([text for text in texts if "SIGNAL" in text]) == 2
    assert len([text for text in texts if "Telegram refuses messages" in text]) == 1
    assert again == []


async def test_a_deleted_message_is_followed_by_a_new_one(server, bench):
    signal = a_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    await bench.bot.delete_message(CHAT, server.messages(CHAT)[0].message_id)

    await bench.notifier.handle([SignalClosed(signal=closed(signal))])
    await bench.notifier.drain()

    [message] = server.messages(CHAT)
    assert message.text.startswith("✅ EXIT LONG")
    record = (await MessageStore(bench.store).get(str(CHAT), signal.signal_id)).record
    assert record.message_id == message.message_id


async def test_messages_wait_while_the_server_is_away_and_none_is_marked(server, bench):
    bench.bot  # noqa: B018 - the client exists before the server goes
    server.stop()
    event = SignalOpened(signal=a_signal())
    await bench.notifier.handle([event])
    await bench.notifier.drain()

    row = await row_of(bench, event)
    assert (row.state, row.attempts, row.repeats) == (OutboxState.QUEUED, 1, 0)


async def test_exits_overtake_entries_and_entries_overtake_information(server, bench):
    early = a_signal("EARLY")
    await bench.notifier.handle([SignalOpened(signal=early)])
    await bench.notifier.drain()
    blind = SystemEvent(kind="blind", subject="x", version=1, severity=Severity.WARNING, text="no data", at_ms=1)
    await bench.notifier.handle([blind])
    await bench.notifier.handle([SignalOpened(signal=a_signal("LATE"))])
    await bench.notifier.handle([SignalClosed(signal=closed(early))])
    await bench.notifier.drain()

    methods = [(call.method, call.parameters.get("text", "")) for call in server.calls()][1:]
    assert methods[0][0].lower() == "editmessagetext"
    assert "LATE" in methods[1][1]
    assert "no data" in methods[2][1]


async def test_buttons_of_unknown_signals_and_of_other_versions_are_answered(server, bench):
    keyboard = {
        "inline_keyboard": [
            [{"text": "a", "callback_data": f"chart:{'0' * 16}"}, {"text": "b", "callback_data": "chart_1"}]
        ]
    }
    message = await bench.bot.send_message(CHAT, "old", api_kwargs={"reply_markup": keyboard})
    async with bench.running(buttons=True):
        unknown = server.press(CHAT, message.message_id, f"chart:{'0' * 16}", user_id=5)
        strange = server.press(CHAT, message.message_id, "chart_1", user_id=5)
        view = await server.wait_until_async(lambda state: {unknown, strange} <= set(state.callback_answers))

    assert "not known" in view.callback_answers[unknown]["text"]
    assert "another version" in view.callback_answers[strange]["text"]


async def test_under_random_faults_every_signal_ends_as_told_and_every_second_copy_is_marked(tmp_path):
    with TelegramServer(chats=(CHAT,), seed=7) as server:
        for kind in ("error_before", "error_after", "reset_before", "reset_after", "too_many_requests"):
            server.add_fault(FaultRule(kind=kind, count=None, probability=0.12))
        signals = [a_signal(f"S{number}USDT") for number in range(12)]
        async with notifier_bench(server, tmp_path / "t.db") as bench, bench.running() as notifier:
            for signal in signals:
                await notifier.handle([SignalOpened(signal=signal)])
            await asyncio.sleep(0.3)
            ends = [SignalClosed(signal=closed(signal)) for signal in signals]
            await notifier.handle(ends)
            for event in ends:
                await until_row(bench, event, OutboxState.SENT, timeout_s=60)
        shown = server.messages(CHAT)
    assert len(shown) > len(signals), "the faults produced no repeat"
    for signal in signals:
        copies = [message for message in shown if signal.signal_id in message.history[0].text]
        assert copies[-1].text.startswith("✅ EXIT LONG")
        assert [("repeat" in message.history[0].text) for message in copies[1:]] == [True] * (len(copies) - 1)
