"""The bus contract, the same for every adapter: nothing here relies on order, on exactness of time or on silence."""

import asyncio
from contextlib import suppress

import pytest

from shared.domain.errors import InvalidValueError
from shared.domain.wire import encode_event
from tests.contract.harness import ACK_DEADLINE_SECONDS, ATTEMPTS_MAX, BusCase, a_fact, facts, numbers

FIRST, SECOND = "first--facts", "second--facts"


async def test_every_subscription_gets_every_event_whole(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(7))

    for subscription in (FIRST, SECOND):
        deliveries = await bus_case.pull_until(subscription, 7)

        assert numbers(deliveries) == list(range(7))
        assert {delivery.attempt for delivery in deliveries} == {1}
        assert {delivery.subscription for delivery in deliveries} == {subscription}
        assert all(delivery.event == a_fact(delivery.event.version) for delivery in deliveries)
        if bus_case.attributes_travel:
            assert all(delivery.attributes["event_id"] == delivery.event.event_id for delivery in deliveries)
            assert all(delivery.attributes["type"] == "SystemEvent" for delivery in deliveries)


@pytest.mark.waits
async def test_acknowledged_messages_never_come_again(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(5))
    await bus_case.pull_until(FIRST, 5, acknowledge=True)

    await bus_case.pass_time(ACK_DEADLINE_SECONDS * 3)

    assert await bus_case.nothing_comes(FIRST)
    assert len(await bus_case.pull_until(SECOND, 5)) == 5


@pytest.mark.waits
async def test_a_leased_message_stays_away_until_its_lease_ends_then_comes_again(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(3))
    taken = await bus_case.pull_until(FIRST, 3)
    assert await bus_case.nothing_comes(FIRST)

    await bus_case.bus.acknowledge(taken[:1])
    await bus_case.pass_time(ACK_DEADLINE_SECONDS + 1)
    again = await bus_case.pull_until(FIRST, 2)

    assert numbers(again) == numbers(taken[1:])
    assert {delivery.attempt for delivery in again} == {2}


@pytest.mark.waits
async def test_acknowledging_a_lease_that_another_pull_holds_changes_nothing(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(1))
    [stale] = await bus_case.pull_until(FIRST, 1)
    await bus_case.pass_time(ACK_DEADLINE_SECONDS + 1)
    await bus_case.pull_until(FIRST, 1)

    await bus_case.bus.acknowledge([stale])
    await bus_case.bus.release([stale], delay_seconds=0)
    await bus_case.bus.dead_letter(stale, "too late")

    assert await bus_case.nothing_comes(FIRST)
    assert not await bus_case.bus.dead_letters(FIRST)
    await bus_case.pass_time(ACK_DEADLINE_SECONDS + 1)
    [third] = await bus_case.pull_until(FIRST, 1)
    assert third.attempt == 3


@pytest.mark.waits
async def test_a_released_message_comes_again_after_its_delay(bus_case: BusCase):
    if not bus_case.releases_exactly:
        pytest.skip("this broker lets the lease expire instead")
    await bus_case.bus.publish("facts", facts(2))
    taken = await bus_case.pull_until(FIRST, 2)

    await bus_case.bus.release(taken, delay_seconds=4)
    await bus_case.pass_time(3)
    assert await bus_case.nothing_comes(FIRST)
    await bus_case.pass_time(1.5)
    again = await bus_case.pull_until(FIRST, 2)

    assert numbers(again) == [0, 1]
    assert {delivery.attempt for delivery in again} == {2}


@pytest.mark.waits
async def test_a_message_that_nobody_acknowledges_dies_after_its_attempts_with_the_reason(bus_case: BusCase):
    event = a_fact(1)
    await bus_case.bus.publish("facts", [event])
    for attempt in range(1, ATTEMPTS_MAX + 1):
        [delivery] = await bus_case.pull_until(FIRST, 1)
        assert delivery.attempt == attempt
        await bus_case.pass_time(ACK_DEADLINE_SECONDS + 1)

    assert await bus_case.nothing_comes(FIRST)
    [dead] = await bus_case.bus.dead_letters(FIRST)

    assert dead.reason == f"not acknowledged in {ATTEMPTS_MAX} attempts"
    assert dead.data == encode_event(event)
    assert dead.attributes["event_id"] == event.event_id
    assert not await bus_case.bus.dead_letters(SECOND)


@pytest.mark.waits
async def test_a_handler_can_dead_letter_with_its_reason(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(3))
    taken = sorted(await bus_case.pull_until(FIRST, 3), key=lambda delivery: delivery.event.version)

    await bus_case.bus.dead_letter(taken[1], "price must be > 0, was -1")
    await bus_case.bus.acknowledge([taken[0], taken[2]])
    await bus_case.pass_time(ACK_DEADLINE_SECONDS + 1)

    assert await bus_case.nothing_comes(FIRST)
    [dead] = await bus_case.bus.dead_letters(FIRST)
    assert (dead.message_id, dead.reason) == (taken[1].message_id, "price must be > 0, was -1")
    assert dead.data == encode_event(a_fact(1))


