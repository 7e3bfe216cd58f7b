"""The macro bias at Telegram: one message for what changed together, with a small chart of the strongest pair."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.notifier.core.languages import LANGUAGES
from services.notifier.core.macro_state import macro_state_text
from services.notifier.core.macro_texts import ToldBias, bias_caption, bias_text
from services.notifier.core.texts import CAPTION_LENGTH_MAX, plain_text, utf16_length
from services.notifier.core.voice import Voice
from shared.domain.bias import Direction, MacroBias
from shared.domain.events import MacroBiasUpdated
from shared.domain.outbox import OutboxState
from shared.store.bias import PUBLISHED_TABLE, BiasStore
from shared.store.outbox import OutboxStore
from shared.store.port import prefix_range
from tests.support.notifier import CHAT, a_profile, notifier_bench
from tests.support.telegram_server import TelegramServer

QUARTER_MS = 900_000
START_MS = 1_795_176_000_000


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer(chats=(CHAT,)) as running:
        yield running


def a_bias(number: int = 0, *, base: str = "BTC", **changes: object) -> MacroBias:
    at_ms = START_MS + number * QUARTER_MS
    bias = MacroBias(
        base=base,
        quote="USDT",
        version=at_ms,
        direction=Direction.LONG,
        confidence=79.0,
        regime="risk_small",
        components={"regime.score": 0.35, "value.close": 100.0 + number},
        published_at_ms=at_ms,
        effective_from_ms=at_ms + 60_000,
        expires_at_ms=at_ms + 4 * 3_600_000,
        size_multiplier=0.5,
    )
    return msgspec.structs.replace(bias, **changes)


async def test_a_strong_bias_is_one_message_which_the_chart_joins(server: TelegramServer, tmp_path: Path):
    history = [a_bias(number, confidence=100.0 if number % 5 == 4 else 79.0) for number in range(12)]
    weak, strong = a_bias(13), a_bias(14, confidence=100.0)
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(pictures=True),)) as bench:
        await BiasStore(bench.store, PUBLISHED_TABLE).save([*history, weak, strong], fence=None)
        async with bench.running() as notifier:
            await notifier.handle([MacroBiasUpdated(bias=strong)])
            view = await server.wait_until_async(
                lambda state: state.messages_of(CHAT)[0:1] and state.messages_of(CHAT)[0].photo, timeout_s=30
            )
            await notifier.handle(
                [MacroBiasUpdated(bias=a_bias(15, confidence=79.0))]
            )  # refreshed, not announced again
            await notifier.drain()

    [message] = view.messages_of(CHAT)
    assert [version.method for version in message.history] == ["sendMessage", "editMessageMedia"]
    assert "BTC/USDT" in message.text
    assert "up 100/100, strong" in message.text
    assert "regime.score: 0.35" in message.text
    assert len(server.shown_texts(CHAT)) == 1


async def test_a_chart_of_the_bias_that_a_kill_prevented_joins_after_the_restart_and_once(
    server: TelegramServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    strong = a_bias(6, confidence=100.0)
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(pictures=True),)) as bench:
        await BiasStore(bench.store, PUBLISHED_TABLE).save(
            [*(a_bias(number) for number in range(6)), strong], fence=None
        )
        with monkeypatch.context() as killing:
            killing.setattr(bench.notifier._sender, "offer_picture", lambda _: None)
            await bench.notifier.handle([MacroBiasUpdated(bias=strong)])
            await bench.notifier.drain()
        for _ in range(2):
            bench.restart()
            async with bench.running() as notifier:
                await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].photo, timeout_s=30)
                while not notifier.status()["sending"]:
                    await asyncio.sleep(0.02)
        marks = await bench.store.scan("notifier-state", *prefix_range("macro-picture"))

    [message] = server.messages(CHAT)
    assert [version.method for version in message.history] == ["sendMessage", "editMessageMedia"]
    assert "up 100/100, strong" in message.text
    assert marks == []


async def test_a_regime_that_turns_for_every_pair_is_one_message_with_a_line_for_each(
    server: TelegramServer, tmp_path: Path
):
    bases = ("BTC", "ETH", "SOL")
    before = [MacroBiasUpdated(bias=a_bias(base=base, confidence=100.0 if base == "ETH" else 40.0)) for base in bases]
    after = [
        MacroBiasUpdated(bias=a_bias(1, base=base, regime="risk_off", confidence=100.0 if base == "ETH" else 40.0))
        for base in bases
    ]
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(pictures=True),)) as bench:
        for events in (before, after):
            await bench.notifier.handle(events)
            await bench.notifier.drain()
        rows = [await OutboxStore(bench.store).get(str(CHAT), event.event_id) for event in after]

    first, second = server.shown_texts(CHAT)
    assert "Regime: risk on, small sizes" in first
    assert "Regime: risk off (before: risk on, small sizes)" in second
    assert [line for line in second.splitlines() if line.startswith(("BTC", "ETH", "SOL"))] == [
        "BTC/USDT Bias: up 40/100, binds nothing",
        "ETH/USDT Bias: up 100/100, strong: entries against it stay shut",
        "SOL/USDT Bias: up 40/100, binds nothing",
    ]
    assert sorted(row.state for row in rows if row) == [OutboxState.MERGED, OutboxState.MERGED, OutboxState.SENT]


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_a_caption_keeps_telegrams_limit_and_says_the_regime(code: str):
    voice = Voice(words=LANGUAGES[code])
    many = {f"value.number_{number}": 1 / 3 for number in range(40)}
    for count in (1, 2, 9, 40):
        told = [
            ToldBias(bias=a_bias(base=f"C{number}", components=many), binding=None, before=a_bias(regime="risk_on"))
            for number in range(count)
        ]
        caption = bias_caption(voice, told, repeats=1)
        assert utf16_length(plain_text(caption)) <= CAPTION_LENGTH_MAX
        assert utf16_length(plain_text(bias_text(voice, told))) <= 4096
        assert bool(caption) == (count < 40)
        assert voice.words.macro_regime["risk_small"] in (caption or bias_text(voice, told))


def test_the_notifiers_own_process_does_not_import_what_draws():
    source = "import sys, services.notifier.main; print([m for m in ('matplotlib', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_macro_shows_state_parts_expiry_and_what_is_missing(code: str):
    voice = Voice(words=LANGUAGES[code])
    parts = {"regime.score": 0.35, "regime.size_multiplier": 0.5, "score.volume": 15.0, "value.close": 5.0}
    biases = [a_bias(base=f"C{number:02d}", components=parts, notes=("dxy: <down>",)) for number in range(9)]
    told = [ToldBias(bias=bias, binding=Direction.LONG, before=None) for bias in biases]

    text = plain_text(macro_state_text(voice, told, START_MS))

    assert text.count("volume 15") == 9
    assert text.count("score: 0.35") == text.count("size multiplier: 0.5") == text.count("dxy: <down>") == 1
    assert text.count(voice.time(START_MS + 4 * 3_600_000)) == 9
    assert "close" not in text
    late = plain_text(macro_state_text(voice, told, START_MS + 5 * 3_600_000))
    assert late.count(plain_text(voice.words.macro_expired)) == 9
    [only] = told[:1]
    assert "score.volume: 15" in plain_text(macro_state_text(voice, [only], START_MS))
    many = [
        ToldBias(bias=a_bias(base=f"C{number:02d}", components=parts), binding=None, before=None)
        for number in range(60)
    ]
    assert utf16_length(plain_text(macro_state_text(voice, many, START_MS))) <= 4096
