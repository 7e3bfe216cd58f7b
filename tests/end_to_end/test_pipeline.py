"""Separate processes, from the exchange's WebSocket to Telegram's HTTP: once undisturbed, once killed at every point."""

import asyncio

import pytest

from shared.domain.signals import ExitReason, Signal
from tests.end_to_end.checks import check_candles, check_messages, check_signals, everything, is_told
from tests.end_to_end.conftest import LATE_SYMBOL, Run
from tests.end_to_end.platform import CHAT, SERVICES, Records

# Where each service dies, and whether the outcome of a send is unknown then.
CRASH_POINTS = [
    ("ingestion", "ingestion.published:40"),
    ("aggregator", "aggregator.appended:30"),
    ("aggregator", "aggregator.stored:3"),
    ("aggregator", "aggregator.announced:3"),
    ("logic_engine", "logic_engine.decided:2"),
    ("logic_engine", "logic_engine.claimed:1"),
    ("logic_engine", "logic_engine.stored:1"),
    ("logic_engine", "logic_engine.published:1"),
    ("notifier", "notifier.queued:1"),
    ("notifier", "notifier.claimed:1"),
    ("notifier", "notifier.sent:1"),
]
REPEATS_MAX = 2  # one for each kill that leaves a send's outcome unknown: claimed and sent


async def wait_ready(run: Run) -> None:
    """Until Decisions are made: every service works."""

    async def decided() -> bool:
        return bool(await run.platform.read(lambda records: records.decisions("BTCUSDT")))

    await run.platform.until(decided, "the first Decision", 60)


async def see_enough(run: Run) -> None:
    """At least one take-profit and one stop-loss; then one late trade, until its minute has been corrected."""

    async def ended(records: Records) -> set[ExitReason]:
        return {signal.exit.reason for signal in await records.signals() if signal.exit}

    async def both() -> bool:
        return {ExitReason.TAKE_PROFIT, ExitReason.STOP_LOSS} <= await run.platform.read(ended)

    await run.platform.until(both, "a take-profit and a stop-loss", 180)

    async def revisions(records: Records) -> dict[int, int]:
        return {candle.open_time_ms: candle.revision for candle in await records.candles(LATE_SYMBOL)}

    before = await run.platform.read(revisions)
    # Late enough that its minute is closed here, too: what a killed process had leased comes again after 20 s, which are
    # ten minutes of this market. Not so late that its minute lies before the start.
    [first, *_] = await run.platform.read(lambda records: records.decisions(LATE_SYMBOL))
    age_s = (run.simulator.market_ms() - first.open_time_ms) / 1000
    run.simulator.fault("late_trade", symbol=LATE_SYMBOL, delay_s=max(90, min(900, age_s / 2)))

    seen = {"differs": "no minute's revision rose"}

    async def corrected() -> bool:
        series = await run.platform.read(lambda records: records.candles(LATE_SYMBOL))
        risen = any(candle.revision > before.get(candle.open_time_ms, candle.revision) for candle in series)
        try:
            # Other minutes may rise, too, while a killed process's messages come again: the late one's must agree.
            return risen and check_candles(run, {LATE_SYMBOL: series}) > 0
        except AssertionError as error:
            seen["differs"] = str(error)
            return False

    try:
        await run.platform.until(corrected, "the late trade's minute to be corrected", 60)
    except AssertionError as error:
        raise AssertionError(f"{seen['differs']}\n{error}") from None


async def settled(run: Run) -> None:
    """Stop the market's feed first, let the rest flow out, then stop everything within its time.

    What a killed process had leased comes again when its lease ends, twenty seconds later.
    """
    run.platform.terminate("ingestion")
    await asyncio.sleep(3)

    async def told() -> bool:
        return is_told(run, await run.platform.read(lambda records: records.signals()))

    await run.platform.until(told, "every signal's message to show its latest state", 60)
    codes = run.platform.stop_all()
    assert codes == dict.fromkeys(SERVICES, 0), [run.platform.log_tail(name) for name in SERVICES]


async def test_trades_become_candles_signals_messages_charts_and_edits(run: Run):
    for name in SERVICES:
        run.platform.start(name)
    await wait_ready(run)
    await see_enough(run)
    [first, *_] = signals = await run.platform.read(lambda records: records.signals())

    await press_chart(run, first)
    await settled(run)

    candles, signals, begins = await run.platform.read(everything)
    assert check_candles(run, candles) > 50
    check_signals(candles, signals, begins)
    check_messages(run, signals, repeats_max=0)
    assert any(candle.revision > 1 for candle in candles[LATE_SYMBOL])


async def press_chart(run: Run, signal: Signal) -> None:
    """A user presses the button under the signal's message and gets the picture, whether it has ended or not."""
    [message] = [m for m in run.telegram.messages(CHAT) if m.photo is None and signal.signal_id in m.text]
    query = run.telegram.press(CHAT, message.message_id, f"chart:{signal.signal_id}", 77)

    await run.telegram.wait_until_async(lambda view: query in view.callback_answers, timeout_s=20)
    await run.telegram.wait_until_async(
        lambda view: any(m.photo and signal.signal_id in m.text for m in view.messages), timeout_s=30
    )


async def test_kills_at_every_point_lose_nothing_and_double_nothing(run: Run):
    for name in SERVICES:
        run.platform.start(name)
    await wait_ready(run)

    for name, point in CRASH_POINTS:
        run.platform.kill(name)
        run.platform.start(name, crash_at=point)
        await run.platform.wait_killed(name, 120)
        run.platform.start(name)
    await see_enough(run)
    await settled(run)

    candles, signals, begins = await run.platform.read(everything)
    assert check_candles(run, candles) > 50
    check_signals(candles, signals, begins)
    check_messages(run, signals, repeats_max=REPEATS_MAX)
    assert any(candle.revision > 1 for candle in candles[LATE_SYMBOL])


@pytest.mark.parametrize("adapters", ["embedded"], indirect=True)
@pytest.mark.parametrize("variable", ["TELEGRAM_BOT_TOKEN"])
async def test_a_wrong_token_ends_the_notifier_with_one_line_that_names_it(run: Run, variable: str):
    run.platform.start("notifier", environment={variable: "123456:wrong-token-wrong-token-wrong"})

    code = await run.platform.exit_code("notifier", 20)

    assert code == 2
    last = run.platform.log_tail("notifier", lines=1)
    assert variable in last
    assert "wrong-token" not in last