@pytest.mark.parametrize(
    ("data", "attributes", "reason"),
    [
        (b"\xff not json", {"schema_version": "1"}, "not a valid event"),
        (b"{}", {"schema_version": "1"}, "not a valid event"),
        (encode_event(a_fact(1)), {"schema_version": "99"}, "schema_version must be 1, was '99'"),
        (encode_event(a_fact(1)), {}, "schema_version must be 1, was None"),
        (encode_event(a_fact(1)).replace(b'"fact"', b'"fa:ct"'), {"schema_version": "1"}, "kind must be printable"),
    ],
)
async def test_what_cannot_be_decoded_dies_with_the_reason_and_the_rest_goes_on(
    bus_case: BusCase, data: bytes, attributes: dict[str, str], reason: str
):
    if bus_case.inject is None:
        pytest.skip("no foreign publisher reaches this adapter")
    await bus_case.bus.publish("facts", facts(1))
    await bus_case.inject("facts", data, attributes)
    await bus_case.bus.publish("facts", facts(1, start=1))

    assert numbers(await bus_case.pull_until(FIRST, 2, acknowledge=True)) == [0, 1]
    assert await bus_case.nothing_comes(FIRST)
    [dead] = await bus_case.bus.dead_letters(FIRST)

    assert reason in dead.reason
    assert (dead.data, dead.attributes) == (data, attributes)


async def test_what_never_was_an_event_can_be_refused(bus_case: BusCase):
    await bus_case.bus.refuse(FIRST, b"garbage", {"topic": "publicTrade"}, "frame is no JSON")
    await bus_case.bus.refuse(FIRST, b"garbage 2", {}, "frame is no JSON either")

    first, second = await bus_case.bus.dead_letters(FIRST)

    assert (first.data, first.attributes, first.reason) == (
        b"garbage",
        {"topic": "publicTrade"},
        "frame is no JSON",
    )
    assert second.data == b"garbage 2"
    assert first.message_id != second.message_id
    assert len(await bus_case.bus.dead_letters(FIRST, limit=1)) == 1
    assert await bus_case.nothing_comes(FIRST)


async def test_a_requeued_dead_letter_comes_again_to_its_subscription_alone(bus_case: BusCase):
    bus = bus_case.bus
    await bus.publish("facts", facts(3))
    await bus_case.pull_until(SECOND, 3, acknowledge=True)
    for delivery in await bus_case.pull_until(FIRST, 3):
        await bus.dead_letter(delivery, f"reason {delivery.event.version}")
    await bus.refuse(FIRST, b"garbage", {"topic": "publicTrade"}, "frame is no JSON")
    dead = {letter.reason: letter for letter in await bus.dead_letters(FIRST)}
    wanted = [dead["reason 0"].message_id, dead["reason 2"].message_id, dead["frame is no JSON"].message_id]
    assert {reason: letter.attempts for reason, letter in dead.items()} == {
        "reason 0": 1, "reason 1": 1, "reason 2": 1, "frame is no JSON": 0,
    }  # fmt: skip
    assert await bus.dead_count(FIRST) == 4

    revived = await bus.requeue(FIRST, [*wanted, "not-there"])

    assert sorted(revived) == sorted(wanted[:2])
    again = await bus_case.pull_until(FIRST, 2)
    assert numbers(again) == [0, 2]
    assert {delivery.attempt for delivery in again} == {1}
    if bus_case.attributes_travel:
        assert all(delivery.attributes == dead[f"reason {delivery.event.version}"].attributes for delivery in again)
    assert sorted(letter.reason for letter in await bus.dead_letters(FIRST)) == ["frame is no JSON", "reason 1"]
    assert await bus_case.nothing_comes(SECOND)
    assert await bus.requeue(FIRST, wanted) == []


async def test_a_requeued_message_may_die_again_and_be_requeued_again(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(1))
    for reason in ("first", "second"):
        [delivery] = await bus_case.pull_until(FIRST, 1)
        await bus_case.bus.dead_letter(delivery, reason)
        [letter] = await bus_case.bus.dead_letters(FIRST)
        assert (letter.reason, letter.data) == (reason, encode_event(a_fact(0)))
        assert "requeued_for" not in letter.attributes
        assert await bus_case.bus.requeue(FIRST, [letter.message_id]) == [letter.message_id]

    assert numbers(await bus_case.pull_until(FIRST, 1, acknowledge=True)) == [0]
    assert not await bus_case.bus.dead_letters(FIRST)


async def test_two_pullers_never_share_a_live_lease(bus_case: BusCase):
    buses = [bus_case.bus, bus_case.another() if bus_case.another else bus_case.bus]
    await bus_case.bus.publish("facts", facts(60))
    seen: list[int] = []

    async def work(puller: int) -> None:
        bus = buses[puller % 2]
        for _ in range(10):
            deliveries = await bus.pull(FIRST, max_messages=3, wait_seconds=0.02)
            seen.extend(numbers(deliveries))
            await asyncio.sleep(0)

    await asyncio.gather(*(work(puller) for puller in range(6)))

    assert sorted(seen) == list(range(60))


