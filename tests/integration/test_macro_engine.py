"""The macro engine's runs against a server that speaks Kraken's protocol: what is published, and what bad input leads to."""

import asyncio
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.macro_engine.core.versions import Pair
from services.macro_engine.handlers import MacroLimits
from shared.domain.bias import Direction
from shared.domain.errors import TransientError
from shared.exchanges.http import RestLimits
from tests.support.kraken_server import Fault, KrakenServer, Market, made_market, running_kraken
from tests.support.macro import AS_OF, DAILY, MacroBench, markets

QUARTER = 900_000
DAY = 86_400_000


@pytest.fixture
def now() -> list[int]:
    """The venue's clock."""
    return [AS_OF + 20_000]


@pytest.fixture
def kraken(now: list[int]) -> Iterator[KrakenServer]:
    with running_kraken(markets(), now_ms=lambda: now[0], daily=dict(DAILY)) as server:
        yield server


@pytest.fixture
def bench(kraken: KrakenServer) -> MacroBench:
    return MacroBench(kraken)


@functools.cache
def rising() -> Market:
    return made_market("XBT/USDT", "up", AS_OF)


def renamed(wsname: str, **changes: str) -> Market:
    return dataclasses.replace(rising(), wsname=wsname, **changes)


def later(bench: MacroBench, now: list[int], ms: int) -> None:
    now[0] += ms
    bench.clock.now_ms += ms


async def test_a_run_publishes_a_version_of_every_pair_with_its_parts(bench: MacroBench):
    report = await bench.run()

    biases = await bench.biases()
    sides = {base: (bias.direction, bias.confidence) for base, bias in biases.items()}
    assert sides == {"BTC": (Direction.LONG, 100.0), "ETH": (Direction.SHORT, 100.0), "SOL": (Direction.NEUTRAL, 0.0)}
    bias = biases["BTC"]
    assert (bias.version, bias.published_at_ms) == (AS_OF, AS_OF + 20_000)
    assert bias.effective_from_ms == AS_OF + 60_000
    assert bias.expires_at_ms == AS_OF + 20_000 + 4 * 3_600_000
    assert (bias.regime, bias.size_multiplier) == ("risk_on", 1.0)
    assert bias.components["regime.score"] == pytest.approx(0.7)
    assert bias.components["score.volume"] == 15.0
    assert not report.missing
    assert not bias.notes


async def test_effective_time_is_the_next_minute_at_least_five_seconds_later(bench: MacroBench):
    bench.clock.now_ms = AS_OF + 55_001

    await bench.run()

    assert {bias.effective_from_ms for bias in (await bench.biases()).values()} == {AS_OF + 120_000}


async def test_a_duplicate_trigger_publishes_the_same_versions_again_and_asks_nobody(bench: MacroBench):
    await bench.run()
    first = await bench.biases()
    asked = len(bench.kraken.calls("OHLC"))
    bench.clock.now_ms += 90_000

    report = await bench.run()

    assert sorted(report.repeated) == ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
    assert report.published == []
    assert await bench.biases() == first
    assert len(bench.kraken.calls("OHLC")) == asked


async def test_two_triggers_at_once_agree_on_one_version(bench: MacroBench):
    await asyncio.gather(bench.run(), bench.run())

    deliveries = await bench.bus.pull("logic-engine--macro-bias-updates", max_messages=100, wait_seconds=0)
    by_id: dict[str, set[bytes]] = {}
    for delivery in deliveries:
        by_id.setdefault(delivery.event.event_id, set()).add(msgspec.json.encode(delivery.event))
    assert len(by_id) == 3
    assert all(len(texts) == 1 for texts in by_id.values())


async def test_the_bus_away_between_storing_and_publishing_loses_nothing(bench: MacroBench):
    class Away:
        async def publish(self, *_: object) -> None:
            raise TransientError("the bus is away")

    with pytest.raises(TransientError, match="away"):
        await bench.run(bus=Away())
    bench.clock.now_ms += 30_000

    await bench.run()

    assert {bias.published_at_ms for bias in (await bench.biases()).values()} == {AS_OF + 20_000}


async def test_a_later_run_asks_only_for_what_came_since_and_4h_candles_only_when_one_closed(
    bench: MacroBench, now: list[int]
):
    await bench.run()
    await bench.biases()
    assert len(bench.kraken.calls("AssetPairs")) == 1
    assert len(bench.kraken.calls("OHLC")) == 9
    bench.kraken.requests.clear()
    later(bench, now, QUARTER)

    report = await bench.run()

    ours = await bench.biases()
    assert len(report.published) == 3
    assert len(bench.kraken.calls("interval=5&")) == len(bench.kraken.calls("interval=15&")) == 3
    assert not bench.kraken.calls("interval=240") + bench.kraken.calls("AssetPairs")
    assert all("since=" in call for call in bench.kraken.calls("OHLC"))
    # What is remembered and what is new together are what a fresh engine reads from the venue.
    fresh = MacroBench(bench.kraken)
    fresh.clock.now_ms = bench.clock.now_ms
    await fresh.run()
    theirs = await fresh.biases()
    assert ours == theirs


