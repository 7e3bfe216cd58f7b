"""The webhook as its own process beside the sender; `cst why` on the same store; a new user with only a token and a chat."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from services.notifier.state import NotifierState
from shared.domain.events import SignalOpened
from tests.integration.test_notifier_process import REPOSITORY, Platform, ended
from tests.support.notifier import CHAT
from tests.support.telegram_server import FaultRule, TelegramServer

SECRET = "a-secret-of-the-tests"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
OTHER = 1002


@pytest.fixture
async def platform(tmp_path):
    made = Platform(tmp_path)
    yield made
    await made.database.close()


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER)) as running:
        yield running


def a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_webhook(platform, server, **variables):
    port = a_free_port()
    url = f"http://127.0.0.1:{port}/"
    values = {"PORT": str(port), "WEBHOOK_HOST": "127.0.0.1", "WEBHOOK_SECRET": SECRET, "WEBHOOK_URL": url}
    return platform.start(server, module="services.notifier.webhook", **(values | variables)), url


async def until_up(server, url):
    await server.wait_until_async(lambda state: any(call.method.lower() == "setmycommands" for call in state.calls))
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).text == "ok"


def a_message(update_id, text, chat=CHAT):
    user = {"id": CHAT, "is_bot": False, "first_name": "A"}
    content = {"message_id": 900 + update_id, "date": 1_795_190_400, "chat": {"id": chat, "type": "private"}}
    return {"update_id": update_id, "message": {**content, "from": user, "text": text}}


async def test_commands_and_presses_arrive_by_webhook_once_and_only_with_the_secret(platform, server):
    signal = await platform.a_signal()
    sender = platform.start(server, TELEGRAM_UPDATES="webhook")
    webhook, url = start_webhook(platform, server)
    with ended(sender), ended(webhook):
        await until_up(server, url)
        await platform.publish(SignalOpened(signal=signal))
        view = await server.wait_until_async(lambda state: state.messages_of(CHAT), timeout_s=20)
        [message] = view.messages_of(CHAT)
        query = server.press(CHAT, message.message_id, f"took:{signal.signal_id}", CHAT)
        view = await server.wait_until_async(lambda state: query in state.callback_answers, timeout_s=20)
        assert view.callback_answers[query]["text"] == "Noted: you took it."

        async with httpx.AsyncClient(trust_env=False) as client:
            update, secret = a_message(7, "/pause"), {HEADER: SECRET}
            refused = [
                await client.post(url, json=update),
                await client.post(url, json=update, headers={HEADER: "wrong"}),
            ]
            twice = [await client.post(url, json=update, headers=secret) for _ in range(2)]
            strange = await client.post(url, content=b"{", headers=secret)
            large = await client.post(url, content=b"x" * 1_100_000, headers=secret)
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
        assert [answer.status_code for answer in refused] == [401, 401]
        assert [answer.status_code for answer in (*twice, strange, large)] == [200, 200, 200, 413]

    audit = [entry.command for entry in await NotifierState(platform.store).audit()]
    assert audit == [f"took {signal.signal_id}", "pause"] or sorted(audit) == ["pause", f"took {signal.signal_id}"]
    assert "⏸" in server.shown_texts(CHAT)[1]


def test_a_webhook_without_a_secret_does_not_start(platform, server):
    process, _ = start_webhook(platform, server, WEBHOOK_SECRET="")
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "WEBHOOK_SECRET must be set" in errors


async def test_a_token_revoked_while_running_loses_nothing(platform, server):
    with ended(platform.start(server)):
        await platform.publish(SignalOpened(signal=await platform.a_signal()))
        await server.wait_until_async(lambda state: state.messages_of(CHAT), timeout_s=20)
        for method in ("sendMessage", "getUpdates"):
            server.add_fault(FaultRule(kind="refuse", method=method, status=401, description="Unauthorized", count=2))
        await platform.publish(SignalOpened(signal=await platform.a_signal("ETHUSDT")))
        view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2, timeout_s=30)

    assert "repeat" not in view.messages_of(CHAT)[1].text, "nothing was posted while the token was refused"


async def test_cst_why_explains_from_the_same_store(platform, tmp_path):
    signal = await platform.a_signal()
    time_ms = str(signal.candle_open_time_ms)
    done = subprocess.run(
        [Path(sys.executable).with_name("cst"), "why", "btcusdt", "1m", time_ms],
        cwd=REPOSITORY,
        env=os.environ | {"DATA_DIR": str(tmp_path / "data"), "TRACKER_CONFIG": str(platform.config)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "✓ rsi: 24.1 (threshold 25) · +0.9" in done.stdout


async def test_a_new_user_needs_only_a_token_then_start_tells_the_chat_id(platform, server):
    """As docs/telegram.md says: token first, /start, then the chat id."""
    with ended(platform.start(server, TELEGRAM_CHAT_ID="")):
        await server.wait_until_async(lambda state: any(c.method.lower() == "setmycommands" for c in state.calls))
        server.send_text(OTHER, "/start", OTHER)
        view = await server.wait_until_async(lambda state: state.messages_of(OTHER), timeout_s=20)
        told = view.messages_of(OTHER)[0].text
    assert f"Chat id: {OTHER}" in told
    assert "TELEGRAM_CHAT_ID" in told

    with ended(platform.start(server, TELEGRAM_CHAT_ID=str(OTHER))):
        await platform.publish(SignalOpened(signal=await platform.a_signal()))
        await server.wait_until_async(lambda state: len(state.messages_of(OTHER)) == 2, timeout_s=20)
        server.send_text(OTHER, "/status", OTHER)  # the owner of a private chat is admin
        view = await server.wait_until_async(lambda state: len(state.messages_of(OTHER)) == 3, timeout_s=20)

    assert view.messages_of(OTHER)[2].text.startswith("Status")
    assert {command["command"] for command in view.commands} >= {"start", "why", "chart"}
