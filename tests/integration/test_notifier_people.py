"""What people write and press, through the real client: roles, audit, restarts, bad input."""

import asyncio
import time

import msgspec
import pytest

from shared.domain.bias import Direction, MacroBias
from shared.domain.events import MacroBiasUpdated, SignalClosed, SignalOpened, SignalProgressed
from shared.domain.outbox import OutboxState
from shared.domain.slots import Slot, SlotKey
from shared.runtime.config import TrackerConfig
from shared.store.candles import CandleStore
from shared.store.outbox import OutboxStore
from shared.store.signals import SignalRecord, SignalStore, SlotStore
from tests.support.notifier import ADMIN, CHAT, CONFIG, NOBODY, TRADER, VIEWER, a_profile, notifier_bench
from tests.support.signals import EXCHANGE, FIRST_OPEN_MS, STRATEGY, a_signal, closed, some_candles
from tests.support.telegram_server import TelegramServer

OTHER = 1002
GROUP = -55


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER, GROUP)) as running:
        yield running


@pytest.fixture
async def bench(server, tmp_path):
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(CHAT), a_profile(GROUP))) as made:
        yield made


async def ask(server, text, user=ADMIN, chat=CHAT):
    """The answer to a command."""
    message_id = server.send_text(chat, text, user)
    view = await server.wait_until_async(
        lambda state: [one for one in state.messages_of(chat) if one.reply_to_message_id == message_id], timeout_s=10
    )
    [answer] = [one for one in view.messages_of(chat) if one.reply_to_message_id == message_id]
    return answer.text


async def press(server, message, action, user, chat=CHAT):
    """What the press was answered with."""
    data = next(data for data in message.current.buttons() if data.startswith(action))
    query = server.press(chat, message.message_id, data, user)
    view = await server.wait_until_async(lambda state: query in state.callback_answers, timeout_s=10)
    return view.callback_answers[query]["text"]


async def test_every_command_answers_whoever_may_ask(server, bench):
    await bench.a_stored_signal()
    async with bench.running(buttons=True):
        assert f"Your user id: {VIEWER}" in await ask(server, "/start", VIEWER, GROUP)
        assert "Not financial advice" in await ask(server, "/start", NOBODY, OTHER)
        assert "/quiet 22:00-07:00" in await ask(server, "/help", NOBODY)
        assert "Waiting: 0" in await ask(server, "/status", VIEWER)
        health = await ask(server, "/health", VIEWER)
        assert health.count("no report") == 5
        assert await ask(server, "/signals", VIEWER) == "No signal is open."
        assert "bybit-linear: BTCUSDT, ETHUSDT" in await ask(server, "/symbols", VIEWER)
        assert "No macro bias is known" in await ask(server, "/macro", VIEWER)
        assert "condition" not in await ask(server, "/chart BTCUSDT 1m", NOBODY, GROUP)
        assert "1m" in await ask(server, f"/why BTCUSDT 1m {FIRST_OPEN_MS + 119 * 60_000}", NOBODY, GROUP)
        assert "muted here until" in await ask(server, "/mute BTCUSDT 2", TRADER)
        assert "is heard again" in await ask(server, "/unmute btcusdt", TRADER)
        assert "Quiet from 22:00 to 07:00 (UTC)" in await ask(server, "/quiet 22:00-07:00")
        assert await ask(server, "/quiet off") == "No quiet hours."
        assert await ask(server, "/pause") == "⏸ No new signals until /resume. Exits still come."
        assert await ask(server, "/resume") == "▶️ New signals again."
        assert "tiếng Việt" in await ask(server, "/lang vi")
        assert "Các lệnh" in await ask(server, "/help")

    audited = [(entry.command, entry.outcome) for entry in await bench.notifier.state.audit()]
    assert [command for command, outcome in audited if outcome == "done"] == [
        "mute BTCUSDT 2",
        "unmute BTCUSDT",
        "quiet 22:00-07:00",
        "quiet off",
        "pause",
        "resume",
        "lang vi",
    ]