async def test_after_an_absence_longer_than_the_venues_memory_it_starts_again_from_there(
    bench: MacroBench, now: list[int]
):
    await bench.run()
    bench.kraken.markets = markets(AS_OF + 9 * DAY)
    bench.kraken.daily.clear()
    later(bench, now, 9 * DAY)
    bench.kraken.requests.clear()

    report = await bench.run()

    assert len(report.published) == 3
    [asked] = [call for call in bench.kraken.calls("interval=15&") if "XBT" in call]
    since_ms = int(asked.rpartition("=")[2]) * 1000
    assert since_ms < AS_OF + 9 * DAY - 240 * QUARTER


async def test_thirty_symbols_stay_within_the_venues_budget(now: list[int]):
    bases = [f"C{number:02d}" for number in range(30)]
    made = {f"{base}USDT": renamed(f"{base}/USDT") for base in bases}
    with running_kraken(made, now_ms=lambda: now[0]) as kraken:
        pairs = tuple(Pair(base, "USDT") for base in bases)
        bench = MacroBench(kraken, pairs=pairs, venue_limits=RestLimits(requests_per_second=100.0))
        report = await bench.run()

    assert len(report.published) == 30
    times = [at for at, path in kraken.requests if path.startswith("/0/")]
    assert len(times) == 91
    assert times[-1] - times[0] >= 90 / 100.0 * 0.95


BAD_PAIRS = [
    (Fault("pair=XBTUSDT", kind="html"), 'the answer must be JSON, was "<!DOCTYPE html>'),
    (Fault("pair=XBTUSDT", status=503), "HTTP status must be 200, was 503"),
    (Fault("pair=XBTUSDT", kind="EAPI:Rate limit exceeded"), "EAPI:Rate limit exceeded"),
    (Fault("pair=XBTUSDT", kind="EService:Unavailable"), "EService:Unavailable"),
    (Fault("pair=XBTUSDT", kind="EQuery:Unknown asset pair"), "EQuery:Unknown asset pair"),
    (Fault("pair=XBTUSDT", kind="empty"), "empty: no closed 15m candle"),
    (Fault("pair=XBTUSDT&interval=15", interval=5), "contradiction: the 15m candle"),
    (Fault("pair=XBTUSDT&interval=240", kind="empty"), "stale: the 4h candle"),
]


@pytest.mark.parametrize(("fault", "said"), BAD_PAIRS, ids=[fault.kind or fault.path for fault, _ in BAD_PAIRS])
async def test_what_the_venue_gets_wrong_gives_that_pair_no_bias_says_why_and_spares_the_others(
    bench: MacroBench, fault: Fault, said: str
):
    fault.times = 1_000
    bench.kraken.faults.append(fault)

    report = await bench.run()

    assert said in report.missing["BTC/USDT"]
    biases = await bench.biases()
    # Nothing was known before: the pair is neutral, with the reason.
    assert (biases["BTC"].direction, biases["BTC"].confidence) == (Direction.NEUTRAL, 0.0)
    assert said in biases["BTC"].notes[0]
    assert biases["ETH"].confidence == 100.0
    [event] = [event for event in await bench.events() if event.kind == "macro_pairs_missing"]
    assert said in event.text
    assert "BTC/USDT" in event.text

    bench.kraken.faults.clear()
    bench.clock.now_ms += 60_000
    healed = (
        await bench.run()
    )  # the same time again: only the pair that failed is tried, and it has its version already
    assert "BTC/USDT" in healed.repeated


async def test_a_short_fault_is_ridden_out(bench: MacroBench):
    bench.kraken.faults.append(Fault("OHLC", kind="EAPI:Rate limit exceeded", times=1))

    assert len((await bench.run()).published) == 3
    assert not (await bench.run()).missing


async def test_a_stale_last_candle_keeps_the_last_direction_until_its_expiry_and_no_longer(
    bench: MacroBench, now: list[int]
):
    await bench.run()
    [kept] = [bias for bias in (await bench.biases()).values() if bias.base == "BTC"]
    await bench.events()
    bench.clock.now_ms += 3 * QUARTER  # the venue's clock, and with it its candles, stands still

    report = await bench.run()

    assert report.missing["BTC/USDT"].startswith("stale: the newest 15m candle closed 45 min before")
    assert await bench.biases() == {}  # same regime: nothing new to say, the last version still holds
    [event] = await bench.events()
    assert event.text.endswith("the last one holds until it expires")

    later(bench, now, 3 * QUARTER)  # it is seen again
    now[0] = bench.clock.now_ms
    await bench.run()
    assert (await bench.biases())["BTC"].version > kept.version
    assert [event.kind for event in await bench.events()] == ["macro_pairs_back"]


