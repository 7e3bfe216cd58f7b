"""The webhook: the notifier's image with another entry point. Telegram posts updates, this answers them.

It queues and sends nothing of its own: the sender runs elsewhere and shares store and cache with it.
"""

import asyncio
import hmac
from typing import Any, Final

import h11
import msgspec
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from telegram import Bot, Update
from telegram.error import TelegramError

from services.notifier.connecting import configured_chats, offer_commands, open_bot, telegram_messenger
from services.notifier.core.chats import ChatProfile
from services.notifier.main import build_charts, chart_pool, updates_of
from services.notifier.messengers.telegram import close_bot
from services.notifier.notifier import Notifier
from services.notifier.rotation import follow_token, follow_webhook_secret
from services.notifier.settings import NotifierSettings
from services.notifier.state import NotifierState
from services.notifier.updates import ALLOWED_UPDATES, Updates
from shared.domain.errors import TransientError
from shared.runtime.consumer import wait_or_stop
from shared.runtime.leadership import process_owner
from shared.runtime.service import ServiceContext, run_service
from shared.runtime.settings import SettingsError

_SECRET_HEADER: Final = b"x-telegram-bot-api-secret-token"
_BODY_BYTES_MAX: Final = 1_000_000  # an update is a few kilobytes
_READ_SECONDS_MAX: Final = 10.0
_CHUNK_BYTES: Final = 65_536
_SAID_EVERY_SECONDS: Final = 60.0


class WebhookSettings(NotifierSettings):
    """The notifier's settings, and where Telegram posts to."""

    webhook_secret: SecretStr | None = Field(
        None, validation_alias="WEBHOOK_SECRET", description="1-256 of A-Z a-z 0-9 _ -; Telegram repeats it."
    )
    webhook_url: str = Field(
        "", validation_alias="WEBHOOK_URL", description="Public https address; set with Telegram at the start."
    )
    webhook_host: str = Field("0.0.0.0", validation_alias="WEBHOOK_HOST")  # noqa: S104 - a container's port is its door
    port: PositiveInt = Field(8080, validation_alias="PORT", description="As Cloud Run names it.")
    webhook_answer_seconds: PositiveFloat = Field(
        25.0, validation_alias="WEBHOOK_ANSWER_SECONDS", description="An update still in hand is answered 200 by then."
    )


