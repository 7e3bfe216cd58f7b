"""Charts from the very candles of a Decision, and two notifiers on one store."""

import asyncio

import msgspec
import pytest

from services.notifier.charts import ChartService, ChartUnavailableError
from services.notifier.core.chart_values import ChartModel
from shared.domain.candles import Candle
from shared.domain.decisions import Action
from shared.domain.events import SignalClosed, SignalOpened
from shared.domain.signals import ExitReason
from shared.domain.timeframe import Timeframe
from shared.store.candles import CandleStore, candle_table
from shared.store.decisions import DecisionStore
from shared.store.port import key_of
from tests.support.notifier import CHAT, NotifierBench, notifier_bench
from tests.support.signals import a_decision, closed, some_candles
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


async def test_what_followed_the_entry_is_shown_up_to_a_little_after_the_exit(bench):
    signal = await bench.a_stored_signal()
    seen = await stored_candles(bench)
    later = some_candles(count=170)[120:]
    await CandleStore(bench.store).save(later, fence=None)
    pool = RecordingPool()

    await charts_of(bench, pool).picture(closed(signal, minutes=23))

    [model] = pool.models
    assert model.open_time_ms[-1] == signal.opened_at_ms + (23 + 2) * 60_000
    assert model.high[: model.decision_bar + 1] == tuple(c.high for c in seen[-model.decision_bar - 1 :])


async def test_the_bias_of_each_candles_own_decision_is_shown(bench):
    signal = await bench.a_stored_signal()
    candles = await stored_candles(bench)
    bias = "SHORT 85 (binding, version 2)"
    others = [
        msgspec.structs.replace(
            a_decision(signal, candles), open_time_ms=candle.open_time_ms, bias=bias, action=Action.NONE
        )
        for candle in candles[50:119]
    ]
    await DecisionStore(bench.store).save_first(others, fence=None)
    pool = RecordingPool()

    await charts_of(bench, pool).picture(signal)

    spans = [(span.first, span.last, span.kind, span.binding) for span in pool.models[0].bias_spans]
    assert spans == [(50, 118, "short", True), (119, 119, "none", False)]


async def test_another_timeframe_shows_what_had_closed_and_what_followed(bench):
    signal = await bench.a_stored_signal()
    hour = Timeframe.H1.duration_ms
    first = Timeframe.H1.open_time_ms(signal.opened_at_ms) - 50 * hour
    hours = [
        msgspec.structs.replace(candle, timeframe=Timeframe.H1, open_time_ms=first + bar * hour)
        for bar, candle in enumerate(some_candles(count=54))
    ]
    await CandleStore(bench.store).save(hours, fence=None)
    pool = RecordingPool()
    charts = charts_of(bench, pool)

    await charts.picture(signal, timeframe=Timeframe.H1)

    [model] = pool.models
    assert (model.timeframe, len(model.close)) == ("1h", 54)
    assert model.decision_bar == 49
    assert {level.kind for level in model.levels} == {"entry", "take_profit", "stop_loss"}
    with pytest.raises(ChartUnavailableError, match="no 4h candles of BTCUSDT"):
        await charts.picture(signal, timeframe=Timeframe.H4)


async def test_a_market_is_shown_without_a_signal_and_without_what_closed_later(bench):
    await bench.a_stored_signal()
    candles = await stored_candles(bench)
    pool = RecordingPool()
    before_ms = candles[100].open_time_ms + 59_999

    picture = await charts_of(bench, pool).market_picture("bybit-linear", "BTCUSDT", Timeframe.M1, before_ms=before_ms)

    [model] = pool.models
    assert picture == model.digest.encode()
    assert model.open_time_ms[-1] == candles[99].open_time_ms
    assert [level.kind for level in model.levels] == ["last"]
    with pytest.raises(ChartUnavailableError, match="no 1m candles of NOPEUSDT"):
        await charts_of(bench, pool).market_picture("bybit-linear", "NOPEUSDT", Timeframe.M1, before_ms=before_ms)


async def test_a_strategy_under_a_name_of_its_own_keeps_its_panes(bench):
    signal = await bench.a_stored_signal()
    pool = RecordingPool()
    named = ChartService(store=bench.store, cache=None, pool=pool, log=bench.log, kinds={"rsi_divergence": "macd_adx"})

    await named.picture(signal)

    assert [pane.title for pane in pool.models[0].panes] == ["MACD 8/24/9", "ADX 14"]


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
    # Another instance: a later boot of the same one would take the lease at once, from what it believes to be dead.
    other = bench.restart("other")
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
