"""The regime against an independent recomputation over twelve years, and its rules one by one."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from services.macro_engine.calendar_file import load_calendar
from services.macro_engine.core.daily import DailyRow, DailySeries
from services.macro_engine.core.fomc import FomcCalendar
from services.macro_engine.core.regime import Sources, read_regime, regime_of
from services.macro_engine.daily_rows import parse_daily
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.regime import Regime

ROOT = Path(__file__).resolve().parents[3]
HOUR = 3_600_000
DAY = 24 * HOUR
MEETING = date(2023, 5, 3)


def ms(year: int, month: int, day: int, hour: float = 0) -> int:
    return round(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000 + hour * HOUR)


def rows(*closes: float, until: date = date(2023, 5, 9)) -> list[DailyRow]:
    return [DailyRow(until - timedelta(days=back), close) for back, close in enumerate(reversed(closes))]


def independent(at: datetime, dxy: dict, dominance: dict, meetings: list) -> tuple[str, float]:
    """The issue's formula with dates and dictionaries, nothing shared with the code under test."""
    parts = []
    for closes, relative, significant in ((dxy, True, 0.35), (dominance, False, 0.60)):
        # The two newest days before this one; no recorded pause is longer than a week.
        days = [day for back in range(30, 0, -1) if (day := at.date() - timedelta(days=back)) in closes][-2:]
        # A close of seven days ago is the longest wait in the recorded files; later the source is taken as gone.
        if len(days) == 2 and at - datetime.combine(days[1], datetime.min.time(), UTC) < timedelta(days=8):
            old, new = closes[days[0]], closes[days[1]]
            change = (new / old - 1) * 100 if relative else new - old
            parts.append(0.35 * max(-1, min(1, -change / significant)))
    factor = 0.0
    for day in meetings:
        begins = datetime.combine(day, datetime.min.time(), UTC)
        hours_to, hours_since = (begins - at).total_seconds() / 3600, (at - begins).total_seconds() / 3600 - 24
        if hours_to <= 0 and hours_since < 0:
            return "risk_off", -1.0
        if 0 < hours_to < 8:
            factor = min(factor, hours_to / 8 - 1)
        if 0 <= hours_since < 4:
            factor = min(factor, -0.5 * (1 - hours_since / 4))
    score = sum(parts) + 0.30 * factor
    name = "risk_on" if score > 0.5 else "risk_small" if score > 0 else "neutral" if score >= -0.5 else "risk_off"
    return name, factor


def test_twelve_years_of_regimes_equal_an_independent_recomputation(market_data: Path):
    folder = market_data / "macro"
    dxy = {
        date.fromisoformat(r["Date"]): float(r["Close"])
        for r in csv.DictReader((folder / "dxy_daily_2014_2026.csv").open())
    }
    recorded = json.loads((folder / "btc_dominance_daily_2013_2024.json").read_text())["data"]
    dominance = {datetime.fromtimestamp(r["t"] / 1000, UTC).date(): r["b"] for r in recorded}
    meetings = [date.fromisoformat(line) for line in (folder / "fomc_meetings_2000_2026.csv").read_text().split()[1:]]
    sources = Sources(
        dxy=DailySeries([DailyRow(day, close) for day, close in dxy.items()], "dxy"),
        dominance=DailySeries(
            parse_daily((folder / "btc_dominance_daily_2013_2024.json").read_bytes(), "d"), "dominance"
        ),
        fomc=load_calendar(folder / "fomc_meetings_2000_2026.csv"),
    )
    seen: dict[str, int] = {}
    at = datetime(2014, 1, 4, tzinfo=UTC)
    while at < datetime(2026, 7, 23, tzinfo=UTC):
        near = any(abs((at.date() - day).days) <= 1 for day in meetings)
        for hour in range(24) if near else (0,):  # every hour around a meeting, ramps and day included
            moment = at + timedelta(hours=hour, minutes=30 * (hour % 2))
            reading = read_regime(sources, round(moment.timestamp() * 1000))
            expected, factor = independent(
                moment, dxy, dominance, [d for d in meetings if abs((d - at.date()).days) <= 2]
            )
            assert (reading.regime.value, reading.components["regime.fomc_factor"]) == (
                expected,
                pytest.approx(factor),
            ), moment
            seen[expected] = seen.get(expected, 0) + 1
        at += timedelta(days=1)
    assert seen.keys() == {"risk_on", "risk_small", "neutral", "risk_off"}
    assert min(seen.values()) > 100


def test_the_factor_falls_in_the_eight_hours_before_and_rises_in_the_four_after():
    calendar = FomcCalendar([MEETING, date(2023, 6, 14)])
    hours = {
        -9: 0.0,
        -8: 0.0,
        -6: -0.25,
        -4: -0.5,
        -2: -0.75,
        0: -1.0,
        23.99: -1.0,
        24: -0.5,
        26: -0.25,
        28: 0.0,
        40: 0.0,
    }

    assert {hour: calendar.factor(ms(2023, 5, 3, hour)) for hour in hours} == hours


