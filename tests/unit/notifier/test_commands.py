"""How commands and their arguments read."""

import contextlib
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.core import commands as rules
from services.notifier.core.chats import QuietHours
from services.notifier.core.commands import Command, MalformedError, UnknownSymbolError, UnknownTimeframeError
from services.notifier.core.languages import LANGUAGES
from services.notifier.core.roles import Role, Roles
from services.notifier.people import Pace

MARKETS = [("bybit-linear", "BTCUSDT"), ("binance-spot", "BTCUSDT"), ("binance-spot", "ETHUSDT")]
NOW_MS = 1_795_190_400_000  # 2026-11-20 16:00 UTC
SAIGON = ZoneInfo("Asia/Ho_Chi_Minh")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/start", Command(name="start", arguments=())),
        ("/Chart btcusdt  15m", Command(name="chart", arguments=("btcusdt", "15m"))),
        ("/why@my_bot BTCUSDT", Command(name="why", arguments=("BTCUSDT",))),
        ("/why@another_bot BTCUSDT", None),
        ("good morning", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_message_is_a_command_or_none(text, command):
    assert rules.parse(text, "My_Bot") == command


def test_a_misspelled_command_finds_its_neighbour():
    assert [rules.nearest(name) for name in ("stats", "chrat", "puase")] == ["status", "chart", "pause"]


def test_a_market_is_found_by_symbol_or_with_its_venue():
    assert rules.market_of("btcusdt", MARKETS) == ("bybit-linear", "BTCUSDT")
    assert rules.market_of("binance-spot/BTCUSDT", MARKETS) == ("binance-spot", "BTCUSDT")
    with pytest.raises(UnknownSymbolError):
        rules.market_of("<b>", MARKETS)
    with pytest.raises(UnknownTimeframeError):
        rules.timeframe_of("7m")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("22:30", NOW_MS - 30 * 60_000),  # 23:00 in Saigon now
        ("23:30", NOW_MS + 30 * 60_000 - 86_400_000),  # not yet today: yesterday's
        ("2026-11-20T22:00", NOW_MS - 3_600_000),
        ("2026-11-20T15:00+00:00", NOW_MS - 3_600_000),
        (str(NOW_MS - 5), NOW_MS - 5),
    ],
)
def test_a_time_is_read_on_the_chats_clock(text, time_ms):
    assert rules.time_of(text, SAIGON, NOW_MS) == time_ms


@pytest.mark.parametrize("text", ["25:00", "yesterday", "2026-13-01", "", "99999999999999999", "0001-01-01"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(MalformedError):
        rules.time_of(text, SAIGON, NOW_MS)


@pytest.mark.parametrize(("text", "hours"), [("4", 4.0), ("0.5", 0.5), ("12h", 12.0)])
def test_hours(text, hours):
    assert rules.hours_of(text) == hours


@pytest.mark.parametrize("text", ["0", "-1", "nan", "1e9", "four"])
def test_what_are_no_hours_are_refused(text):
    with pytest.raises(MalformedError):
        rules.hours_of(text)


def test_quiet_hours_and_off():
    assert rules.quiet_of("22:00-7:30") == QuietHours(22 * 60, 7 * 60 + 30)
    assert rules.quiet_of("OFF") is None
    for text in ("22-7", "22:00-22:00", "24:00-07:00", ""):
        with pytest.raises(MalformedError):
            rules.quiet_of(text)


@given(text=st.text(max_size=80))
def test_whatever_is_written_is_read_or_refused(text):
    command = rules.parse(text, "bot")
    assert command is None or (command.name and len(command.name) <= 64)
    for read in (rules.hours_of, rules.quiet_of, lambda given: rules.time_of(given, SAIGON, NOW_MS)):
        with contextlib.suppress(MalformedError):  # anything else would end the command
            read(text)


def test_roles_build_on_one_another_and_every_command_is_explained_in_every_language():
    roles = Roles(viewer=frozenset({1}), trader=frozenset({1, 2}), admin=frozenset({3}))

    assert [roles.of(user) for user in (1, 2, 3, 4)] == [Role.TRADER, Role.TRADER, Role.ADMIN, Role.NONE]
    for words in LANGUAGES.values():
        assert words.command.keys() == rules.NEEDED_ROLE.keys()
        assert words.usage.keys() <= rules.NEEDED_ROLE.keys()
        assert all(len(text) <= 256 for text in words.command.values()), "Telegram's limit"


def test_one_person_asks_so_often_and_another_is_not_held_back():
    pace = Pace(questions_max=2, seconds=10)

    assert [pace.wait_ms(1, at_ms) for at_ms in (0, 1_000, 2_000, 9_999, 10_000)] == [0, 0, 8_000, 1, 0]
    assert pace.wait_ms(2, 2_000) == 0
