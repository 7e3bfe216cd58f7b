"""A symbol that stands still while its exchange goes on is told once, and taken back once with what was missed."""

from services.aggregator.core.limits import Limits
from shared.domain.events import SystemEvent
from shared.domain.timeframe import MINUTE_MS
from tests.support.aggregator import Bench
from tests.support.trades import START_MS, Row, a_batch


async def told(bench: Bench) -> list[tuple[str, str, str]]:
    events = [event for event in await bench.events("notifier--system-events") if isinstance(event, SystemEvent)]
    return [(event.kind, event.subject, event.text) for event in events if event.kind in {"blind", "seeing"}]


async def test_a_symbol_that_stops_is_told_once_and_taken_back_with_what_was_missed():
    bench = Bench(Limits(hole_timeout_ms=10**9))
    aggregator = bench.aggregator()
    end_ms = START_MS + 5 * MINUTE_MS
    both = a_batch(
        [Row("AAA", 1, START_MS + 1, 1.0, 5), Row("BBB", 2, START_MS + 2, 1.0, 5)], watermark_ms=START_MS + MINUTE_MS
    )
    one = a_batch([], session="s2", covers_from_ms=START_MS + MINUTE_MS, watermark_ms=end_ms, symbols=("AAA",))
    again = a_batch([], session="s3", covers_from_ms=end_ms - 1, watermark_ms=end_ms + 10)

    await aggregator.append([both])
    await aggregator.look_at_symbols()
    assert await told(bench) == []

    await aggregator.append([one])
    for _ in range(3):
        await aggregator.look_at_symbols()
    [(kind, subject, text)] = await told(bench)
    assert (kind, subject) == ("blind", "aggregator#bybit-linear#BBB")
    assert "stopped 240 s ago" in text
    assert aggregator.status(now_market_ms=end_ms)["blind_symbols"] == ["BBB"]

    await aggregator.append([again])
    for _ in range(3):
        await aggregator.look_at_symbols()
    [(kind, _, text)] = await told(bench)
    assert kind == "seeing"
    assert "4 minute(s) of it are not whole yet" in text
    assert aggregator.status(now_market_ms=end_ms)["blind_symbols"] is None