@pytest.mark.parametrize(
    ("score", "regime"),
    [
        (1.0, Regime.RISK_ON),
        (0.5000001, Regime.RISK_ON),
        (0.5, Regime.RISK_SMALL),
        (1e-9, Regime.RISK_SMALL),
        (0.0, Regime.NEUTRAL),
        (-0.5, Regime.NEUTRAL),
        (-0.5000001, Regime.RISK_OFF),
    ],
)
def test_thresholds_and_the_size_each_regime_allows(score: float, regime: Regime):
    assert regime_of(score) is regime
    sizes = {"risk_on": 1.0, "risk_small": 0.5, "neutral": 0.0, "risk_off": 0.0}
    assert regime.size_multiplier == sizes[regime.value]


def test_a_daily_close_counts_from_midnight_after_its_day():
    sources = Sources(dxy=DailySeries(rows(100.0, 100.0, 99.0), "dxy"))

    before = read_regime(sources, ms(2023, 5, 10) - 1)
    after = read_regime(sources, ms(2023, 5, 10))

    assert before.components["regime.dxy_change"] == 0.0
    assert after.components["regime.dxy_change"] == pytest.approx(-1.0)
    assert after.score == 0.35


def test_a_missing_source_counts_nothing_and_says_so_and_with_none_the_regime_is_unknown():
    dominance = DailySeries(rows(50.0, 50.3), "dominance")
    at_ms = ms(2023, 5, 10)

    half = read_regime(Sources(dominance=dominance), at_ms)
    nothing = read_regime(Sources(missing={"dxy": "HTTP 503"}), at_ms)

    assert half.score == pytest.approx(-0.175)
    assert half.missing == {"dxy": "not configured", "fomc": "the calendar holds no day from here on"}
    assert (nothing.regime, nothing.regime.size_multiplier) == (Regime.UNKNOWN, 1.0)
    assert nothing.missing["dxy"] == "HTTP 503"


def test_a_source_that_is_down_for_days_counts_until_its_last_close_is_old():
    dxy = DailySeries(rows(100.0, 99.0), "dxy")

    assert read_regime(Sources(dxy=dxy), ms(2023, 5, 16, 23)).score == 0.35
    late = read_regime(Sources(dxy=dxy), ms(2023, 5, 17))
    assert late.regime is Regime.UNKNOWN
    assert late.missing["dxy"] == "stale: the newest close is of 2023-05-09, 7 days ago (dxy)"


def test_a_calendar_that_has_ended_is_missing_not_quiet():
    calendar = FomcCalendar([MEETING])

    assert read_regime(Sources(fomc=calendar), ms(2023, 5, 3, 12)).regime is Regime.RISK_OFF
    assert read_regime(Sources(fomc=calendar), ms(2023, 5, 4, 3)).components["regime.fomc_factor"] == -0.125
    assert read_regime(Sources(fomc=calendar), ms(2023, 5, 4, 4)).regime is Regime.UNKNOWN
    assert [calendar.days_left(ms(2023, 5, day)) for day in (1, 3, 4)] == [2, 0, -1]


def test_a_decision_day_is_risk_off_whatever_the_score():
    good = DailySeries(rows(100.0, 99.0, until=date(2023, 5, 2)), "dxy")
    share = DailySeries(rows(50.0, 49.0, until=date(2023, 5, 2)), "dominance")

    reading = read_regime(Sources(dxy=good, dominance=share, fomc=FomcCalendar([MEETING])), ms(2023, 5, 3, 10))

    assert reading.score == pytest.approx(0.4)
    assert reading.regime is Regime.RISK_OFF


def test_the_shipped_calendar_agrees_with_the_recorded_meetings_and_reaches_further(market_data: Path):
    shipped = load_calendar(ROOT / "infra" / "calendars" / "fomc.yaml").days
    recorded = load_calendar(market_data / "macro" / "fomc_meetings_2000_2026.csv").days

    assert [day for day in shipped if day <= recorded[-1]] == [day for day in recorded if day >= shipped[0]]
    assert shipped[-1] > recorded[-1]
    announcements = load_calendar(market_data / "macro" / "fomc_announcements_1990_2020.csv").days
    assert announcements[0] == date(1990, 2, 8)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "days: [2026-12-09, soon]", "a day must be a date like 2026-12-09, was 'soon'"),
        ("a.yaml", "2026-12-09", "a list `days` is required"),
        ("a.yaml", "days: [", "not valid YAML"),
        ("a.yaml", "days: []", "a calendar holds at least one day"),
        ("a.csv", "when\n2026-12-09", "a column `date` is required"),
        ("a.csv", "date\n31/12/2026", "a day must be a date"),
    ],
)
def test_a_wrong_calendar_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str):
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(InvalidValueError, match=said):
        load_calendar(file)
    with pytest.raises(PermanentError, match="cannot be read"):
        load_calendar(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"<html>502</html>", TransientError, "must be JSON, was '<html>"),
        (b'{"rows": [{"date": "2026-07-22"}]}', InvalidValueError, "missing required field"),
        (b'{"rows": [{"date": "2026-07-22", "close": 1}]}', InvalidValueError, "at least two daily closes"),
        (b"{}", InvalidValueError, "at least two daily closes"),
        (b'{"data": [{"t": 1e30, "b": 5}, {"t": 1, "b": 5}]}', InvalidValueError, "is required"),
    ],
)
def test_a_wrong_answer_of_a_source_is_refused_by_name(body: bytes, error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        parse_daily(body, "dxy")
    with pytest.raises(InvalidValueError, match="close must be a finite number > 0"):
        DailySeries(rows(1.0, -1.0), "dxy")
