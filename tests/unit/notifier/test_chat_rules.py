"""What a chat wants, and what the book makes of it: filters, quiet hours, expiry, digests, budgets, pauses."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.chats import Chats
from services.notifier.core import outbox as rules
from services.notifier.core.bias_changes import follow
from services.notifier.core.book import OutboxBook
from services.notifier.core.chats import (
    ChatProfile,
    ChatState,
    Digest,
    QuietHours,
    expires_at_ms,
    quiet_until_ms,
    wants,
    withheld_reason,
)
from services.notifier.core.rates import RateBudget, RateLimits
from shared.domain.bias import Direction, MacroBias
from shared.domain.decisions import Condition
from shared.domain.events import MacroBiasUpdated, Severity, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.outbox import OutboxRow, Priority
from shared.domain.timeframe import Timeframe
from tests.support.signals import a_signal, closed

CHAT = "1001"
GROUP = "-1002000"
QUIET = QuietHours(22 * 60, 7 * 60)
SAIGON = ZoneInfo("Asia/Ho_Chi_Minh")


def at_ms(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def opened(symbol="BTCUSDT", **values):
    return OutboxRow(**{"chat": CHAT, "event": SignalOpened(signal=a_signal(symbol)), "queued_at_ms": 0} | values)


def ended(symbol="BTCUSDT", **values):
    signal = closed(a_signal(symbol))
    return OutboxRow(**{"chat": CHAT, "event": SignalClosed(signal=signal), "queued_at_ms": 0} | values)


def reported(kind="blind", version=1, **values):
    event = SystemEvent(kind=kind, subject="s", version=version, severity=Severity.ERROR, text="t", at_ms=version)
    return OutboxRow(**{"chat": CHAT, "event": event, "queued_at_ms": 0} | values)


class Rules:
    """A chat's wishes, as the book asks for them."""

    def __init__(self, profile):
        self._profile = profile

    def quiet_until_ms(self, chat, now_ms):
        return quiet_until_ms(self._profile, ChatState(), now_ms)

    def expires_at_ms(self, row):
        return expires_at_ms(self._profile, row)

    def digest(self, chat):
        return self._profile.digest


def book_of(*rows, limits=None, **wishes):
    profile = ChatProfile(chat=CHAT, **wishes)
    book = OutboxBook(in_flight_max=50, rules=Rules(profile), budget=RateBudget(limits))
    book.put(rows)
    return book


def sent(book, group, now_ms=0):
    book.start(group, now_ms)
    book.answered(group, now_ms)
    for row in group.rows:
        book.drop(row)
    book.finish(group)


# --- filters


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({}, True),
        ({"symbols": frozenset({"BTCUSDT"})}, True),
        ({"symbols": frozenset({"ETHUSDT"})}, False),
        ({"strategies": frozenset({"other"})}, False),
        ({"timeframes": frozenset({Timeframe.H1})}, False),
        ({"kinds": frozenset({"system"})}, False),
        ({"score_min": 60.0}, True),
    ],
)
def test_a_chat_is_told_what_it_asked_for(wish, told):
    assert wants(ChatProfile(chat=CHAT, **wish), SignalOpened(signal=a_signal())) is told


def test_a_score_below_the_chats_minimum_is_left_out():
    signal = a_signal()
    scored = [
        msgspec.structs.replace(
            signal, conditions=(Condition(name="score", value=value, threshold=0, margin=0, passed=True),)
        )
        for value in (59.9, 60.0)
    ]
    profile = ChatProfile(chat=CHAT, score_min=60.0)

    assert [wants(profile, SignalOpened(signal=one)) for one in scored] == [False, True]


def test_a_muted_pair_and_a_pause_withhold_new_signals_and_never_exits():
    muted, paused, nothing = ChatState(muted={"BTCUSDT": 1_000}), ChatState(paused=True), ChatState()
    entry, end = SignalOpened(signal=a_signal()), SignalClosed(signal=closed(a_signal()))

    assert "BTCUSDT is muted" in withheld_reason(entry, muted, nothing, 999)
    assert withheld_reason(entry, muted, nothing, 1_000) == ""
    assert "paused" in withheld_reason(entry, nothing, paused, 0)
    assert withheld_reason(end, muted, paused, 0) == ""


# --- quiet hours


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-20T14:59", None),
        ("2026-11-20T15:00", "2026-11-21T00:00"),  # 22:00 in Saigon
        ("2026-11-20T23:59", "2026-11-21T00:00"),
        ("2026-11-21T00:00", None),
    ],
)
def test_quiet_hours_follow_the_chats_clock_over_midnight(now, until):
    profile = ChatProfile(chat=CHAT, zone=SAIGON, quiet=QUIET)

    assert quiet_until_ms(profile, ChatState(), at_ms(now)) == (at_ms(until) if until else None)
    assert quiet_until_ms(profile, ChatState(quiet_set=True, quiet=None), at_ms(now)) is None


