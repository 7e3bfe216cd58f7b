"""Starts and stops told in the chats, and which chats hear an exit ring: the whole process in front of the Bot API server."""

import asyncio
import time

import msgspec
import pytest

from services.notifier.connecting import settle_exit_replies
from services.notifier.core.chats import KINDS
from shared.domain.events import SignalClosed, SignalOpened
from shared.domain.outbox import OutboxState
from shared.store.outbox import OutboxStore
from tests.integration.test_notifier_process import Platform, ended
from tests.support.notifier import CHAT, LIMITS, a_profile, notifier_bench
from tests.support.signals import a_signal, closed
from tests.support.telegram_server import FaultRule, TelegramServer

OTHER = 1002
GROUP, SUPERGROUP, CHANNEL, NAMED_GROUP = -55, -1002000001, -1002000002, -1002000003
NO_PAUSE = msgspec.structs.replace(LIMITS, system_pause_ms=0)


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER, GROUP, SUPERGROUP)) as running:
        running.add_chat(CHANNEL, channel=True)
        running.add_chat(NAMED_GROUP, username="people")
        yield running


@pytest.fixture
async def platform(tmp_path):
    made = Platform(tmp_path)
    yield made
    await made.database.close()


def announcing(server, tmp_path, *, limits=NO_PAUSE):
    silent = a_profile(OTHER, kinds=frozenset(KINDS) - {"platform"})
    return notifier_bench(
        server, tmp_path / "t.db", chats=(a_profile(), silent), limits=limits, announce="bybit-linear: BTCUSDT"
    )


async def lived(bench, server, count, *, restart=True):
    """One life of the notifier, until so many messages are in the chat; what the chat shows."""
    if restart:
        bench.restart()
    async with bench.running():
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) >= count)
    return [text.partition(":")[0].partition(" in order")[0] for text in server.shown_texts(CHAT)]


async def starts_and_is_killed(bench):
    """Another life, which says nothing at its end. The lease of one that was killed has to run out first."""
    bench.restart()
    while not bench.notifier.status()["sending"]:
        await bench.notifier.drain()
        await asyncio.sleep(0.02)


async def test_a_start_and_a_stop_are_told_where_they_are_wanted_and_a_kill_by_the_next_start(server, tmp_path):
    async with announcing(server, tmp_path) as bench:
        assert await lived(bench, server, 1) == ["🟢 UP", "⚪ STOPPED"]
        assert "bybit-linear: BTCUSDT" in server.shown_texts(CHAT)[0]
        await starts_and_is_killed(bench)
        assert (await lived(bench, server, 4))[2:] == ["🟢 UP", "🟢 UP AGAIN", "⚪ STOPPED"]

    assert server.messages(OTHER) == []


async def test_crashes_and_roll_outs_one_after_another_are_told_once(server, tmp_path):
    async with announcing(server, tmp_path, limits=LIMITS) as bench:
        await lived(bench, server, 1)
        for _ in range(3):
            await starts_and_is_killed(bench)
        assert await lived(bench, server, 1) == ["🟢 UP"]


async def test_a_kill_before_the_start_was_noted_does_not_tell_it_twice(server, tmp_path, monkeypatch):
    def killed(_):
        raise RuntimeError("killed")

    async with announcing(server, tmp_path) as bench:
        with monkeypatch.context() as killing:
            killing.setattr("services.notifier.platform_notices.crash_point", killed)
            with pytest.raises(RuntimeError, match="killed"):
                await bench.notifier.drain()
        await starts_and_is_killed(bench)
        assert len(server.messages(CHAT)) == 1


async def test_a_stop_that_telegram_did_not_hear_of_is_told_with_the_next_start(server, tmp_path):
    async with announcing(server, tmp_path, limits=msgspec.structs.replace(NO_PAUSE, farewell_ms=300)) as bench:
        async with bench.running():
            await server.wait_until_async(lambda state: state.messages_of(CHAT))
            server.add_fault(FaultRule(kind="too_many_requests", method="sendMessage", retry_after_s=2, count=1))
            begun = time.monotonic()
        assert time.monotonic() - begun < 2, "a stop does not wait for Telegram"
        [waiting] = await OutboxStore(bench.store).open_rows()
        assert (waiting.row.state, waiting.row.event.kind) == (OutboxState.QUEUED, "platform_down")
        shown = await lived(bench, server, 2)

    text = server.shown_texts(CHAT)[1]
    assert "INFO 2 reports" in text
    assert text.index("stopped notifier") < text.index("up notifier")
    assert shown[2] == "⚪ STOPPED"


async def test_by_default_an_exit_rings_in_private_chats_and_groups_and_not_in_channels(platform, server):
    chats = {"mine": CHAT, "group": GROUP, "supergroup": SUPERGROUP, "channel": CHANNEL, "named": '"@people"'}
    platform.config.write_text(
        platform.config.read_text().partition("chats:")[0]
        + "chats:\n"
        + "".join(f"  - {{name: {name}, id: {address}, pictures: false}}\n" for name, address in chats.items())
    )
    everywhere = (CHAT, GROUP, SUPERGROUP, CHANNEL, NAMED_GROUP)
    signal = a_signal()
    with ended(platform.start(server, SYSTEM_PAUSE_MS="0", RATE_FACTOR="50")):
        await platform.publish(SignalOpened(signal=signal))
        for chat in everywhere:
            await server.wait_until_async(lambda state, chat=chat: len(state.messages_of(chat)) == 2, timeout_s=20)
        await platform.publish(SignalClosed(signal=closed(signal)))
        for chat in everywhere:
            replies = 0 if chat == CHANNEL else 1
            view = await server.wait_until_async(
                lambda state, chat=chat, replies=replies: (
                    len(state.messages_of(chat)) == 2 + replies and any(m.edit_count for m in state.messages_of(chat))
                ),
                timeout_s=20,
            )
            told = next(m for m in view.messages_of(chat) if m.edit_count)
            answers = [m for m in view.messages_of(chat) if m.reply_to_message_id == told.message_id]
            assert (chat, len(answers), told.text.startswith("✅ EXIT LONG")) == (chat, replies, True)
    for chat in everywhere:
        assert any(text.startswith("🟢 UP") for text in server.shown_texts(chat)), chat
        assert server.shown_texts(chat)[-1].startswith("⚪ STOPPED"), chat
    assert "rsi_divergence 1m" in server.shown_texts(CHAT)[-1]


async def test_a_chat_that_telegram_cannot_be_asked_about_is_asked_again_and_one_it_does_not_know_is_a_group(
    server, tmp_path
):
    addresses = [str(chat) for chat in (CHAT, GROUP, CHANNEL, -1009999999999)]
    profiles = tuple(a_profile(int(address), exit_reply=None) for address in addresses)
    server.add_fault(FaultRule(kind="error_before", method="getChat", chat_id=CHANNEL))
    async with notifier_bench(server, tmp_path / "t.db", chats=profiles) as bench:
        chats = bench.notifier.chats
        waiting = await settle_exit_replies(bench.bot, chats, addresses, bench.log)
        assert (waiting, chats.exit_reply(str(CHANNEL))) == ([str(CHANNEL)], False)
        assert await settle_exit_replies(bench.bot, chats, waiting, bench.log) == []

    assert [chats.exit_reply(address) for address in addresses] == [True, True, False, True]
