"""What each command answers. Asking is free of effects; what changes state goes through the audit."""

import html
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from services.notifier.answers import Answers
from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.core import commands as rules
from services.notifier.core.callbacks import market_keyboard
from services.notifier.core.chats import EVERYWHERE, ChatState
from services.notifier.core.commands import Command, MalformedError, UnknownSymbolError, UnknownTimeframeError
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.roles import Role
from services.notifier.core.why_texts import why_text
from services.notifier.looking import Looking
from services.notifier.messengers.port import Post
from services.notifier.people import Asked, People
from services.notifier.why import Why
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import Clock

_HOUR_MS: Final = 3_600_000
Answer = Callable[[Asked, tuple[str, ...]], Awaitable[str]]


class Commands:
    """Every command by its name. A handler returns the text of the answer, empty where it has answered itself."""

    def __init__(
        self,
        *,
        people: People,
        looking: Looking,
        why: Why,
        charts: ChartService | None,
        answers: Answers,
        clock: Clock,
        log: Any,
    ) -> None:
        self._people = people
        self._looking = looking
        self._why = why
        self._charts = charts
        self._answers = answers
        self._clock = clock
        self._log = log
        self._handlers: Mapping[str, Answer] = {
            "start": self._start,
            "help": self._help,
            "status": self._status,
            "health": self._health,
            "signals": self._signals,
            "symbols": self._symbols,
            "chart": self._chart,
            "why": self._explain,
            "macro": self._macro,
            "mute": self._mute,
            "unmute": self._unmute,
            "quiet": self._quiet,
            "lang": self._lang,
            "pause": self._pause,
            "resume": self._resume,
        }

    async def run(self, asked: Asked, command: Command) -> None:
        """Answer it, whatever it is: unknown, malformed, from nowhere, or not allowed."""
        words = self._people.voice(asked).words
        text = await self._refusal(asked, command)
        if not text:
            try:
                text = await self._handlers[command.name](asked, command.arguments)
            except UnknownSymbolError as error:
                known = ", ".join(symbol for _, symbol in self._looking.markets)
                text = words.unknown_symbol.format(symbol=html.escape(str(error)), known=known)
            except UnknownTimeframeError as error:
                known = ", ".join(timeframe.value for timeframe in Timeframe)
                text = words.unknown_timeframe.format(timeframe=html.escape(str(error)), known=known)
            except MalformedError as error:
                usage = words.usage.get(command.name, f"/{command.name}")
                text = words.malformed.format(text=html.escape(str(error)), usage=usage)
        if text:
            await self._answers.send(asked.chat, text, reply_to=asked.message_id)
        self._log.info("command_answered", command=command.name, chat=asked.chat, user=asked.user_id)

    async def apologise(self, asked: Asked) -> None:
        """The store is away for a moment: say so, since nothing was done."""
        await self._answers.send(asked.chat, self._people.voice(asked).words.try_again, reply_to=asked.message_id)

    async def _refusal(self, asked: Asked, command: Command) -> str:
        words, name = self._people.voice(asked).words, command.name
        if name not in rules.NEEDED_ROLE:
            shown = f"/{html.escape(name)}"
            return words.unknown_command.format(command=shown, nearest=f"/{rules.nearest(name)}")
        if not asked.is_configured and name not in rules.ANYWHERE:
            return words.foreign_chat
        needed = rules.NEEDED_ROLE[name]
        if self._people.role(asked) < needed:
            if name in rules.STATE_CHANGING:
                await self._people.note(asked, name, f"refused: needs {needed.key}")
            return words.no_role.format(role=words.role[needed.key], user_id=asked.user_id)
        if needed is Role.NONE and name not in rules.ANYWHERE:
            wait_ms = self._people.pace.wait_ms(asked.user_id, self._clock.wall_ms())
            if wait_ms:
                return words.too_fast.format(seconds=-(-wait_ms // 1000))
        return ""

    async def _start(self, asked: Asked, _: tuple[str, ...]) -> str:
        words = self._people.voice(asked).words
        status = words.start_configured if asked.is_configured else words.start_unconfigured
        role = words.role[self._people.role(asked).key]
        chat_id = asked.chat.partition("/")[0]
        return words.start.format(chat_id=chat_id, user_id=asked.user_id, role=role, status=status)

    async def _help(self, asked: Asked, _: tuple[str, ...]) -> str:
        words, role = self._people.voice(asked).words, self._people.role(asked)
        lines = [words.help_title]
        for name, needed in rules.NEEDED_ROLE.items():
            lock = "" if role >= needed else f" 🔒 {words.role[needed.key]}"
            lines.append(f"{html.escape(words.usage.get(name, f'/{name}'))}: {words.command[name]}{lock}")
        return "\n".join(lines)

    async def _status(self, asked: Asked, _: tuple[str, ...]) -> str:
        return await self._looking.status_text(
            self._people.voice(asked), self._clock.market_ms(), paused=self._people.chats.paused
        )

    async def _health(self, asked: Asked, _: tuple[str, ...]) -> str:
        return await self._looking.health_text(self._people.voice(asked), self._clock.market_ms())

    async def _signals(self, asked: Asked, _: tuple[str, ...]) -> str:
        return await self._looking.signals_text(self._people.voice(asked))

    async def _symbols(self, asked: Asked, _: tuple[str, ...]) -> str:
        return self._looking.symbols_text(self._people.voice(asked))

    async def _macro(self, asked: Asked, _: tuple[str, ...]) -> str:
        return await self._looking.macro_text(self._people.voice(asked), self._clock.market_ms())

    async def _chart(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        exchange, symbol, timeframe, _ = self._market(arguments, asked, most=2)
        return await self.show_market(asked, exchange, symbol, timeframe)

    async def show_market(self, asked: Asked, exchange: str, symbol: str, timeframe: Timeframe) -> str:
        """A chart of now with buttons for other timeframes; returns a text where there is nothing to draw."""
        voice = self._people.voice(asked)
        reason = "charts are not drawn here"
        if self._charts is not None:
            try:
                look = self._looking.look(voice)
                picture = await self._charts.market_picture(
                    exchange, symbol, timeframe, before_ms=self._clock.market_ms(), look=look
                )
            except ChartUnavailableError as error:
                reason = str(error)
            else:
                caption = f"<code>{html.escape(symbol)}</code> {timeframe.value} · {html.escape(exchange)}"
                keyboard = market_keyboard(exchange, symbol)
                post = Post(chat=asked.chat, text=caption, signal=None, keyboard=keyboard)
                await self._answers.show(post, picture, reply_to=asked.message_id)
                return ""
        return voice.words.chart_failed.format(signal_id=html.escape(symbol), reason=html.escape(reason))

    async def _explain(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        exchange, symbol, timeframe, at_ms = self._market(arguments, asked, most=3)
        now_ms = self._clock.market_ms()
        found = await self._why.explain(exchange, symbol, timeframe, at_ms=at_ms, now_ms=now_ms)
        return why_text(self._people.voice(asked), found.decisions, found.missing)

    def _market(self, arguments: tuple[str, ...], asked: Asked, *, most: int) -> tuple[str, str, Timeframe, int | None]:
        """SYMBOL [TIMEFRAME [TIME]]: without a timeframe the first strategy's."""
        if not 1 <= len(arguments) <= most:
            raise _malformed(arguments)
        exchange, symbol = rules.market_of(arguments[0], self._looking.markets)
        timeframe = self._looking.usual_timeframe
        if len(arguments) > 1:
            timeframe = rules.timeframe_of(arguments[1])
        at_ms = None
        if len(arguments) > 2:  # noqa: PLR2004 - SYMBOL TIMEFRAME TIME
            at_ms = rules.time_of(arguments[2], self._people.voice(asked).zone, self._clock.market_ms())
        return exchange, symbol, timeframe, at_ms

    async def _mute(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        if not 1 <= len(arguments) <= 2:  # noqa: PLR2004 - SYMBOL [HOURS]
            raise _malformed(arguments)
        _, symbol = rules.market_of(arguments[0], self._looking.markets)
        hours = rules.hours_of(arguments[1]) if len(arguments) > 1 else rules.MUTE_HOURS
        return await self.mute(asked, symbol, hours)

    async def mute(self, asked: Asked, symbol: str, hours: float) -> str:
        """No new signals of the pair in this chat until then; pressing twice mutes no longer than pressing once."""
        until_ms = asked.at_ms + round(hours * _HOUR_MS)

        def change(state: ChatState) -> ChatState:
            muted = {pair: until for pair, until in state.muted.items() if until > asked.at_ms}
            return msgspec.structs.replace(state, muted={**muted, symbol: until_ms})

        await self._people.change(asked, f"mute {symbol} {hours:g}", asked.chat, change)
        voice = self._people.voice(asked)
        return voice.words.muted_until.format(symbol=html.escape(symbol), time=voice.time(until_ms))

    async def _unmute(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        if len(arguments) != 1:
            raise _malformed(arguments)
        _, symbol = rules.market_of(arguments[0], self._looking.markets)

        def change(state: ChatState) -> ChatState:
            muted = {pair: until for pair, until in state.muted.items() if pair != symbol}
            return msgspec.structs.replace(state, muted=muted)

        before, _ = await self._people.change(asked, f"unmute {symbol}", asked.chat, change)
        words = self._people.voice(asked).words
        return (words.unmuted if symbol in before.muted else words.not_muted).format(symbol=html.escape(symbol))

    async def _quiet(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        text = "".join(arguments)
        quiet = rules.quiet_of(text)
        await self._people.change(
            asked,
            f"quiet {text}",
            asked.chat,
            lambda state: msgspec.structs.replace(state, quiet_set=True, quiet=quiet),
        )
        voice = self._people.voice(asked)
        if quiet is None:
            return voice.words.quiet_off
        start, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (quiet.start_minute, quiet.end_minute))
        return voice.words.quiet_set.format(start=start, end=end, zone=str(voice.zone))

    async def _lang(self, asked: Asked, arguments: tuple[str, ...]) -> str:
        code = "".join(arguments).lower()
        if code not in LANGUAGES:
            known = ", ".join(f"{words.code} ({words.name})" for words in LANGUAGES.values())
            return self._people.voice(asked).words.languages_known.format(known=known)
        await self._people.change(
            asked, f"lang {code}", asked.chat, lambda state: msgspec.structs.replace(state, language=code)
        )
        return self._people.voice(asked).words.language_set

    async def _pause(self, asked: Asked, _: tuple[str, ...]) -> str:
        await self._set_paused(asked, "pause", paused=True)
        return self._people.voice(asked).words.paused

    async def _resume(self, asked: Asked, _: tuple[str, ...]) -> str:
        await self._set_paused(asked, "resume", paused=False)
        return self._people.voice(asked).words.resumed

    async def _set_paused(self, asked: Asked, command: str, *, paused: bool) -> None:
        await self._people.change(
            asked, command, EVERYWHERE, lambda state: msgspec.structs.replace(state, paused=paused)
        )


def _malformed(arguments: tuple[str, ...]) -> MalformedError:
    return MalformedError(" ".join(arguments) or "–")  # noqa: RUF001 - a dash that stands for nothing
