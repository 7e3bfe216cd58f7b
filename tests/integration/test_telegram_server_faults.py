"""The Telegram server for tests, driven by the real client only: faults, limits, and the server as a process."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, NetworkError, RetryAfter, TimedOut

from tests.support.telegram.samples import a_bot, a_png
from tests.support.telegram_server import TOKEN, FaultKind, FaultRule, RateLimits, TelegramServer, TelegramServerProcess

USER, GROUP = 1001, -1001234567890
CHART = InlineKeyboardMarkup([[InlineKeyboardButton("📊 Chart", callback_data="chart:0f3a9c")]])


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer(chats=(USER, GROUP)) as running:
        yield running


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    async with a_bot(server) as connected:
        yield connected


async def test_429_reaches_the_client_as_retry_after_for_the_next_n_calls(server: TelegramServer, bot: Bot) -> None:
    server.add_fault(FaultRule(kind="too_many_requests", method="sendMessage", retry_after_s=7, count=2, chat_id=USER))

    for _ in range(2):
        with pytest.raises(RetryAfter) as refusal:
            await bot.send_message(USER, "x")
        assert int(refusal.value._retry_after.total_seconds()) == 7
    await bot.send_message(GROUP, "another chat")
    await bot.send_message(USER, "third")

    assert (server.sent_texts(USER), server.sent_texts(GROUP)) == (["third"], ["another chat"])


@pytest.mark.parametrize(
    ("kind", "posted", "answer"),
    [
        ("error_before", [], "502"),
        ("error_after", ["x"], "502"),
        ("reset_before", [], "reset"),
        ("reset_after", ["x"], "reset"),
    ],
)
async def test_a_lost_answer_leaves_the_message_and_a_lost_call_does_not(
    server: TelegramServer, bot: Bot, kind: FaultKind, posted: list[str], answer: str
) -> None:
    server.add_fault(FaultRule(kind=kind, method="sendMessage"))

    with pytest.raises(NetworkError) as error:
        await bot.send_message(USER, "x")

    assert type(error.value) is NetworkError
    assert server.sent_texts(USER) == posted
    [call] = server.calls("sendMessage")
    assert (call.answer, call.accepted, call.fault) == (answer, bool(posted), kind)
    await bot.send_message(USER, "next")
    assert server.sent_texts(USER) == [*posted, "next"]


async def test_a_slow_answer_times_the_client_out_with_the_message_posted(server: TelegramServer) -> None:
    server.add_fault(FaultRule(kind="slow", method="sendMessage", delay_s=1.0))
    async with a_bot(server, read_timeout_s=0.2) as hasty:
        with pytest.raises(TimedOut):
            await hasty.send_message(USER, "x")

        assert server.sent_texts(USER) == ["x"]


async def test_refusals_on_demand_and_broken_polls(server: TelegramServer, bot: Bot) -> None:
    server.add_fault(
        FaultRule(kind="refuse", method="sendPhoto", status=400, description="Bad Request: CHAT_RESTRICTED")
    )
    server.add_fault(FaultRule(kind="error_before", method="getUpdates", status=503))

    with pytest.raises(BadRequest, match=r"(?i)chat_restricted"):
        await bot.send_photo(USER, a_png())
    with pytest.raises(NetworkError):
        await bot.get_updates(timeout=5)


async def test_seeded_faults_repeat(server: TelegramServer, bot: Bot) -> None:
    async def run() -> list[bool]:
        server.clear_faults(seed=11)
        server.add_fault(FaultRule(kind="error_before", method="*", count=None, probability=0.5))
        outcomes = []
        for _ in range(12):
            try:
                await bot.send_message(USER, "x")
                outcomes.append(True)
            except NetworkError:
                outcomes.append(False)
        return outcomes

    first = await run()

    assert await run() == first
    assert set(first) == {True, False}


async def test_real_rate_limits_hold_per_chat_and_per_group(server: TelegramServer, bot: Bot) -> None:
    server.set_rate_limits(RateLimits(factor=0.5))  # windows of 2 s and 120 s
    await bot.send_message(USER, "1")
    with pytest.raises(RetryAfter) as refusal:
        await bot.send_message(USER, "2")
    assert 1 <= refusal.value._retry_after.total_seconds() <= 2

    server.set_rate_limits(RateLimits(per_chat_per_second=100))
    for number in range(20):
        await bot.send_message(GROUP, str(number))
    with pytest.raises(RetryAfter) as refusal:
        await bot.send_message(GROUP, "20")

    assert 55 <= refusal.value._retry_after.total_seconds() <= 60


async def test_the_global_limit_holds_across_chats(server: TelegramServer, bot: Bot) -> None:
    others = range(2001, 2032)
    for chat_id in others:
        server.add_chat(chat_id)
    server.set_rate_limits(RateLimits(factor=0.1))  # windows of 10 s, so that a slow machine changes nothing
    for chat_id in others[:30]:
        await bot.send_message(chat_id, "x")

    with pytest.raises(RetryAfter):
        await bot.send_message(others[30], "x")


async def test_presses_need_their_button_and_calls_know_their_first_byte(server: TelegramServer, bot: Bot) -> None:
    before = time.monotonic_ns()
    sent = await bot.send_message(USER, "entry", reply_markup=CHART)
    after = time.monotonic_ns()
    await bot.edit_message_text("exit", USER, sent.message_id)

    with pytest.raises(ValueError, match="no button 'chart:0f3a9c'"):
        server.press(USER, sent.message_id, "chart:0f3a9c", USER)
    server.press(USER, sent.message_id, "chart:0f3a9c", USER, stale=True)

    sending, editing = server.calls("sendMessage")[0], server.calls("editMessageText")[0]
    assert before < sending.first_byte_monotonic_ns < sending.done_monotonic_ns <= after
    assert after < editing.first_byte_monotonic_ns < editing.done_monotonic_ns
    assert abs(sending.first_byte_wall_ns - time.time_ns()) < 10e9


async def test_as_a_process_it_journals_accepted_calls_and_takes_orders(tmp_path: Path) -> None:
    journal = tmp_path / "calls.jsonl"
    with TelegramServerProcess(journal, chats=(USER, GROUP), token=TOKEN) as remote:
        async with a_bot(remote) as bot:
            sent = await bot.send_photo(GROUP, a_png(), caption="entry", reply_markup=CHART)
            remote.add_fault(FaultRule(kind="error_after", method="sendMessage"))
            with pytest.raises(NetworkError):
                await bot.send_message(USER, "lost answer")
            with pytest.raises(BadRequest):
                await bot.send_message(7, "refused")
            remote.press(GROUP, sent.message_id, "chart:0f3a9c", USER)
            remote.send_text(USER, "/status", USER)
            updates = await bot.get_updates()
        with pytest.raises(ValueError, match="no button"):
            remote.press(GROUP, sent.message_id, "other", USER)
        remote.set_rate_limits(RateLimits(factor=2))
        remote.block(USER)
        lines: list[dict[str, Any]] = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
        effects = [line for line in lines if line["method"].startswith("send")]

        assert [(line["method"], line["fault"]) for line in effects] == [
            ("sendPhoto", ""),
            ("sendMessage", "error_after"),
        ]
        assert effects[1]["result"]["text"] == "lost answer"
        assert [u.callback_query is not None for u in updates] == [True, False]
        assert remote.sent_texts(USER) == ["lost answer"]
        [message] = remote.messages(GROUP)
        assert message.photo is not None
        assert remote.photo_bytes(message.photo.sha256) == a_png()
        assert (tmp_path / "calls.jsonl.photos" / f"{message.photo.sha256}.png").read_bytes() == a_png()
    assert remote.process.returncode == 0