@pytest.mark.parametrize(
    ("text", "user", "chat", "answer"),
    [
        ("/stats", ADMIN, CHAT, "Did you mean /status?"),
        ("/chart", ADMIN, CHAT, "Like this: /chart BTCUSDT 15m"),
        ("/chart <b>x</b> 1m", ADMIN, CHAT, "<b>x</b> is not followed. Followed are BTCUSDT, ETHUSDT"),
        ("/chart BTCUSDT 7m", ADMIN, CHAT, "7m is no timeframe"),
        ("/why BTCUSDT 1m lately", ADMIN, CHAT, "I could not read lately"),
        ("/mute BTCUSDT -3", TRADER, CHAT, "I could not read -3"),
        ("/quiet sometimes", ADMIN, CHAT, "/quiet 22:00-07:00"),
        ("/lang xx", ADMIN, CHAT, "en (English), vi (Tiếng Việt)"),
        ("hello there", ADMIN, CHAT, "What you can ask"),
        ("/pause", TRADER, CHAT, "needs the role admin"),
        ("/status", NOBODY, CHAT, f"Your user id is {NOBODY}"),
        ("/mute BTCUSDT", VIEWER, GROUP, "needs the role trader"),
        ("/status", ADMIN, OTHER, "configured chats only"),
        ("/chart BTCUSDT 4h", NOBODY, GROUP, "there are no 4h candles of BTCUSDT in the store"),
    ],
)
async def test_what_is_unknown_malformed_or_not_allowed_is_explained(server, bench, text, user, chat, answer):
    async with bench.running(buttons=True):
        assert answer in await ask(server, text, user, chat)
    assert (await bench.notifier.state.chats()) == {}


async def test_a_refused_change_is_in_the_audit_too(server, bench):
    async with bench.running(buttons=True):
        await ask(server, "/pause", VIEWER)
    [entry] = await bench.notifier.state.audit()

    assert (entry.user_id, entry.role, entry.command) == (VIEWER, "viewer", "pause")
    assert entry.outcome == "refused: needs admin"


async def test_groups_talk_among_themselves_and_to_other_bots(server, bench):
    async with bench.running(buttons=True):
        for text in ("good morning", "/start@another_bot", "/"):
            server.send_text(GROUP, text, NOBODY)
        assert "Chat id" in await ask(server, "/start@tracker_test_bot", NOBODY, GROUP)

    assert len(server.messages(GROUP)) == 1


async def test_while_paused_new_signals_are_withheld_and_exits_still_come(server, bench):
    early, late = a_signal("BTCUSDT"), a_signal("ETHUSDT")
    async with bench.running(buttons=True) as notifier:
        await notifier.handle([SignalOpened(signal=early)])
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        await ask(server, "/pause")
        await notifier.handle([SignalOpened(signal=late), SignalClosed(signal=closed(early))])
        await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].edit_count == 1)
        bench.restart()
        assert "⏸" in await ask(server, "/status")
        row = await OutboxStore(bench.store).get(str(CHAT), SignalOpened(signal=late).event_id)

    assert row.state is OutboxState.WITHHELD
    assert all("ETHUSDT" not in text for text in server.sent_texts(CHAT))


async def test_open_signals_what_became_of_the_others_and_the_bias_are_shown(server, bench):
    signal = a_signal()
    model = {"name": "turn", "kind": "reversal", "parameters": {"score_min": 80, "signals_per_day_max": 3}}
    bench.config = TrackerConfig.model_validate({**CONFIG, "strategies": [*CONFIG["strategies"], model]})
    await SignalStore(bench.store).save([SignalRecord(signal=signal)], fence=None)
    await SignalStore(bench.store).save([SignalRecord(signal=closed(a_signal("ETHUSDT")))], fence=None)
    key = SlotKey(strategy=STRATEGY, exchange=EXCHANGE, symbol="BTCUSDT")
    await SlotStore(bench.store).save([(key, Slot(signal_id=signal.signal_id, handled_through_ms=1))], fence=None)
    now_ms = bench.clock.market_ms()
    bias = MacroBias(
        base="BTC",
        quote="USDT",
        version=1,
        direction=Direction.LONG,
        confidence=85.0,
        regime="risk_on",
        components={"rsi": 61.0},
        published_at_ms=now_ms,
        effective_from_ms=now_ms,
        expires_at_ms=now_ms + 14_400_000,
    )
    await bench.notifier.handle([MacroBiasUpdated(bias=bias)])
    async with bench.running(buttons=True):
        assert "LONG BTCUSDT 1m at 60000.00" in await ask(server, "/signals", VIEWER)
        status = await ask(server, "/status", VIEWER)
        shown = await ask(server, "/macro", VIEWER)
        assert "🟢 macro_engine" in await ask(server, "/health", VIEWER), "its bias holds"

    assert "Last 1 closed: 100 % won · PnL +1.50 % in sum" in status
    assert "· rsi_divergence: 100 % of 1 won" in status
    assert "· turn (reversal): score from 80 (+0 by the memory) · today 0/3" in status
    assert "Regime: risk on" in shown
    assert "up 85/100, strong" in shown
    assert "rsi: 61" in shown


