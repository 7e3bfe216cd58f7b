"""Which rows go next: order within a signal, urgency across signals, waiting without blocking others."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core import outbox as rules
from services.notifier.core.book import OutboxBook
from shared.domain.events import Severity, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.outbox import OutboxRow, OutboxState, Priority
from tests.support.signals import a_signal, closed

CHAT = "1001"


def opened_row(symbol="BTCUSDT", *, chat=CHAT, queued_at_ms=0):
    return OutboxRow(chat=chat, event=SignalOpened(signal=a_signal(symbol)), queued_at_ms=queued_at_ms)


def closed_row(symbol="BTCUSDT", *, chat=CHAT, queued_at_ms=0):
    return OutboxRow(chat=chat, event=SignalClosed(signal=closed(a_signal(symbol))), queued_at_ms=queued_at_ms)


def system_row(text="x", *, chat=CHAT, queued_at_ms=0):
    event = SystemEvent(kind="blind", subject=text, version=1, severity=Severity.WARNING, text=text, at_ms=1)
    return OutboxRow(chat=chat, event=event, queued_at_ms=queued_at_ms)


def book_of(*rows, in_flight_max=8):
    book = OutboxBook(in_flight_max=in_flight_max)
    book.put(rows)
    return book


def test_exits_go_before_entries_and_entries_before_information():
    book = book_of(system_row(queued_at_ms=1), opened_row("A", queued_at_ms=2), closed_row("B", queued_at_ms=3))
    order = []
    while groups := book.ready([CHAT], now_ms=10):
        order += [group.priority for group in groups]
        for group in groups:
            for row in group.rows:
                book.drop(row)

    assert order == [Priority.EXIT, Priority.ENTRY, Priority.INFORMATION]


def test_a_less_urgent_class_waits_until_nothing_more_urgent_of_the_chat_is_on_its_way():
    book = book_of(closed_row("A"), opened_row("B"))
    [exit_group] = book.ready([CHAT], now_ms=0)
    book.start(exit_group, now_ms=0)
    assert book.ready([CHAT], now_ms=0) == []

    for row in exit_group.rows:
        book.drop(row)
    book.finish(exit_group)

    assert [group.priority for group in book.ready([CHAT], now_ms=0)] == [Priority.ENTRY]


def test_a_signal_is_never_on_its_way_twice():
    book = book_of(opened_row("A"))
    [entry] = book.ready([CHAT], now_ms=0)
    book.start(entry, now_ms=0)
    book.put([closed_row("A")])

    assert book.ready([CHAT], now_ms=0) == []


def test_an_exit_joins_its_queued_entry_in_one_group_in_the_order_of_versions():
    book = book_of(closed_row("A", queued_at_ms=1), opened_row("A", queued_at_ms=2))
    [group] = book.ready([CHAT], now_ms=5)

    assert [row.signal.version for row in group.rows] == [1, 2]
    assert group.priority is Priority.EXIT


def test_a_paused_chat_holds_back_nobody_else():
    book = book_of(opened_row("A", chat="1"), opened_row("A", chat="2"))
    book.pause("1", until_ms=1_000)

    assert [group.chat for group in book.ready(["1", "2"], now_ms=999)] == ["2"]
    assert {group.chat for group in book.ready(["1", "2"], now_ms=1_000)} == {"1", "2"}
    assert book.next_time_ms(["1", "2"], now_ms=500) == 1_000


def test_a_chat_has_at_most_so_many_sends_at_once():
    book = book_of(*(opened_row(f"S{number}") for number in range(5)), in_flight_max=2)

    assert len(book.ready([CHAT], now_ms=0)) == 2


def test_a_claim_after_a_certain_failure_is_no_repeat_and_after_an_unknown_outcome_is_one():
    row = rules.claimed(opened_row(), fence=1)
    assert (row.state, row.attempts, row.repeats) == (OutboxState.CLAIMED, 1, 0)

    again = rules.claimed(rules.requeued(row, not_before_ms=5, reason="retry after 5 s"), fence=1)
    assert (again.attempts, again.repeats) == (2, 0)

    repeat = rules.claimed(rules.unknown(again, not_before_ms=9, reason="timeout"), fence=1)
    assert (repeat.attempts, repeat.repeats) == (3, 1)


def test_a_claim_found_after_a_kill_counts_as_unknown():
    killed = rules.claimed(opened_row(), fence=1)

    assert rules.claimed(killed, fence=2).repeats == 1


@pytest.mark.parametrize(("attempts", "wait_ms"), [(1, 1_000), (2, 2_000), (5, 16_000), (50, 300_000)])
def test_waits_double_up_to_five_minutes(attempts, wait_ms):
    assert rules.backoff_ms(attempts) == wait_ms


@given(
    picks=st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from(["opened", "note", "closed"]), st.integers(0, 99)),
        max_size=12,
    )
)
def test_whatever_arrives_every_row_leaves_once_and_versions_of_a_group_ascend(picks):
    book = OutboxBook(in_flight_max=3)
    rows = {}
    for symbol, kind, at_ms in picks:
        signal = a_signal(symbol)
        events = {
            "opened": SignalOpened(signal=signal),
            "note": SignalProgressed(signal=msgspec.structs.replace(signal, version=2), note="n"),
            "closed": SignalClosed(signal=closed(signal, version=3)),
        }
        row = OutboxRow(chat=CHAT, event=events[kind], queued_at_ms=at_ms)
        rows[row.event_id] = row
        book.put([row])
    left = []
    while groups := book.ready([CHAT], now_ms=100):
        for group in groups:
            versions = [row.signal.version for row in group.rows]
            assert versions == sorted(versions)
            for row in group.rows:
                left.append(row.event_id)
                book.drop(row)

    assert sorted(left) == sorted(rows)
