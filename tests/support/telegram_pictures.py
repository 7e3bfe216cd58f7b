"""Makes the pictures of docs/telegram.md: a real notifier writes to the test server, and what it holds is drawn.

.venv/bin/python -m tests.support.telegram_pictures docs/pictures
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import msgspec

from services.notifier.configured import followed
from services.notifier.core.chats import ChatState, Digest
from shared.domain.bias import Direction, MacroBias
from shared.domain.decisions import Sizing
from shared.domain.events import AlertRaised, MacroBiasUpdated, Severity, SignalClosed, SignalOpened, SystemEvent
from shared.domain.timeframe import Timeframe
from shared.runtime.config import TrackerConfig
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.strategies.windows import window_digest
from tests.support.notifier import ADMIN, CHAT, CONFIG, LIMITS, NotifierBench, a_profile, notifier_bench
from tests.support.signals import EXCHANGE, FIRST_OPEN_MS, a_decision, a_signal, closed, some_candles
from tests.support.telegram.picture import Bubble, bubbles_of, chat_svg
from tests.support.telegram_server import TelegramServer

OPEN_MS = FIRST_OPEN_MS + 119 * 60_000


async def a_story(bench: NotifierBench, minutes: int = 23) -> tuple[SignalOpened, SignalClosed]:
    """A signal whose take profit was reached, with the candles on the way there."""
    window = await CandleStore(bench.store).save(some_candles(), fence=None)
    signal = a_signal(entry_price=window[-1].close, window_digest=window_digest(window))
    size = Sizing(
        equity=10_000,
        fraction=0.714286,
        notional=7_142.86,
        quantity=round(7_142.86 / signal.entry_price, 4),
        risk_pct=0.5,
    )
    signal = msgspec.structs.replace(signal, sizing=size)
    ended = closed(signal, minutes=minutes)
    assert ended.exit is not None
    step = (ended.exit.price / signal.entry_price) ** (1 / (minutes - 1))
    later, last = [], window[-1]
    for index in range(minutes + 2):
        close = round(last.close * (step if index < minutes - 1 else 1.0004) * (1.0006 if index % 3 else 0.9991), 2)
        high, low = max(last.close, close) * 1.0002, min(last.close, close) * 0.9997
        last = msgspec.structs.replace(
            last, open_time_ms=last.close_time_ms, open=last.close, close=close, high=round(high, 2), low=round(low, 2)
        )
        later.append(last)
    await DecisionStore(bench.store).save_first([a_decision(signal, window)], fence=None)
    await CandleStore(bench.store).save(later, fence=None)
    return SignalOpened(signal=signal), SignalClosed(signal=ended)


async def living_message(folder: Path, out: Path) -> None:
    """Entry with its picture and buttons; then the exit, its reply, and why."""
    with TelegramServer(chats=(CHAT,)) as server:
        wishes = a_profile(pictures=True, exit_reply=True)
        async with notifier_bench(server, folder / "living.db", chats=(wishes,)) as bench:
            opened, ended = await a_story(bench)
            async with bench.running(buttons=True) as notifier:
                await notifier.handle([opened])
                await server.wait_until_async(
                    lambda state: state.messages_of(CHAT) and state.messages_of(CHAT)[0].photo
                )
                entry = bubbles_of(server.messages(CHAT), server.photo_bytes)
                text = bubbles_of(server.messages(CHAT), server.photo_bytes, {1: 0})
                write(out / "telegram_entry.svg", [labelled(text[0], "at once"), labelled(entry[0], "a moment later")])
                await notifier.handle([ended])
                await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
                await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].edit_count == 3, timeout_s=20)
                write(out / "telegram_exit.svg", bubbles_of(server.messages(CHAT), server.photo_bytes))
                message = server.messages(CHAT)[0]
                server.press(CHAT, message.message_id, f"why:{opened.signal.signal_id}", ADMIN)
                await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 3)
                write(out / "telegram_why.svg", bubbles_of(server.messages(CHAT), server.photo_bytes)[2:])


async def everything_else(folder: Path, out: Path) -> None:
    """A tree of alerts, the bias, reports of the platform, a digest; commands; the same in Vietnamese."""
    limits = msgspec.structs.replace(LIMITS, alert_gather_ms=300, system_pause_ms=400)
    digest = Digest(more_than=5, window_ms=200)
    with TelegramServer(chats=(CHAT,)) as server:
        profile = a_profile(digest=digest)
        async with notifier_bench(
            server,
            folder / "else.db",
            chats=(profile,),
            limits=limits,
            announce=followed(TrackerConfig.model_validate(CONFIG)),
        ) as bench:
            async with bench.running(buttons=True) as notifier:
                await notifier.handle(
                    [an_alert("ppo_signal_up", 0.1234), an_alert("vwap_up", 60_812.5), an_alert("mmh_buy", -0.41)]
                )
                await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 2)
                await asyncio.sleep(0.4)
                for bias in biases():
                    await notifier.handle([MacroBiasUpdated(bias=bias)])
                    await asyncio.sleep(0.3)
                for number, kind in enumerate(("blind", "seeing"), 1):
                    await notifier.handle([a_report(number, kind)])
                await asyncio.sleep(0.7)
                await notifier.handle(
                    [
                        SignalOpened(signal=a_signal(f"{name}USDT", entry_price=price, price_decimals=4))
                        for name, price in MANY
                    ]
                )
                await server.wait_until_async(lambda state: any("🗞" in one.text for one in state.messages_of(CHAT)))
            write(out / "telegram_events.svg", bubbles_of(server.messages(CHAT), server.photo_bytes))
    with TelegramServer(chats=(CHAT,)) as server:
        async with notifier_bench(server, folder / "commands.db") as bench, with_a_model(bench).running(buttons=True):
            for text in ("/start", "/status", "/mute BTCUSDT 4", "/quiet 22:00-07:00"):
                count = len(server.messages(CHAT))
                server.send_text(CHAT, text, ADMIN)
                await server.wait_until_async(lambda state, count=count: len(state.messages_of(CHAT)) > count)
            shown = [message for message in server.state().messages if message.chat_id == CHAT]
            write(out / "telegram_commands.svg", bubbles_of(shown, server.photo_bytes))
            await bench.notifier.chats.change(str(CHAT), lambda _: ChatState(language="vi"))
            count = len(server.messages(CHAT))
            await bench.notifier.handle([SignalOpened(signal=a_signal("ETHUSDT", entry_price=3_412.5))])
            await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) > count)
            write(out / "telegram_vietnamese.svg", bubbles_of(server.messages(CHAT), server.photo_bytes)[-1:])


def with_a_model(bench: NotifierBench) -> NotifierBench:
    """One strategy that passes the adaptive memory, for /status."""
    model = {"name": "trend_4h", "kind": "continuation", "timeframe": "4h"}
    bench.config = TrackerConfig.model_validate({**CONFIG, "strategies": [model]})
    return bench


MANY = (("SOL", 182.4), ("XRP", 2.31), ("ADA", 0.87), ("LINK", 21.4), ("SUI", 3.9), ("DOGE", 0.214), ("SEI", 0.31))


def an_alert(name: str, value: float) -> AlertRaised:
    return AlertRaised(
        strategy="macd_unified",
        alert=name,
        exchange=EXCHANGE,
        symbol="BTCUSDT",
        timeframe=Timeframe.M15,
        candle_open_time_ms=FIRST_OPEN_MS,
        price=60_912.5,
        side=Direction.LONG,
        price_decimals=2,
        values={name.partition("_")[0]: value, "wick_pct": 12.5},
    )


def biases() -> list[MacroBias]:
    first = MacroBias(
        base="BTC",
        quote="USDT",
        version=1,
        direction=Direction.SHORT,
        confidence=55.0,
        regime="risk_off",
        components={"rsi_4h": 44.0, "ema_20_4h": 61_240.0},
        published_at_ms=OPEN_MS,
        effective_from_ms=OPEN_MS + 60_000,
        expires_at_ms=OPEN_MS + 14_460_000,
    )
    return [
        first,
        msgspec.structs.replace(
            first, version=2, direction=Direction.LONG, confidence=85.0, regime="risk_on", components={"rsi_4h": 57.0}
        ),
    ]


def a_report(number: int, kind: str) -> SystemEvent:
    texts = {"blind": "its watermark stands still for 12.0 s (no frames)", "seeing": "its watermark moved after 41.3 s"}
    severity = Severity.ERROR if kind == "blind" else Severity.INFO
    text = f"ingestion#bybit-linear: {texts[kind]}"
    return SystemEvent(
        kind=kind,
        subject="ingestion#bybit-linear",
        version=number,
        severity=severity,
        text=text,
        at_ms=OPEN_MS + number * 40_000,
    )


def labelled(bubble: Bubble, label: str) -> Bubble:
    return msgspec.structs.replace(bubble, label=label)


def write(path: Path, bubbles: list[Bubble]) -> None:
    path.write_text(chat_svg(bubbles), encoding="utf-8")
    print(path)  # noqa: T201 - a script's output


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    out = parser.parse_args().folder
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(living_message(Path(folder), out))
        asyncio.run(everything_else(Path(folder), out))


if __name__ == "__main__":
    main()
