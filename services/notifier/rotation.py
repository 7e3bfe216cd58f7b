"""The bot's token and the webhook's secret, exchanged while the service runs."""

from collections.abc import Awaitable, Callable
from typing import Any

from telegram.error import InvalidToken, TelegramError

from services.notifier.messengers.telegram import RotatingBot
from services.notifier.settings import NotifierSettings
from shared.runtime.secret_watch import watch_secret
from shared.runtime.service import ServiceContext

TOKEN = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the variable's name


async def follow_token(context: ServiceContext[Any], bot: RotatingBot) -> None:
    """Until the service stops: use the token that its file holds now. What could not be sent meanwhile waits in the outbox."""
    settings: NotifierSettings = context.settings
    await watch_secret(
        TOKEN,
        bot.token,
        lambda token: exchange_token(bot, token, context.log),
        stopping=context.stopping,
        every_seconds=settings.secrets_check_seconds,
        log=context.log,
    )


async def exchange_token(bot: RotatingBot, token: str, log: Any) -> None:
    """Use the token from now on, unless Telegram refuses it or it is another bot's: then the former one stays.

    Another bot can neither edit this one's messages nor hear their buttons: that is a new start, not a rotation.
    """
    former = bot.token
    if token.partition(":")[0] != former.partition(":")[0]:
        log.error(
            "token_not_exchanged", setting=TOKEN, reason="it is another bot's: restart the service to change bots"
        )
        return
    bot.use_token(token)
    try:
        await bot.get_me()
    except InvalidToken:
        bot.use_token(former)
        reason = "Telegram refuses it: the former one stays in use"
        log.error("token_not_exchanged", setting=TOKEN, reason=reason)  # noqa: TRY400 - the reason is all there is to it
    except TelegramError as error:
        log.warning("token_exchanged_unchecked", setting=TOKEN, reason=str(error))
    else:
        log.info("token_exchanged", setting=TOKEN)


async def follow_webhook_secret(
    context: ServiceContext[Any], secret: str, use: Callable[[str], Awaitable[None]]
) -> None:
    """Until the service stops: hand over the secret that its file holds now."""
    await watch_secret(
        "WEBHOOK_SECRET",
        secret,
        use,
        stopping=context.stopping,
        every_seconds=context.settings.secrets_check_seconds,
        log=context.log,
    )