@given(
    now=st.integers(at_ms("2026-01-01"), at_ms("2027-01-01")), start=st.integers(0, 1439), length=st.integers(1, 1438)
)
def test_quiet_hours_always_end_later_and_within_a_day_and_an_hour(now, start, length):
    quiet = QuietHours(start, (start + length) % 1440)
    until = quiet.ends_at_ms(now, ZoneInfo("Europe/Berlin"))  # a zone whose clock changes twice a year

    assert until is None or now < until <= now + 25 * 3_600_000


def test_in_quiet_hours_only_exits_go_and_the_rest_goes_after():
    night, morning = at_ms("2026-11-20T23:00"), at_ms("2026-11-21T07:00")
    book = book_of(opened("A"), ended("B"), reported(), quiet=QUIET)

    assert [group.priority for group in book.ready([CHAT], night)] == [Priority.EXIT]
    sent(book, book.ready([CHAT], night)[0])
    assert book.next_time_ms([CHAT], night) == morning
    assert {group.priority for group in book.ready([CHAT], morning)} == {Priority.ENTRY}


# --- expiry


def test_what_is_too_late_for_its_chat_expires_and_an_exit_never_does():
    book = book_of(opened("A"), opened("B"), ended("B"), reported(), entry_expires_ms=1_000, other_expires_ms=9_000)

    assert book.expired([CHAT], 999) == []
    assert [row.signal.symbol for row in book.expired([CHAT], 1_000)] == ["A"]
    assert len(book.expired([CHAT], 9_000)) == 2


def test_what_may_have_arrived_does_not_expire_unknown():
    row = rules.unknown(rules.claimed(opened(), fence=1), not_before_ms=0, reason="timeout")

    assert book_of(row, entry_expires_ms=1).expired([CHAT], 10_000) == []


# --- digests

FLOOD = Digest(more_than=3, window_ms=1_000)


def test_a_flood_becomes_one_digest_a_window_and_exits_stay_apart():
    book = book_of(*(opened(f"S{number}", queued_at_ms=0) for number in range(5)), digest=FLOOD)
    book.put([ended("X")])
    [first] = book.ready([CHAT], 0)
    assert first.priority is Priority.EXIT
    sent(book, first)
    assert book.ready([CHAT], 999) == []
    assert book.next_time_ms([CHAT], 0) == 1_000

    [digest] = book.ready([CHAT], 1_000)

    assert (digest.is_digest, len(digest.rows)) == (True, 5)
    sent(book, digest)
    assert book.counts() == {"open": 0, "in_flight": 0}


def test_few_messages_are_told_one_by_one():
    book = book_of(*(opened(f"S{number}") for number in range(3)), digest=FLOOD)

    assert [group.is_digest for group in book.ready([CHAT], 0)] == [False] * 3


def test_a_digest_of_unknown_outcome_stays_a_digest_and_what_was_tried_alone_stays_alone():
    alone = rules.unknown(rules.claimed(opened("ALONE"), fence=1), not_before_ms=0, reason="timeout")
    lines = [
        rules.unknown(rules.claimed(opened(f"S{number}"), fence=1, in_digest=True), not_before_ms=0, reason="timeout")
        for number in range(2)
    ]
    book = book_of(alone, *lines, digest=FLOOD)

    kinds = {(group.is_digest, len(group.rows)) for group in book.ready([CHAT], 5_000)}

    assert kinds == {(False, 1), (True, 2)}


# --- reports and progress


def test_reports_of_one_kind_share_a_message_and_wait_for_their_pause():
    book = book_of(reported(version=1))
    [first] = book.ready([CHAT], 0)
    sent(book, first)
    book.hold(CHAT, first.subject, 300_000)
    book.put([reported(version=2), reported(kind="seeing", version=3), reported(kind="hole", version=4)])

    assert [len(group.rows) for group in book.ready([CHAT], 1)] == [1], "another kind does not wait"
    assert sorted(len(group.rows) for group in book.ready([CHAT], 300_000)) == [1, 2]


def test_a_held_progress_edit_does_not_hold_its_exit():
    signal = a_signal()
    note = OutboxRow(
        chat=CHAT, event=SignalProgressed(signal=msgspec.structs.replace(signal, version=2), note="n"), queued_at_ms=0
    )
    book = book_of(note)
    book.hold(CHAT, signal.signal_id, 300_000)
    assert book.ready([CHAT], 0) == []

    book.put([ended()])

    assert [len(group.rows) for group in book.ready([CHAT], 0)] == [2]


# --- budgets

LIMITS = RateLimits(margin_ms=0)


def test_a_private_chat_gets_one_a_second_and_all_chats_share_theirs():
    book = book_of(*(opened(f"S{number}") for number in range(3)), limits=LIMITS)
    [group] = book.ready([CHAT], 0)
    sent(book, group)

    assert book.ready([CHAT], 999) == []
    assert book.next_time_ms([CHAT], 0) == 1_000
    assert len(book.ready([CHAT], 1_000)) == 1


