"""Charts from the very candles of a Decision, and two notifiers on one store."""

import asyncio

import msgspec
import pytest

from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.core.chart_model import ChartModel
from shared.domain.candles import Candle
from shared.domain.events import SignalClosed, SignalOpened
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from shared.store.candles import CandleStore, candle_table
from shared.store.port import key_of
from tests.support.notifier import CHAT, NotifierBench, notifier_bench
from tests.support.signals import closed
from tests.support.telegram_server import FaultRule, TelegramServer


class RecordingPool:
    """Keeps the models it is asked to draw; a picture is its model's digest."""

    def __init__(self) -> None:
        self.models: list[ChartModel] = []

    async def draw(self, model: ChartModel) -> bytes:
        self.models.append(model)
        await asyncio.sleep(0.01)
        return model.digest.encode()

    async def close(self) -> None:
        return


@pytest.fixture
def server():
    with TelegramServer(chats=(CHAT,)) as running:
        yield running


@pytest.fixture
async def bench(server, tmp_path):
    async with notifier_bench(server, tmp_path / "tracker.db") as made:
        yield made


def charts_of(bench: NotifierBench, pool: RecordingPool) -> ChartService:
    return ChartService(store=bench.store, cache=bench.cache, pool=pool, log=bench.log)


async def stored_candles(bench: NotifierBench, symbol: str = "BTCUSDT") -> list[Candle]:
    return await CandleStore(bench.store).between("bybit-linear", symbol, Timeframe.M1, 0, 2_000_000_000_000)


async def test_a_corrected_candle_is_drawn_as_the_decision_saw_it(bench):
    signal = await bench.a_stored_signal()
    seen = await stored_candles(bench)
    corrected = msgspec.structs.replace(seen[60], high=seen[60].high * 1.01)
    await CandleStore(bench.store).save([corrected], fence=None)
    pool = RecordingPool()

    await charts_of(bench, pool).picture(signal)

    assert pool.models[0].high == tuple(candle.high for candle in seen)


async def test_a_window_that_is_not_the_recorded_one_is_not_drawn(bench):
    signal = await bench.a_stored_signal()
    candles = await stored_candles(bench)
    changed = msgspec.structs.replace(signal, trigger=signal.trigger)
    key = key_of("bybit-linear", "BTCUSDT", candles[5].open_time_ms)
    await bench.store.delete(candle_table(candles[5].timeframe), [key])

    with pytest.raises(ChartUnavailableError, match="not all of its candles"):
        await charts_of(bench, RecordingPool()).picture(changed)

    other = msgspec.structs.replace(candles[5], volume=candles[5].volume + 1)
    await CandleStore(bench.store).save([other], fence=None)
    with pytest.raises(ChartUnavailableError, match="not those of the decision"):
        await charts_of(bench, RecordingPool()).picture(changed)


async def test_one_picture_is_drawn_once_however_often_it_is_asked_for(bench):
    signal = await bench.a_stored_signal()
    pool = RecordingPool()
    charts = charts_of(bench, pool)

    pictures = await asyncio.gather(*(charts.picture(signal) for _ in range(5)))
    again = await charts_of(bench, pool).picture(signal)

    assert len({*pictures, again}) == 1
    assert len(pool.models) == 1
    assert await charts.picture(closed(signal, ExitReason.STOP_LOSS)) != again


async def test_two_notifiers_on_one_store_send_each_message_once(server, bench):
    one = bench.notifier
    other = bench.restart()
    signals = [await bench.a_stored_signal(f"S{number}USDT") for number in range(6)]
    stopping = asyncio.Event()
    running = [asyncio.create_task(notifier.run(stopping)) for notifier in (one, other)]
    for number, signal in enumerate(signals):
        await (one, other)[number % 2].handle([SignalOpened(signal=signal)])
    await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 6)
    for number, signal in enumerate(signals):
        await (other, one)[number % 2].handle([SignalClosed(signal=closed(signal))])
    await server.wait_until_async(lambda state: all(item.edit_count == 1 for item in state.messages_of(CHAT)))
    stopping.set()
    await asyncio.gather(*running)

    assert len(server.messages(CHAT)) == 6
    assert len(server.calls("sendMessage")) == 6


async def test_a_standby_takes_over_when_the_active_one_hangs_and_marks_what_may_be_a_repeat(server, bench):
    server.add_fault(FaultRule(kind="slow", method="sendMessage", delay_s=1.5))
    signal = await bench.a_stored_signal()
    first = bench.notifier
    await first.handle([SignalOpened(signal=signal)])
    hanging = asyncio.create_task(first.drain())  # claims and sends; its lease (300 ms) runs out meanwhile
    await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) == 1)
    await asyncio.sleep(0.4)

    second = bench.restart()
    await second.drain()
    await hanging

    texts = server.sent_texts(CHAT)
    assert ["repeat 1" in text for text in texts] == [False, True]
    assert first.status()["sent"] == 0
    await first.handle(
        [SignalClosed(signal=closed(signal))]
    )  # it holds the lease again, and edits the message recorded
    await first.drain()
    assert server.messages(CHAT)[1].edit_count == 1
