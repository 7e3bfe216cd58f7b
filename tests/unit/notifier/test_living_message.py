"""One message per signal, whatever the order of its events."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core.living_message import Kind, plan_signal_step, recorded
from services.notifier.core.outbox import Group
from shared.domain.events import SignalClosed, SignalOpened, SignalProgressed
from shared.domain.outbox import OutboxRow
from tests.support.signals import a_signal, closed

SIGNAL = a_signal()
OPENED = SignalOpened(signal=SIGNAL)
NOTED = SignalProgressed(signal=msgspec.structs.replace(SIGNAL, version=2), note="corrected: it would not have opened")
CLOSED = SignalClosed(signal=closed(SIGNAL, version=3))


def group_of(*events, repeats=0):
    rows = [OutboxRow(chat="1", event=event, queued_at_ms=0, repeats=repeats) for event in events]
    rows.sort(key=lambda row: row.signal.version)
    return Group(chat="1", subject=SIGNAL.signal_id, rows=tuple(rows))


def after(step, record=None, message_id=7):
    return recorded(step, record, chat="1", message_id=message_id, at_ms=5)


def test_an_entry_is_a_new_message_and_its_exit_an_edit():
    entry = plan_signal_step(group_of(OPENED), None)
    assert entry.kind is Kind.NEW

    record = after(entry)
    step = plan_signal_step(group_of(CLOSED), record)

    assert (step.kind, step.message_id, step.signal.exit) == (Kind.EDIT, 7, CLOSED.signal.exit)
    assert after(step, record).sent_at_ms == 5


def test_an_exit_that_finds_no_message_tells_the_whole_story_and_its_late_entry_nothing():
    step = plan_signal_step(group_of(CLOSED), None)
    assert step.kind is Kind.NEW

    assert plan_signal_step(group_of(OPENED), after(step)).kind is Kind.NOTHING


def test_entry_and_exit_waiting_together_become_one_message():
    step = plan_signal_step(group_of(CLOSED, OPENED), None)

    assert (step.kind, step.signal) == (Kind.NEW, CLOSED.signal)
    assert step.carrier.event == CLOSED


def test_a_note_that_arrives_after_the_exit_is_still_added():
    record = after(plan_signal_step(group_of(OPENED, CLOSED), None))
    step = plan_signal_step(group_of(NOTED), record)

    assert step.kind is Kind.EDIT
    assert step.signal == CLOSED.signal
    assert step.notes == ((2, NOTED.note),)


def test_the_mark_of_a_repeat_stays_with_the_message():
    record = after(plan_signal_step(group_of(OPENED, repeats=2), None))

    assert plan_signal_step(group_of(CLOSED), record).repeats == 2


@given(order=st.permutations([OPENED, NOTED, CLOSED]), cuts=st.sets(st.integers(1, 2)))
def test_every_order_and_grouping_ends_in_the_same_message(order, cuts):
    bounds = [0, *sorted(cuts), len(order)]
    record = None
    for start, end in itertools.pairwise(bounds):
        step = plan_signal_step(group_of(*order[start:end]), record)
        record = record if step.kind is Kind.NOTHING else after(step, record)

    assert (record.signal, record.notes) == (CLOSED.signal, ((2, NOTED.note),))
