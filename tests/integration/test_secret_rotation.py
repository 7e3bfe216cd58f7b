"""Secrets are exchanged while the service runs: the bot's token and the webhook's secret, from the files that hold them."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from shared.domain.events import SignalOpened
from tests.integration.test_notifier_process import Platform, ended
from tests.integration.test_notifier_webhook import HEADER, SECRET, a_message, start_webhook, until_up
from tests.support.notifier import CHAT
from tests.support.signals import a_signal
from tests.support.telegram_server import TelegramServer

FIRST = "1000001:the-first-token-of-the-bot"
SECOND = "1000001:the-second-token-of-the-bot"
WRONG = "1000001:a-token-nobody-gave-us"
OF_ANOTHER_BOT = "2000002:the-token-of-another-bot"


@pytest.fixture
async def platform(tmp_path: Path):
    made = Platform(tmp_path)
    yield made
    await made.database.close()


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT,), token=FIRST) as running:
        yield running


def logged(platform: Platform, event: str) -> list[dict[str, str]]:
    file = platform.folder / "notifier.log"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line["message"] == event]


async def until_logged(platform: Platform, event: str, count: int = 1) -> dict[str, str]:
    async with asyncio.timeout(30):
        while len(found := logged(platform, event)) < count:
            await asyncio.sleep(0.05)
    return found[-1]


async def arrived(server: TelegramServer, count: int) -> None:
    view = await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) >= count, timeout_s=40)
    assert len(view.messages_of(CHAT)) == count


async def test_a_revoked_token_is_replaced_without_a_restart_and_nothing_is_lost(platform, server):
    file = platform.folder / "token"
    file.write_text(f"{FIRST}\n")
    variables = {
        "TELEGRAM_BOT_TOKEN": "",
        "TELEGRAM_BOT_TOKEN_FILE": str(file),
        "SECRETS_CHECK_SECONDS": "0.1",
        "OUTBOX_BACKOFF_MAX_MS": "500",
        "LOG_FILE": str(platform.folder / "notifier.log"),
        "LOG_LEVEL": "DEBUG",
    }
    with ended(platform.start(server, **variables)):
        await platform.publish(SignalOpened(signal=a_signal("BTCUSDT")))
        await arrived(server, 1)

        server.revoke_token(SECOND)
        await platform.publish(SignalOpened(signal=a_signal("ETHUSDT")))
        await until_logged(platform, "message_put_back")
        await arrived(server, 1)
        file.write_text(SECOND)
        await arrived(server, 2)
        await until_logged(platform, "token_exchanged")

        for refused, reason in ((WRONG, "Telegram refuses it"), (OF_ANOTHER_BOT, "it is another bot's")):
            before = len(logged(platform, "token_not_exchanged"))
            file.write_text(refused)
            told = await until_logged(platform, "token_not_exchanged", before + 1)
            assert reason in told["reason"]
        file.unlink()
        await until_logged(platform, "secret_not_readable")
        await platform.publish(SignalOpened(signal=a_signal("SOLUSDT")))
        await arrived(server, 3)

    log = (platform.folder / "notifier.log").read_text()
    assert not [secret for secret in (FIRST, SECOND, WRONG, OF_ANOTHER_BOT) if secret.partition(":")[2] in log]


async def test_the_webhook_takes_a_new_secret_beside_the_last_one(platform, server):
    file, new = platform.folder / "secret", "another-secret-of-the-webhook"
    file.write_text(SECRET)
    variables = {"WEBHOOK_SECRET": "", "WEBHOOK_SECRET_FILE": str(file), "SECRETS_CHECK_SECONDS": "0.1"}
    process, url = start_webhook(platform, server, **variables)

    async def status_with(secret: str, update: int) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {HEADER: secret}
            answer = await client.post(url, json=a_message(update, "/ping"), headers=headers)
            return answer.status_code

    with ended(process):
        await until_up(server, url)
        assert (await status_with(SECRET, 1), await status_with(new, 2)) == (200, 401)
        file.write_text(new)
        async with asyncio.timeout(30):
            while await status_with(new, 3) != 200:
                await asyncio.sleep(0.1)
        assert await status_with(SECRET, 4) == 200
        assert await status_with("neither", 5) == 401
