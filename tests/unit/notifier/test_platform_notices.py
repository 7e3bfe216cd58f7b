"""Starts and stops: what chats are told of any sequence of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core.event_texts import system_text
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.platform_notices import BACK, DOWN, PLATFORM_KINDS, UP, PlatformState, came_up, going_down
from services.notifier.core.voice import ENGLISH
from shared.domain.events import Severity, SystemEvent
from shared.domain.outbox import OutboxRow

PAUSE_MS = 300_000
MINUTE_MS = 60_000


def lived(*steps):
    """The notices told of (minute, "start" | "stop") in turn; a start after a start follows a kill."""
    state, told = PlatformState(), []
    for minute, step in steps:
        change = came_up if step == "start" else going_down
        state, kind = change(state, minute * MINUTE_MS, pause_ms=PAUSE_MS)
        told += [(minute, kind)] if kind else []
    return told


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([(0, "start"), (60, "stop"), (61, "start")], [(0, UP), (60, DOWN), (61, UP)]),
        ([(minute, "start") for minute in range(12)], [(0, UP), (5, BACK), (10, BACK)]),
        ([(0, "start"), (1, "stop"), (2, "start"), (9, "stop")], [(0, UP), (9, DOWN)]),
        ([(0, "start"), (60, "stop"), (61, "start"), (62, "stop"), (63, "start")], [(0, UP), (60, DOWN), (61, UP)]),
        ([(100, "start"), (3, "stop")], [(100, UP), (3, DOWN)]),
    ],
    ids=["a day and a roll-out", "a crash loop", "a stop soon after a start", "roll-outs in a row", "clock set back"],
)
def test_what_is_told(steps, told):
    assert lived(*steps) == told


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=40))
def test_no_sequence_floods_or_leaves_a_running_platform_called_stopped(gaps):
    steps, minute, is_up = [], 0.0, False
    for gap_s, killed in gaps:  # a kill is followed by a start, a stop by one, too
        minute += gap_s / 60
        steps.append((minute, "start" if killed or not is_up else "stop"))
        is_up = steps[-1][1] == "start"
    told = lived(*steps)

    kinds = [kind for _, kind in told]
    assert all(later != DOWN for kind, later in itertools.pairwise(kinds) if kind == DOWN)
    assert not is_up or not kinds or kinds[-1] != DOWN
    for index, (first, _) in enumerate(told):
        assert sum(at < first + 5 - 1e-9 for at, _ in told[index:]) <= 2
    for (first, _), (second, kind) in itertools.pairwise(told):
        assert kind != DOWN or second - first >= 5 - 1e-9


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_language_says_each_of_them_in_words_of_its_own(code):
    assert LANGUAGES[code].platform.keys() == PLATFORM_KINDS <= LANGUAGES[code].system_kind.keys()


def test_a_notice_says_what_runs_and_a_stop_and_a_start_that_waited_are_told_in_one():
    def notice(number, kind):
        return SystemEvent(kind=kind, subject="n", version=number, severity=Severity.INFO, text="a <b", at_ms=number)

    assert system_text(ENGLISH, [notice(1, UP)]).startswith("🟢 <b>UP</b>: signals are told from here on.\n\na &lt;b")
    both = system_text(ENGLISH, [notice(2, UP), notice(1, DOWN)])
    assert both.index("stopped") < both.index("up <code>")
    [subject] = {OutboxRow(chat="1", event=notice(1, kind), queued_at_ms=0).subject for kind in PLATFORM_KINDS}
    assert subject
