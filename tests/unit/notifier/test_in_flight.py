"""A message that is not answered yet holds its chat's budget a second longer, and no more."""

from services.notifier.core.rates import RateBudget, RateLimits

CHAT = "1001"


def test_an_unanswered_message_counts_a_second_more_and_an_answered_one_from_its_answer():
    budget = RateBudget(RateLimits(margin_ms=0))
    slot = budget.take(CHAT, 0, in_flight=True)
    assert [budget.room(CHAT, at_ms) for at_ms in (1_000, 1_999, 2_000)] == [0, 0, 1]

    slot.at_ms = 30
    assert [budget.room(CHAT, at_ms) for at_ms in (1_029, 1_030)] == [0, 1]
    assert budget.next_ms(CHAT) == 1_030


def test_without_limits_there_is_always_room():
    budget = RateBudget(None)
    budget.take(CHAT, 0, in_flight=True)

    assert (budget.room(CHAT, 0), budget.room_of_all(0), budget.next_ms(CHAT)) == (None, None, 0)