async def test_the_buttons_of_a_signal_do_what_they_say_also_after_a_restart_and_twice(server, bench):
    signal = await bench.a_stored_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    bench.restart()
    [message] = server.messages(CHAT)
    async with bench.running(buttons=True):
        for _ in range(2):
            assert await press(server, message, "took", TRADER) == "Noted: you took it."
        assert await press(server, message, "skip", TRADER) == "Noted: you skip it."
        assert "needs the role trader" in await press(server, message, "took", NOBODY)
        assert "BTCUSDT is muted here until" in await press(server, message, "mute", TRADER)
        await press(server, message, "why", NOBODY)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        explained = view.messages_of(CHAT)[1]
        await bench.notifier.handle([SignalOpened(signal=a_signal(trigger="divergence"))])
        await asyncio.sleep(0.3)

    assert explained.reply_to_message_id == message.message_id
    assert "✓ rsi: 24.1 (threshold 25) · +0.9" in explained.text
    assert "✗ divergence" in explained.text
    assert len(server.messages(CHAT)) == 2, "the pair is muted"
    commands = [entry.command for entry in await bench.notifier.state.audit() if entry.outcome == "done"]
    assert commands == [f"took {signal.signal_id}"] * 2 + [f"skip {signal.signal_id}", "mute BTCUSDT 4"]


async def test_the_buttons_show_what_was_chosen_also_after_edits_a_restart_and_the_exit(server, bench):
    signal = a_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    [message] = server.messages(CHAT)
    async with bench.running(buttons=True):
        await press(server, message, "took", TRADER)
        await server.wait_until_async(lambda state: "✅ Took it" in labels(state.messages_of(CHAT)[0]))
        await press(server, message, "took", ADMIN)
        await press(server, message, "took", ADMIN)
        await server.wait_until_async(lambda state: "✅ Took it · 2" in labels(state.messages_of(CHAT)[0]))
        await press(server, message, "skip", TRADER)
        await server.wait_until_async(lambda state: "✅ Skip" in labels(state.messages_of(CHAT)[0]))
    bench.restart()
    later = msgspec.structs.replace(signal, version=2)
    await bench.notifier.handle([SignalProgressed(signal=later, note="a late trade")])
    await bench.notifier.drain()
    assert labels(server.messages(CHAT)[0])[2:4] == ["✅ Took it", "✅ Skip"]
    ended = msgspec.structs.replace(closed(signal), version=3)
    await bench.notifier.handle([SignalClosed(signal=ended)])
    await bench.notifier.drain()

    [message] = server.messages(CHAT)
    assert message.text.startswith("✅ EXIT")
    assert labels(message) == ["📊 Chart", "❓ Why", "✅ Took it", "✅ Skip"]


def labels(message):
    rows = message.current.reply_markup["inline_keyboard"]
    return [button["text"] for row in rows for button in row]


async def store_candles_of_now(bench, symbol):
    """The last of them closed within the last minute."""
    candles = some_candles(symbol)
    shift_ms = (bench.clock.market_ms() - candles[-1].close_time_ms) // 60_000 * 60_000
    moved = [msgspec.structs.replace(candle, open_time_ms=candle.open_time_ms + shift_ms) for candle in candles]
    await CandleStore(bench.store).save(moved, fence=None)


