"""Which hours of the tape go: by age, by size, never the newest."""

from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.tape_budget import HOUR_MS, TapeBudget, TapeHour, TapeLimits

BTC, ETH = SeriesKey("x", "BTC"), SeriesKey("x", "ETH")


def a_budget(hours: int, *, hours_max: int = 72, bytes_max: int = 10**9) -> TapeBudget:
    budget = TapeBudget(TapeLimits(hours_max=hours_max, bytes_max=bytes_max))
    for number in range(hours):
        budget.add(BTC, number * HOUR_MS + 60_000, 60)
        budget.add(ETH, number * HOUR_MS + 120_000, 40)
    return budget


def hours_of(budget: TapeBudget) -> list[int]:
    return [hour.hour_ms // HOUR_MS for hour in budget.due()]


def test_nothing_goes_within_both_limits():
    assert hours_of(a_budget(73)) == []


def test_what_is_older_than_its_age_goes():
    assert hours_of(a_budget(10, hours_max=6)) == [0, 1, 2]


def test_the_oldest_go_until_the_rest_fits():
    budget = a_budget(10, bytes_max=750)
    assert hours_of(budget) == [0, 1, 2]
    for hour in budget.due():
        budget.dropped(hour)
    assert (budget.total_bytes, budget.due()) == (700, [])


def test_the_newest_hours_stay_however_large_they_are():
    assert hours_of(a_budget(4, bytes_max=1)) == [0, 1]


def test_age_is_told_by_each_exchanges_own_newest():
    budget = a_budget(3, hours_max=1)
    budget.add(SeriesKey("y", "BTC"), 50 * HOUR_MS, 5)
    assert budget.due() == [TapeHour("x", 0)]


def test_what_was_noted_is_counted_on_and_only_changes_are_noted_again():
    budget = TapeBudget(TapeLimits())
    budget.restore(TapeHour("x", 0), "BTC", 500)
    budget.add(ETH, 60_000, 40)
    assert budget.take_changed() == [(TapeHour("x", 0), "ETH", 40)]
    assert budget.take_changed() == []
    budget.add(BTC, 60_000, 1)
    changed = budget.take_changed()
    assert changed == [(TapeHour("x", 0), "BTC", 501)]
    budget.give_back(changed)
    assert budget.take_changed() == changed