class WebhookServer:
    """HTTP/1.1 on one port: POST takes an update, GET says that it lives. Without the secret nothing is read."""

    def __init__(self, *, updates: Updates, bot: Bot, secret: str, answer_seconds: float, log: Any) -> None:
        self._updates = updates
        self._bot = bot
        self._secrets: tuple[bytes, ...] = (secret.encode(),)
        self._answer_seconds = answer_seconds
        self._log = log
        self._said_at = float("-inf")
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after another."""
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                request, body = await asyncio.wait_for(_read(connection, reader), _READ_SECONDS_MAX)
                if request is None:
                    return
                status, text = await self._answer(request, body)
                writer.write(_response(connection, status, text))
                await writer.drain()
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return
                connection.start_next_cycle()
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError) as error:
            self._log.debug("connection_ended", reason=str(error))
        finally:
            writer.close()

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[int, str]:
        if request.method == b"GET":
            return 200, "ok"
        given = next((value for name, value in request.headers if name == _SECRET_HEADER), b"")
        if not any(hmac.compare_digest(bytes(given), secret) for secret in self._secrets):
            self._say_refused()
            return 401, "the secret token is missing or wrong"
        if len(body) > _BODY_BYTES_MAX:
            return 413, "too large for an update"
        try:
            update = Update.de_json(msgspec.json.decode(body, type=dict[str, Any]), self._bot)
        except (msgspec.MsgspecError, TypeError, KeyError, ValueError) as error:
            self._log.warning("update_not_readable", reason=str(error))
            return 200, "not an update"  # anything else would bring it again for ever
        try:
            task = await self._updates.receive(update)
        except TransientError as error:
            self._log.warning("update_not_kept", reason=str(error))
            return 503, "try again"
        if task is not None:
            # The instance may be frozen once it has answered, so it answers when it is done.
            await asyncio.wait({task}, timeout=self._answer_seconds)
        return 200, "ok"

    def use_secret(self, secret: str) -> None:
        """Take this one from now on, and the last one still: Telegram repeats updates that carry it."""
        self._secrets = (secret.encode(), self._secrets[0])

    def _say_refused(self) -> None:
        """Once a minute: whoever knocks without the secret must not fill the log."""
        self.refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= _SAID_EVERY_SECONDS:
            self._said_at = now
            self._log.warning("webhook_without_secret", refused=self.refused)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    """The next request with its body; None where the peer has gone. Reads no more than a body may be long."""
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _BODY_BYTES_MAX:
                return request, body
        elif isinstance(event, h11.EndOfMessage):
            return request, body
        else:
            return None, b""


def _response(connection: h11.Connection, status: int, text: str) -> bytes:
    content = text.encode()
    headers = [("content-type", "text/plain"), ("content-length", str(len(content)))]
    parts = [
        connection.send(h11.Response(status_code=status, headers=headers)),
        connection.send(h11.Data(data=content)),
        connection.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)


async def start(context: ServiceContext[WebhookSettings]) -> None:
    """Listen until the service stops. Raises SettingsError without a token, a chat or a secret."""
    settings = context.settings
    secret = settings.webhook_secret.get_secret_value().strip() if settings.webhook_secret else ""
    if not secret:
        raise SettingsError("WEBHOOK_SECRET must be set: without it anybody could press buttons here")
    opened = await open_bot(settings, context.log)
    if opened is None:
        raise SettingsError("TELEGRAM_BOT_TOKEN must be set for the webhook")
    bot = opened[0]
    messenger = await telegram_messenger(bot, NotifierState(context.store), context.log)
    pool = chart_pool(settings)
    charts = build_charts(context, pool)
    notifier = _state_only(context, messenger)
    await notifier.chats.refresh(context.clock.wall_ms())
    updates = updates_of(context, opened, messenger, notifier, charts)
    door = WebhookServer(
        updates=updates, bot=bot, secret=secret, answer_seconds=settings.webhook_answer_seconds, log=context.log
    )
    try:
        server = await asyncio.start_server(door.serve, settings.webhook_host, settings.port)
    except OSError as error:
        place = f"port {settings.port} on {settings.webhook_host}"
        raise SettingsError(
            f"PORT: {place} cannot be opened ({error.strerror}); end what holds it, or set PORT"
        ) from error
    try:
        await updates.resume()
        if settings.webhook_url:
            await _register(bot, settings.webhook_url, secret)
            await offer_commands(bot, context.log)
        context.log.info("webhook_listens", port=server.sockets[0].getsockname()[1])

        async def exchange_secret(new: str) -> None:
            door.use_secret(new)
            try:
                if settings.webhook_url:
                    await _register(bot, settings.webhook_url, new)
            except SettingsError as error:
                context.log.warning("webhook_secret_not_registered", error=str(error))
            else:
                context.log.info("webhook_secret_exchanged", setting="WEBHOOK_SECRET")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_token(context, bot))
            tasks.create_task(follow_webhook_secret(context, secret, exchange_secret))
            tasks.create_task(_report(context, door))
    finally:
        server.close()
        await updates.settle(settings.webhook_answer_seconds)
        await pool.close()
        await close_bot(bot)


def _state_only(context: ServiceContext[WebhookSettings], messenger: Any) -> Notifier:
    """Chats, state and budget; its sender is never run."""
    settings = context.settings
    chats: tuple[ChatProfile, ...] = configured_chats(settings)
    return Notifier(
        store=context.store,
        messenger=messenger,
        clock=context.clock,
        chats=chats,
        log=context.log,
        owner=process_owner(settings.instance_id),
        limits=settings.sender_limits(),
    )


async def _report(context: ServiceContext[WebhookSettings], door: WebhookServer) -> None:
    """Ready from the moment it listens."""
    while True:
        await context.report_status({"mode": "webhook", "refused": door.refused})
        if await wait_or_stop(context.stopping, context.settings.status_seconds):
            return


async def _register(bot: Bot, url: str, secret: str) -> None:
    try:
        await bot.set_webhook(url, secret_token=secret, allowed_updates=list(ALLOWED_UPDATES))
    except TelegramError as error:
        raise SettingsError(f"Telegram refuses the webhook {url}: {error} (WEBHOOK_URL)") from error


def main() -> None:
    """The process's entry point."""
    run_service("notifier-webhook", WebhookSettings, start)


if __name__ == "__main__":
    main()
