"""What a pressed button does: acknowledged first, within a second, then done. Nothing is remembered but what it changes."""

import asyncio
import html
from typing import Any

from telegram import Bot
from telegram.error import TelegramError

from services.notifier.answers import Answers
from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.commands import Commands
from services.notifier.core.callbacks import Press, chart_keyboard, market_keyboard, press_of, signal_keyboard
from services.notifier.core.commands import MUTE_HOURS
from services.notifier.core.roles import Role
from services.notifier.core.texts import chart_caption
from services.notifier.core.why_texts import why_text
from services.notifier.looking import Looking
from services.notifier.messengers.port import Post
from services.notifier.people import Asked, People
from services.notifier.why import Why
from shared.domain.signals import Signal
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import Clock
from shared.store.messages import MessageStore
from shared.store.port import Store
from shared.store.signals import SignalStore

_FREE = frozenset({"chart", "why", "tf", "market"})


class Presses:
    """Buttons under signals and charts. Chart and Why: anyone in a configured chat; the rest needs the role trader."""

    def __init__(
        self,
        *,
        bot: Bot,
        store: Store,
        people: People,
        looking: Looking,
        commands: Commands,
        why: Why,
        charts: ChartService | None,
        answers: Answers,
        clock: Clock,
        log: Any,
    ) -> None:
        self._bot = bot
        self._messages = MessageStore(store)
        self._signals = SignalStore(store)
        self._people = people
        self._looking = looking
        self._commands = commands
        self._why = why
        self._charts = charts
        self._answers = answers
        self._clock = clock
        self._log = log
        self._in_hand: set[tuple[str, str]] = set()

    async def press(self, asked: Asked, query_id: str, data: str | None) -> None:
        """Do what the button asks for. A button of another version, of another chat, or of a forgotten signal is answered."""
        words = self._people.voice(asked).words
        press = press_of(data)
        if not asked.is_configured:
            await self._acknowledge(query_id, words.foreign_chat, alert=True)
        elif press is None:
            await self._acknowledge(query_id, words.unknown_button, alert=True)
        elif (refusal := await self._refusal(asked, press)) != "":
            await self._acknowledge(query_id, refusal, alert=True)
        elif press.action == "market" and press.timeframe is not None:
            await self._acknowledge(query_id, words.chart_coming)
            await self._market_picture(asked, press, press.timeframe)
        else:
            await self._about_signal(asked, query_id, press)
        self._log.info("press_answered", action=press.action if press else "?", chat=asked.chat, user=asked.user_id)

    async def _refusal(self, asked: Asked, press: Press) -> str:
        words = self._people.voice(asked).words
        if press.action in _FREE:
            wait_ms = self._people.pace.wait_ms(asked.user_id, self._clock.wall_ms())
            return words.too_fast.format(seconds=-(-wait_ms // 1000)) if wait_ms else ""
        if self._people.role(asked) >= Role.TRADER:
            return ""
        await self._people.note(asked, f"{press.action} {press.signal_id}", f"refused: needs {Role.TRADER.key}")
        return words.no_role.format(role=words.role[Role.TRADER.key], user_id=asked.user_id)

    async def _about_signal(self, asked: Asked, query_id: str, press: Press) -> None:
        words = self._people.voice(asked).words
        signal = await self._signal(asked.chat, press.signal_id)
        if signal is None:
            await self._acknowledge(query_id, words.chart_unknown, alert=True)
        elif press.action in {"chart", "tf"}:
            await self._chart(asked, query_id, signal, press)
        elif press.action == "why":
            await self._acknowledge(query_id, "")
            await self._explain(asked, signal)
        elif press.action == "mute":
            text = await self._commands.mute(asked, signal.symbol, MUTE_HOURS)
            await self._acknowledge(query_id, text, alert=True)
        else:
            before = await self._people.state.choose(signal.signal_id, asked.user_id, press.action)
            await self._people.note(
                asked, f"{press.action} {signal.signal_id}", "done", before=before, after=press.action
            )
            await self._acknowledge(query_id, words.choice[press.action])
            await self._show_choices(asked, signal)

    async def _show_choices(self, asked: Asked, signal: Signal) -> None:
        """In the buttons; later edits of the message read what was chosen from the store."""
        if asked.message_id is None:
            return
        choices = await self._people.state.choices(signal.signal_id)
        keyboard = signal_keyboard(self._people.voice(asked).words, signal, choices)
        post = Post(chat=asked.chat, text="", signal=signal, keyboard=keyboard)
        await self._answers.set_keyboard(post, asked.message_id)

    async def _signal(self, chat: str, signal_id: str) -> Signal | None:
        """As the chat was told it; a signal that was only a line of a digest, as it is stored."""
        record = (await self._messages.get(chat, signal_id)).record
        if record is not None:
            return record.signal
        stored = await self._signals.get(signal_id)
        return stored.signal if stored else None

    async def _chart(self, asked: Asked, query_id: str, signal: Signal, press: Press) -> None:
        words = self._people.voice(asked).words
        key = (asked.chat, f"{signal.signal_id} {press.timeframe}")
        if key in self._in_hand:
            await self._acknowledge(query_id, words.chart_busy)
            return
        self._in_hand.add(key)
        try:
            acknowledging = asyncio.create_task(self._acknowledge(query_id, words.chart_coming))
            await self._signal_picture(asked, signal, press)
            await acknowledging
        finally:
            self._in_hand.discard(key)

    async def _signal_picture(self, asked: Asked, signal: Signal, press: Press) -> None:
        """A picture below the signal's message; under the picture, another timeframe takes its place."""
        voice = self._people.voice(asked)
        reason = "charts are not drawn here"
        if self._charts is not None:
            try:
                look = self._looking.look(voice)
                picture = await self._charts.picture(signal, timeframe=press.timeframe, look=look)
            except ChartUnavailableError as error:
                self._log.warning("chart_unavailable", signal_id=signal.signal_id, reason=str(error))
                reason = str(error)
            else:
                caption = chart_caption(voice, signal)
                post = Post(
                    chat=asked.chat, text=caption, caption=caption, signal=signal, keyboard=chart_keyboard(signal)
                )
                await self._show(asked, post, picture, in_place=press.action == "tf")
                return
        text = voice.words.chart_failed.format(signal_id=signal.signal_id, reason=html.escape(reason))
        await self._answers.send(asked.chat, text, reply_to=asked.message_id)

    async def _market_picture(self, asked: Asked, press: Press, timeframe: Timeframe) -> None:
        if self._charts is None:
            return
        voice = self._people.voice(asked)
        try:
            picture = await self._charts.market_picture(
                press.exchange,
                press.symbol,
                timeframe,
                before_ms=self._clock.market_ms(),
                look=self._looking.look(voice),
            )
        except ChartUnavailableError as error:
            symbol, reason = html.escape(press.symbol), html.escape(str(error))
            text = voice.words.chart_failed.format(signal_id=symbol, reason=reason)
            await self._answers.send(asked.chat, text, reply_to=asked.message_id)
            return
        caption = f"<code>{html.escape(press.symbol)}</code> {timeframe.value} · {html.escape(press.exchange)}"
        keyboard = market_keyboard(press.exchange, press.symbol)
        post = Post(chat=asked.chat, text=caption, caption=caption, signal=None, keyboard=keyboard)
        await self._show(asked, post, picture, in_place=True)

    async def _show(self, asked: Asked, post: Post, picture: bytes, *, in_place: bool) -> None:
        if in_place and asked.message_id is not None:
            await self._answers.replace_picture(post, picture, asked.message_id)
        else:
            await self._answers.show(post, picture, reply_to=asked.message_id)

    async def _explain(self, asked: Asked, signal: Signal) -> None:
        found = await self._why.explain(
            signal.exchange,
            signal.symbol,
            signal.timeframe,
            at_ms=signal.candle_open_time_ms,
            now_ms=self._clock.market_ms(),
        )
        of_signal = [decision for decision in found.decisions if decision.strategy == signal.strategy]
        text = why_text(self._people.voice(asked), of_signal or found.decisions, () if of_signal else found.missing)
        await self._answers.send(asked.chat, text, reply_to=asked.message_id)

    async def _acknowledge(self, query_id: str, text: str, *, alert: bool = False) -> None:
        try:
            await self._bot.answer_callback_query(query_id, text=text[:200] or None, show_alert=alert)
        except TelegramError as error:  # too old after a restart, say: what was asked for comes all the same
            self._log.warning("press_not_answered", reason=str(error))