async def test_a_chart_is_followed_through_the_timeframes_in_its_place(server, bench):
    signal = await bench.a_stored_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    async with bench.running(buttons=True):
        await press(server, server.messages(CHAT)[0], "chart", NOBODY)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        chart = view.messages_of(CHAT)[1]
        assert [data.split(":")[1] for data in chart.current.buttons()] == ["1m", "5m", "15m", "1h", "4h"]
        await press(server, chart, "tf:4h", NOBODY)
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 3)
        await store_candles_of_now(bench, "ETHUSDT")
        server.send_text(CHAT, "/chart ETHUSDT 1m", NOBODY)
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 4)
        market = view.messages_of(CHAT)[3]
        assert await press(server, market, "market:1m", NOBODY) == "Drawing the chart …"

    assert "no 4h candles" in server.shown_texts(CHAT)[2], "what cannot be drawn is said"
    assert market.photo is not None


async def test_who_asks_too_fast_waits_and_nobody_else(server, bench):
    bench.questions_max = 2
    async with bench.running(buttons=True):
        answers = [await ask(server, "/why BTCUSDT 1m", NOBODY) for _ in range(3)]
        other = await ask(server, "/why BTCUSDT 1m", VIEWER)

    assert ["Too fast" in answer for answer in answers] == [False, False, True]
    assert "Too fast" not in other


async def test_a_press_is_answered_while_a_picture_is_drawn(server, bench):
    signal = await bench.a_stored_signal()
    await bench.notifier.handle([SignalOpened(signal=signal)])
    await bench.notifier.drain()
    [message] = server.messages(CHAT)
    async with bench.running(buttons=True):
        server.press(CHAT, message.message_id, f"chart:{signal.signal_id}", NOBODY)  # draws in a cold process
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await press(server, message, "took", TRADER)
        waited = time.monotonic() - started
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)

    assert waited < 1.0


async def test_an_update_interrupted_by_a_kill_is_answered_by_the_next_start_and_only_once(server, bench):
    server.send_text(CHAT, "/quiet 22:00-07:00", ADMIN)
    [update] = await bench.bot.get_updates(allowed_updates=["message"])
    interrupted = bench.updates()
    interrupted._handle = lambda _: asyncio.sleep(0)  # the process dies before it answers
    await (await interrupted.receive(update))

    async with bench.running(buttons=True):  # Telegram brings it again, too: it was never confirmed
        await server.wait_until_async(lambda state: state.messages_of(CHAT))
        await asyncio.sleep(0.3)

    [answer] = server.messages(CHAT)
    assert answer.text.startswith("🌙 Quiet from 22:00")
    assert len(await bench.notifier.state.audit()) == 1


async def test_a_forum_topic_is_asked_answered_and_muted_by_itself(server, tmp_path):
    topic = msgspec.structs.replace(a_profile(GROUP), chat=f"{GROUP}/7")
    async with notifier_bench(server, tmp_path / "forum.db", chats=(a_profile(GROUP), topic)) as bench:
        async with bench.running(buttons=True):
            server.send_text(GROUP, "/mute BTCUSDT", TRADER, thread_id=7)
            view = await server.wait_until_async(lambda state: state.messages_of(GROUP))
            await bench.notifier.handle([SignalOpened(signal=a_signal())])
            view = await server.wait_until_async(lambda state: len(state.messages_of(GROUP)) == 2)
        states = await bench.notifier.state.chats()

    answer, told = view.messages_of(GROUP)
    assert (answer.thread_id, told.thread_id) == (7, None), "the group itself still hears of the pair"
    assert list(states) == [f"{GROUP}/7"]


async def test_a_pause_from_another_process_holds_for_the_next_signal(server, bench):
    await bench.notifier.handle([SignalOpened(signal=a_signal("ETHUSDT"))])
    await bench.notifier.state.change_chat("*", lambda state: msgspec.structs.replace(state, paused=True))
    bench.restart()  # a new process has read nothing yet
    event = SignalOpened(signal=a_signal("BTCUSDT"))
    await bench.notifier.handle([event])
    row = await OutboxStore(bench.store).get(str(CHAT), event.event_id)

    assert row.state is OutboxState.WITHHELD