@given(
    asked=st.lists(st.tuples(st.sampled_from([CHAT, GROUP, f"{GROUP}/7"]), st.integers(0, 400)), max_size=150),
    factor=st.sampled_from([1.0, 20.0]),
)
def test_no_window_ever_holds_more_than_telegram_allows(asked, factor):
    limits = RateLimits(margin_ms=0, factor=factor, global_per_second=3)
    budget, now_ms, taken = RateBudget(limits), 0, []
    for chat, pause_ms in asked:
        now_ms = max(now_ms + pause_ms, budget.next_ms(chat))
        assert budget.room(chat, now_ms) > 0
        assert budget.room_of_all(now_ms) > 0
        budget.take(chat, now_ms)
        taken.append((chat.partition("/")[0], now_ms))
    for index, (chat, start_ms) in enumerate(taken):
        within = [one for one, time_ms in taken[index:] if time_ms < start_ms + 1_000 / factor]
        assert within.count(chat) <= 1
        assert len(within) <= 3
        a_minute = [one for one, time_ms in taken[index:] if time_ms < start_ms + 60_000 / factor]
        assert chat != GROUP or a_minute.count(GROUP) <= 20


def test_an_exit_that_waits_for_another_attempt_lets_no_entry_pass_at_first_but_does_not_block_for_ever():
    waiting = rules.unknown(rules.claimed(ended("A"), fence=1), not_before_ms=1_000, reason="502")
    book = book_of(waiting, opened("B"))

    assert book.ready([CHAT], 0) == []
    assert [group.priority for group in book.ready([CHAT], 1_000)] == [Priority.EXIT]

    book.put([msgspec.structs.replace(waiting, attempts=3)])
    assert [group.priority for group in book.ready([CHAT], 0)] == [Priority.ENTRY]


def test_an_exit_behind_its_own_entry_is_not_overtaken_by_entries_of_others():
    book = book_of(opened("A"))
    [entry] = book.ready([CHAT], 0)
    book.start(entry, 0)
    book.put([ended("A"), opened("B")])
    assert book.ready([CHAT], 0) == []

    book.drop(entry.rows[0])
    book.finish(entry)

    assert [group.priority for group in book.ready([CHAT], 0)] == [Priority.EXIT]


def test_what_joins_a_gathering_does_not_make_it_longer():
    early, late = opened("A", not_before_ms=500), opened("A", not_before_ms=900)
    late = msgspec.structs.replace(late, event=SignalClosed(signal=closed(a_signal("A"))))
    book = book_of(early, late)

    assert book.ready([CHAT], 499) == []
    assert [len(group.rows) for group in book.ready([CHAT], 500)] == [2]


# --- the bias


def a_bias(version, direction=Direction.LONG, confidence=50.0, regime="risk_on", **values):
    given = {"base": "BTC", "quote": "USDT", "components": {}, "published_at_ms": version * 60_000}
    times = {"effective_from_ms": version * 60_000, "expires_at_ms": version * 60_000 + 14_400_000}
    return MacroBias(
        version=version, direction=direction, confidence=confidence, regime=regime, **(given | times | values)
    )


def told(*versions):
    """Which versions are worth a message, in the order they arrive."""
    known, found = None, []
    for bias in versions:
        known, worth = follow(known, bias)
        found += [bias.version] * worth
    return found


def test_a_strong_bias_is_told_when_it_begins_and_when_it_ends_and_a_regime_when_it_changes():
    assert told(a_bias(1), a_bias(2), a_bias(3)) == [1]
    assert told(a_bias(1), a_bias(2, confidence=80), a_bias(3, confidence=75), a_bias(4, confidence=69)) == [1, 2, 4]
    assert told(a_bias(1, confidence=75), a_bias(2, confidence=80), a_bias(3, Direction.SHORT, 90)) == [1, 2, 3]
    assert told(a_bias(1), a_bias(2, regime="risk_off"), a_bias(3, regime="risk_off")) == [1, 2]
    assert told(a_bias(1, Direction.NEUTRAL, 10, regime="unknown"), a_bias(2, confidence=85)) == [2]


def test_versions_that_come_late_or_twice_are_not_told_again():
    assert told(a_bias(2, confidence=85), a_bias(1), a_bias(2, confidence=85)) == [2]


def test_a_bias_is_no_signal_and_only_chats_that_want_it_are_told():
    event = MacroBiasUpdated(bias=a_bias(1))
    chats = Chats([ChatProfile(chat="1"), ChatProfile(chat="2", kinds=frozenset({"signals"}))], None)

    assert chats.wanting(event) == ["1"]


def test_exits_ring_in_private_chats_and_groups_but_in_channels_only_where_asked_for():
    profiles = [ChatProfile(chat=chat) for chat in ("1001", "-1002", "-1003/7", "@asked_later")]
    profiles.append(ChatProfile(chat="-1004", exit_reply=True))
    chats = Chats(profiles, None)
    for address, channel in (("1001", False), ("-1002", False), ("-1003", True), ("-1004", True)):
        chats.settle_exit_reply(address, channel=channel)

    assert [chats.exit_reply(profile.chat) for profile in profiles] == [True, True, False, False, True]