async def test_a_regime_that_changes_while_the_venue_is_away_reaches_every_pair_with_its_old_direction(
    bench: MacroBench,
):
    await bench.run()
    before = (await bench.biases())["BTC"]
    bench.kraken.faults.append(Fault("OHLC", kind="EService:Unavailable"))
    bench.kraken.daily["dxy"] = {
        "rows": [{"date": "2026-11-18", "close": 100.0}, {"date": "2026-11-19", "close": 101.0}]
    }
    bench.clock.now_ms += QUARTER

    await bench.run()

    after = (await bench.biases())["BTC"]
    assert (after.direction, after.confidence, after.expires_at_ms) == (before.direction, 100.0, before.expires_at_ms)
    assert (before.regime, after.regime) == ("risk_on", "neutral")
    assert "EService:Unavailable" in after.notes[0]


async def test_a_source_that_is_down_counts_by_its_last_closes_then_not_at_all_and_is_said_once(
    bench: MacroBench, now: list[int]
):
    await bench.run()
    bench.kraken.faults.append(Fault("/daily/dxy", kind="html"))
    first = (await bench.biases())["SOL"]
    later(bench, now, QUARTER)

    await bench.run()
    second = (await bench.biases())["SOL"]
    told = await bench.events()
    later(bench, now, QUARTER)
    await bench.run()

    assert first.components["regime.dxy"] == second.components["regime.dxy"] == 0.35
    assert "must be JSON" in second.notes[0]
    assert [(event.kind, event.subject) for event in told] == [("macro_input_missing", "macro_engine#dxy")]
    assert await bench.events() == []

    bench.kraken.markets = markets(AS_OF + 8 * DAY)
    later(bench, now, 8 * DAY)
    await bench.run()
    late = (await bench.biases())["SOL"]
    assert "regime.dxy" not in late.components
    assert any(note.startswith("dxy: stale: the newest close is of 2026-11-19") for note in late.notes)


async def test_a_calendar_near_its_end_warns_once_and_a_broken_one_counts_as_missing(bench: MacroBench, tmp_path: Path):
    bench.calendar = tmp_path / "fomc.yaml"
    bench.calendar.write_text("days: [2026-12-09]")
    await bench.run()
    [warning] = await bench.events()
    assert warning.text == "its last day is 2026-12-09, in 19 days: add the next year's"
    assert (await bench.biases())["SOL"].components["regime.fomc_factor"] == 0.0

    bench.calendar.write_text("days: [")
    bench.clock.now_ms += 15 * 60_000
    report = await bench.run()

    assert "not valid YAML" in report.missing["fomc"]
    kinds = {(event.kind, event.subject) for event in await bench.events()}
    assert ("macro_input_missing", "macro_engine#fomc") in kinds


async def test_with_no_source_at_all_the_regime_is_unknown(bench: MacroBench, tmp_path: Path):
    bench.urls = {"dxy": None, "dominance": None}
    bench.calendar = tmp_path / "absent.yaml"

    report = await bench.run()

    assert report.regime == "unknown"
    bias = (await bench.biases())["BTC"]
    assert (bias.regime, bias.size_multiplier, bias.confidence) == ("unknown", 1.0, 100.0)


async def test_a_pair_stands_in_by_a_quote_that_moves_alike_or_is_said_to_be_absent(now: list[int]):
    made = {"XBTUSD": renamed("XBT/USD"), "NOPEUSDT": renamed("NOPE/USDT", status="cancel_only")}
    with running_kraken(made, now_ms=lambda: now[0]) as kraken:
        bench = MacroBench(kraken, pairs=(Pair("BTC", "USDT"), Pair("NOPE", "USDT")))
        report = await bench.run()

    assert (await bench.biases())["BTC"].quote == "USDT"
    assert report.missing["NOPE/USDT"] == "kraken-spot trades no NOPE against USDT or USD"


async def test_a_venue_that_never_answers_ends_the_run_in_time(bench: MacroBench):
    bench.limits = MacroLimits(run_seconds_max=0.3)
    bench.venue_limits = RestLimits(requests_per_second=5.0, attempts=1)

    report = await bench.run()

    assert [text for text in report.missing.values() if text == "no answer within 0.3 s"]


async def test_a_run_that_is_stopped_leaves_nothing_asking(bench: MacroBench):
    bench.venue_limits = RestLimits(requests_per_second=4.0)
    run = asyncio.ensure_future(bench.run())
    while not bench.kraken.calls("OHLC"):
        await asyncio.sleep(0.01)

    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