async def test_a_waiting_pull_returns_soon_after_a_publish(bus_case: BusCase):
    loop = asyncio.get_running_loop()
    pulling = asyncio.create_task(bus_case.bus.pull(FIRST, max_messages=10, wait_seconds=10))
    await asyncio.sleep(0.05)
    began = loop.time()

    await bus_case.bus.publish("facts", facts(2))
    deliveries = await pulling

    assert numbers(deliveries)
    assert loop.time() - began < bus_case.tolerance_seconds


async def test_a_pull_without_messages_returns_empty_after_its_wait(bus_case: BusCase):
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert await bus_case.bus.pull(FIRST, max_messages=10, wait_seconds=0.1) == []

    assert 0.09 < loop.time() - began < 0.1 + bus_case.tolerance_seconds
    assert await bus_case.bus.pull(FIRST, max_messages=10, wait_seconds=0) == []


async def test_closing_lets_pending_pulls_return(bus_case: BusCase):
    pulls = [asyncio.create_task(bus_case.bus.pull(FIRST, max_messages=1, wait_seconds=60)) for _ in range(3)]
    await asyncio.sleep(0.05)

    await bus_case.bus.close()

    assert await asyncio.wait_for(asyncio.gather(*pulls), bus_case.tolerance_seconds) == [[], [], []]


async def test_a_cancelled_pull_holds_nothing_back(bus_case: BusCase):
    if not bus_case.releases_exactly:
        pytest.skip("this broker lets the lease expire instead")
    await bus_case.bus.publish("facts", facts(40))
    seen: list[int] = []
    for turn in range(60):
        pulling = asyncio.create_task(bus_case.bus.pull(FIRST, max_messages=2, wait_seconds=0.01))
        await asyncio.sleep(turn % 12 / 4000)
        if pulling.cancel():
            with suppress(asyncio.CancelledError):
                seen += numbers(await pulling)
        else:
            seen += numbers(pulling.result())

    seen += numbers(await bus_case.pull_until(FIRST, 40 - len(seen)))

    assert sorted(seen) == list(range(40))


async def test_backlog_counts_waiting_and_leased(bus_case: BusCase):
    if not bus_case.backlog_is_exact:
        pytest.skip("this broker only estimates")
    await bus_case.bus.publish("facts", facts(5))
    taken = await bus_case.pull_until(FIRST, 2)
    assert await bus_case.bus.backlog(FIRST) == 5

    await bus_case.bus.acknowledge(taken)

    assert await bus_case.bus.backlog(FIRST) == 3
    assert await bus_case.bus.backlog(SECOND) == 5


async def test_pruning_keeps_what_somebody_has_yet_to_acknowledge(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(4))
    await bus_case.pull_until(FIRST, 4, acknowledge=True)
    await bus_case.pass_time(3700 if bus_case.backlog_is_exact else 0)

    assert await bus_case.bus.prune() == 0
    assert numbers(await bus_case.pull_until(SECOND, 4, acknowledge=True)) == [0, 1, 2, 3]
    if bus_case.backlog_is_exact:
        assert await bus_case.bus.prune() == 4
        assert await bus_case.bus.prune() == 0


async def test_undeclared_names_are_refused(bus_case: BusCase):
    with pytest.raises(InvalidValueError, match=r"topics are declared.*'nowhere'"):
        await bus_case.bus.publish("nowhere", facts(1))
    with pytest.raises(InvalidValueError, match=r"subscriptions are declared.*'nobody'"):
        await bus_case.bus.pull("nobody", max_messages=1, wait_seconds=0)
    with pytest.raises(InvalidValueError, match=r"subscriptions are declared.*'nobody'"):
        await bus_case.bus.refuse("nobody", b"", {}, "why")
    with pytest.raises(InvalidValueError, match=r"subscriptions are declared.*'nobody'"):
        await bus_case.bus.requeue("nobody", [])
    with pytest.raises(InvalidValueError, match=r"subscriptions are declared.*'nobody'"):
        await bus_case.bus.dead_count("nobody")


async def test_publishing_nothing_and_to_nobody_is_fine(bus_case: BusCase):
    await bus_case.bus.publish("facts", [])
    await bus_case.bus.publish("unread", facts(3))
    await bus_case.bus.acknowledge([])
    await bus_case.bus.release([], delay_seconds=1)

    assert await bus_case.nothing_comes(FIRST)


async def test_a_pull_that_does_not_wait_takes_what_is_there(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(3))
    taken: list[int] = []

    for _ in range(50):
        taken += numbers(await bus_case.bus.pull(FIRST, max_messages=1, wait_seconds=0))

    assert sorted(taken) == [0, 1, 2]


async def test_a_large_publish_arrives_whole(bus_case: BusCase):
    await bus_case.bus.publish("facts", facts(777))

    assert numbers(await bus_case.pull_until(FIRST, 777, acknowledge=True)) == list(range(777))
