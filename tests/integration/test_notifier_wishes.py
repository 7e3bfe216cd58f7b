"""What a chat wishes, and values that could break a message, in front of the Bot API server through the real client."""

import time
from datetime import UTC, datetime

import msgspec
import pytest

from services.notifier.core.chats import ChatState, QuietHours
from shared.domain.events import Severity, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.timeframe import Timeframe
from tests.support.notifier import CHAT, a_profile, notifier_bench
from tests.support.signals import a_signal, closed
from tests.support.telegram_server import FaultRule, TelegramServer

OTHER = 1002
WISHES = {
    2001: {"strategies": frozenset({"macd_adx"})},
    2002: {"symbols": frozenset({"ETHUSDT"})},
    2003: {"timeframes": frozenset({Timeframe.H1})},
    2004: {"score_min": 60.0},
    2005: {"kinds": frozenset({"alerts", "system"})},
}


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT, OTHER, *WISHES)) as running:
        yield running


async def tell(bench, *events):
    await bench.notifier.handle(events)
    await bench.notifier.drain()


def quiet_now():
    now = datetime.now(UTC)
    minute = now.hour * 60 + now.minute
    return QuietHours((minute - 60) % 1_440, (minute + 60) % 1_440)


async def test_in_quiet_hours_only_exits_come_and_the_rest_when_they_are_over(server, tmp_path):
    told, waiting = a_signal(), a_signal("ETHUSDT")
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(exit_reply=True),)) as bench:
        await tell(bench, SignalOpened(signal=told))
        await bench.notifier.chats.change(str(CHAT), lambda _: ChatState(quiet_set=True, quiet=quiet_now()))
        await tell(bench, SignalOpened(signal=waiting), SignalClosed(signal=closed(told)))
        assert [text.partition(" · ")[0][:16] for text in server.shown_texts(CHAT)] == ["✅ EXIT LONG BTCU"] * 2
        await bench.notifier.chats.change(str(CHAT), lambda _: ChatState(quiet_set=True, quiet=None))
        await bench.notifier.drain()

    assert server.shown_texts(CHAT)[2].startswith("⬆️ LONG SIGNAL for ETHUSDT")


async def test_a_chat_is_told_what_its_filters_let_through_and_each_signal_to_its_end(server, tmp_path):
    plain = msgspec.structs.replace(a_signal(), score=55.0)
    wanted = {
        2001: a_signal(strategy="macd_adx"),
        2002: a_signal("ETHUSDT"),
        2004: msgspec.structs.replace(a_signal("SOLUSDT"), score=61.0),
    }
    async with notifier_bench(
        server, tmp_path / "t.db", chats=tuple(a_profile(c, **w) for c, w in WISHES.items())
    ) as bench:
        await tell(bench, *(SignalOpened(signal=one) for one in (plain, *wanted.values())))
        await tell(bench, *(SignalClosed(signal=closed(one)) for one in (plain, *wanted.values())))

    told = {chat: {text.splitlines()[-1].split()[0] for text in server.shown_texts(chat)} for chat in WISHES}
    everything = {one.signal_id for one in wanted.values()}
    assert told[2001] == {wanted[2001].signal_id}
    assert told[2002] == {wanted[2002].signal_id}
    assert told[2003] == told[2005] == set()
    assert told[2004] == everything, "what has no score passes"
    assert all("EXIT" in text for chat in WISHES for text in server.shown_texts(chat))


async def test_html_in_names_and_reasons_of_five_thousand_characters_arrive_as_text(server, tmp_path):
    signal = a_signal("<b>A&B</b>", trigger="<i>" * 20)
    noted = msgspec.structs.replace(signal, version=2)
    report = SystemEvent(
        kind="drift", subject="a<b", version=1, severity=Severity.ERROR, text="<&>" * 2_000, at_ms=signal.opened_at_ms
    )
    async with notifier_bench(server, tmp_path / "t.db") as bench:
        await tell(bench, SignalOpened(signal=signal))
        await tell(bench, SignalProgressed(signal=noted, note="<" * 5_000), report)

    entry, told = server.shown_texts(CHAT)
    assert "LONG SIGNAL for <b>A&B</b>" in entry
    assert "✏️ <<<" in entry
    assert "<&><&>" in told
    assert all(call.answer == "200" for call in server.calls() if call.method.lower() != "getme")


class TimedPool:
    """The real pool; remembers when it was asked to draw."""

    def __init__(self, pool):
        self.pool = pool
        self.began_ns = []

    async def draw(self, model):
        self.began_ns.append(time.monotonic_ns())
        return await self.pool.draw(model)


async def test_a_text_is_out_before_its_rendering_starts_also_where_telegram_is_slow(server, tmp_path):
    server.add_fault(FaultRule(kind="slow_before", method="sendMessage", delay_s=0.3, count=1))
    async with notifier_bench(server, tmp_path / "t.db", chats=(a_profile(pictures=True),)) as bench:
        pool = bench.charts._pool = TimedPool(bench.pool)
        signal = await bench.a_stored_signal()
        async with bench.running() as notifier:
            await notifier.handle([SignalOpened(signal=signal)])
            await server.wait_until_async(
                lambda state: state.messages_of(CHAT) and state.messages_of(CHAT)[0].photo, timeout_s=20
            )
            await notifier.handle([SignalClosed(signal=closed(signal))])
            await server.wait_until_async(lambda state: state.messages_of(CHAT)[0].edit_count == 3, timeout_s=20)

    text, entry_picture, caption, exit_picture = (call for call in server.calls() if call.chat_id == CHAT)
    assert [call.method.lower() for call in (text, caption)] == ["sendmessage", "editmessagecaption"]
    first, second = pool.began_ns
    posted_ns = text.first_byte_monotonic_ns + 300_000_000  # the server waited so long before it did anything
    assert posted_ns < first < entry_picture.first_byte_monotonic_ns
    assert caption.first_byte_monotonic_ns < second < exit_picture.first_byte_monotonic_ns
