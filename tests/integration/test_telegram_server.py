"""The Telegram server for tests, driven by the real client only: its methods, refusals, updates."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from telegram import (
    Bot,
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyParameters,
    Update,
)
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken
from telegram.ext import ApplicationBuilder, CallbackQueryHandler, CommandHandler, ContextTypes

from tests.support.telegram.samples import a_bot, a_png
from tests.support.telegram_server import TOKEN, TelegramServer

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


async def test_get_me_names_the_bot_of_the_token(bot: Bot) -> None:
    me = await bot.get_me()

    assert (me.id, me.is_bot, me.username) == (1000001, True, "tracker_test_bot")


async def test_a_wrong_token_is_unauthorized(server: TelegramServer) -> None:
    stranger = Bot("1000001:another", base_url=server.base_url)

    with pytest.raises(InvalidToken) as refusal:
        await stranger.initialize()

    assert str(refusal.value.__cause__) == "Unauthorized"


async def test_a_message_in_html_keeps_its_text_its_entities_and_its_button(server: TelegramServer, bot: Bot) -> None:
    text = '🟢 <b>BTC &amp; ETH</b> at <code>60000.1</code>, <a href="https://example.org/">why</a>'

    sent = await bot.send_message(USER, text, parse_mode="HTML", reply_markup=CHART)

    assert sent.text == "🟢 BTC & ETH at 60000.1, why"
    assert sent.parse_entities() == dict(zip(sent.entities, ["BTC & ETH", "60000.1", "why"], strict=True))
    assert sent.reply_markup == CHART
    [stored] = server.messages(USER)
    assert (stored.message_id, stored.current.source) == (sent.message_id, text)
    assert stored.current.buttons() == ["chart:0f3a9c"]


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<b>open", 'Can\'t find end tag corresponding to start tag "b" at byte offset 0'),
        ("é <div>x</div>", 'Unsupported start tag "div" at byte offset 3'),
        ("a < b", "Unclosed start tag at byte offset 2"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("a<br>b", 'Unsupported start tag "br" at byte offset 1'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
async def test_html_telegram_does_not_know_is_refused_with_its_words(
    server: TelegramServer, bot: Bot, html: str, words: str
) -> None:
    with pytest.raises(BadRequest, match=r"(?i)^can't parse entities: "):
        await bot.send_message(USER, html, parse_mode="HTML")

    # the client changes the capitals of a refusal, so the exact words are read from the server
    [call] = server.calls("sendMessage")
    assert (call.accepted, call.description) == (False, f"Bad Request: can't parse entities: {words}")
    assert server.sent_texts(USER) == []


async def test_lengths_count_after_parsing_and_stop_where_telegram_stops(server: TelegramServer, bot: Bot) -> None:
    await bot.send_message(USER, f"<b>{'&amp;' * 4096}</b>", parse_mode="HTML")
    with pytest.raises(BadRequest, match="Message is too long"):
        await bot.send_message(USER, "x" * 4097)
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await bot.send_photo(USER, a_png(), caption="x" * 1025)
    with pytest.raises(BadRequest, match="Message text is empty"):
        await bot.send_message(USER, "  \n")
    long_button = InlineKeyboardMarkup([[InlineKeyboardButton("x", callback_data="é" * 33)]])  # 66 bytes
    with pytest.raises(BadRequest, match=r"(?i)button_data_invalid"):
        await bot.send_message(USER, "x", reply_markup=long_button)

    assert server.sent_texts(USER) == ["&" * 4096]


async def test_an_unknown_chat_a_block_and_a_kick_are_told_apart(server: TelegramServer, bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(7, "x")
    server.block(USER)
    server.block(GROUP)
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(USER, "x")
    with pytest.raises(Forbidden, match="bot was kicked from the supergroup chat"):
        await bot.send_message(GROUP, "x")

    server.block(USER, blocked=False)

    assert (await bot.send_message(USER, "x")).text == "x"


async def test_a_photo_keeps_its_bytes_and_can_be_fetched_and_sent_again(server: TelegramServer, bot: Bot) -> None:
    picture = a_png(120, 80)

    sent = await bot.send_photo(GROUP, picture, caption="<i>chart</i>", parse_mode="HTML", filename="chart.png")
    again = await bot.send_photo(GROUP, sent.photo[-1].file_id)
    fetched = await (await bot.get_file(sent.photo[-1].file_id)).download_as_bytearray()

    assert (sent.caption, sent.photo[-1].width, sent.photo[-1].height) == ("chart", 120, 80)
    assert [m.photo.content for m in server.messages(GROUP) if m.photo] == [picture, picture]
    assert (bytes(fetched), again.message_id) == (picture, 2)


async def test_what_is_no_picture_is_refused(server: TelegramServer, bot: Bot) -> None:
    for content, words in ((b"GIF89a" + b"x" * 40, "(?i)image_process_failed"), (a_png(2100, 100), "(?i)dimensions")):
        with pytest.raises(BadRequest, match=words):
            await bot.send_photo(USER, content)

    assert server.messages(USER) == []


async def test_a_text_becomes_a_chart_and_keeps_its_history(server: TelegramServer, bot: Bot) -> None:
    sent = await bot.send_message(USER, "entry", reply_markup=CHART)

    media = InputMediaPhoto(a_png(), caption="<b>entry</b>", parse_mode="HTML")
    shown = await bot.edit_message_media(media, USER, sent.message_id, reply_markup=CHART)
    await bot.edit_message_caption(USER, sent.message_id, caption="exit +2.0 %", reply_markup=CHART)

    assert isinstance(shown, Message)
    assert shown.edit_date is not None
    [stored] = server.messages(USER)
    assert [v.text for v in stored.history] == ["entry", "entry", "exit +2.0 %"]
    assert [v.method for v in stored.history] == ["sendMessage", "editMessageMedia", "editMessageCaption"]
    assert stored.photo is not None
    assert stored.photo.content == a_png()
    assert stored.current.buttons() == ["chart:0f3a9c"]
    assert server.sent_texts(USER) == ["entry"]
    assert server.shown_texts(USER) == ["exit +2.0 %"]
    with pytest.raises(BadRequest, match="There is no text in the message to edit"):
        await bot.edit_message_text("back", USER, sent.message_id)


async def test_edits_are_refused_as_telegram_refuses_them(server: TelegramServer, bot: Bot) -> None:
    sent = await bot.send_message(USER, "<b>entry</b>", parse_mode="HTML", reply_markup=CHART)
    theirs = server.send_text(USER, "hello", USER)

    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_text(
            "<strong>entry</strong>", USER, sent.message_id, parse_mode="HTML", reply_markup=CHART
        )
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("exit", USER, 99)
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("exit", USER, theirs)
    with pytest.raises(BadRequest, match="There is no caption in the message to edit"):
        await bot.edit_message_caption(USER, sent.message_id, caption="exit")

    assert server.messages(USER)[0].edit_count == 0


async def test_an_edit_without_a_keyboard_takes_the_keyboard_away(server: TelegramServer, bot: Bot) -> None:
    sent = await bot.send_message(USER, "entry", reply_markup=CHART)

    await bot.edit_message_text("exit", USER, sent.message_id)
    assert server.messages(USER)[0].current.reply_markup is None
    await bot.edit_message_reply_markup(USER, sent.message_id, reply_markup=CHART)
    assert server.messages(USER)[0].current.buttons() == ["chart:0f3a9c"]


async def test_replies_deletions_commands_actions_and_chats(server: TelegramServer, bot: Bot) -> None:
    first = await bot.send_message(USER, "entry")
    reply = await bot.send_message(USER, "exit", reply_parameters=ReplyParameters(first.message_id))
    await bot.delete_message(USER, first.message_id)
    await bot.send_chat_action(USER, "upload_photo")
    await bot.set_my_commands([BotCommand("status", "What is open")])

    assert reply.reply_to_message is not None
    assert reply.reply_to_message.text == "entry"
    assert server.sent_texts(USER) == ["exit"]
    assert server.state().chat_actions == [(USER, "upload_photo")]
    assert await bot.get_my_commands() == (BotCommand("status", "What is open"),)
    assert (await bot.get_chat(GROUP)).type == "supergroup"
    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(USER, "x", reply_parameters=ReplyParameters(first.message_id))
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(USER, first.message_id)


async def test_a_button_press_makes_the_round_trip_through_a_polling_application(server: TelegramServer) -> None:
    async def show_chart(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        query = update.callback_query
        assert query is not None
        await query.answer("drawing")
        await query.edit_message_media(InputMediaPhoto(a_png(), caption="entry"), reply_markup=CHART)

    async def status(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await update.message.reply_text("nothing open")

    application = (
        ApplicationBuilder().token(TOKEN).base_url(server.base_url).base_file_url(server.base_file_url).build()
    )
    application.add_handler(CallbackQueryHandler(show_chart, pattern="^chart:"))
    application.add_handler(CommandHandler("status", status))
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(allowed_updates=["message", "callback_query"], timeout=10)
        sent = await application.bot.send_message(USER, "entry", reply_markup=CHART)

        query_id = server.press(USER, sent.message_id, "chart:0f3a9c", user_id=USER)
        server.send_text(USER, "/status", USER)
        await server.wait_until_async(lambda view: len(view.messages_of(USER)) == 2 and view.messages[0].photo)

        await application.updater.stop()
        await application.stop()
    assert server.state().callback_answers[query_id] == {"text": "drawing", "show_alert": False}
    assert server.shown_texts(USER) == ["entry", "nothing open"]


async def test_updates_stay_until_they_are_confirmed_and_polls_wait(server: TelegramServer, bot: Bot) -> None:
    server.send_text(USER, "one", USER)
    server.send_text(USER, "two", USER)

    first = await bot.get_updates(limit=1)
    repeated = await bot.get_updates()
    assert [u.message.text for u in repeated if u.message] == ["one", "two"]
    assert first[0].update_id == repeated[0].update_id
    started = time.monotonic()
    waiting = asyncio.create_task(bot.get_updates(offset=repeated[1].update_id + 1, timeout=5))
    await asyncio.sleep(0.2)
    server.send_text(USER, "three", USER)

    assert [u.message.text for u in await waiting if u.message] == ["three"]
    assert 0.2 <= time.monotonic() - started < 2


async def test_a_second_poll_ends_the_first_and_allowed_updates_filter(server: TelegramServer, bot: Bot) -> None:
    sent = await bot.send_message(USER, "entry", reply_markup=CHART)
    async with a_bot(server) as other:
        waiting = asyncio.create_task(bot.get_updates(timeout=5))
        await asyncio.sleep(0.1)
        await other.get_updates(allowed_updates=["callback_query"])
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await waiting

    server.send_text(USER, "left out", USER)
    server.press(USER, sent.message_id, "chart:0f3a9c", USER)

    assert [u.callback_query is not None for u in await bot.get_updates()] == [True]
    with pytest.raises(BadRequest, match="Query is too old"):
        await bot.answer_callback_query("1")


async def test_a_webhook_gets_the_updates_with_its_secret(server: TelegramServer, bot: Bot) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n") + await reader.read(65536))
        status = b"500 Internal Server Error" if len(received) == 1 else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        await bot.set_webhook(f"http://127.0.0.1:{port}/hook", secret_token="s3cret")
        server.send_text(USER, "/status", USER)
        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates()
        await server.wait_until_async(lambda view: view.pending_update_count == 0)
        await bot.delete_webhook()

    assert len(received) == 2
    assert all(b"x-telegram-bot-api-secret-token: s3cret" in r.lower() and b"/status" in r for r in received)
    assert (await bot.get_webhook_info()).url == ""
