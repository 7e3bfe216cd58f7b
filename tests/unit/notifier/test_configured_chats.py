"""Which chats are told."""

import re

import pytest

from services.notifier.configured import roles_of
from services.notifier.connecting import configured_chats
from services.notifier.core.chats import QuietHours
from services.notifier.core.roles import Role
from services.notifier.settings import NotifierSettings
from shared.runtime.config import ConfigError, load_config
from shared.runtime.settings import SettingsError

CONFIG = """
venues: {bybit-linear: {symbols: [BTCUSDT]}}
strategies: [{name: rsi_divergence}]
chats: [{name: mine}, {name: group, id: -1002000}, {name: channel, id: "@signals"}, {name: again, id: -1002000}]
"""


def settings_with(tmp_path, chat_id):
    path = tmp_path / "tracker.yaml"
    path.write_text(CONFIG)
    return NotifierSettings(tracker_config=path, telegram_chat_id=chat_id)


def names(settings):
    return tuple(profile.chat for profile in configured_chats(settings))


def test_an_entry_without_an_id_means_the_environments_chat_and_nobody_is_told_twice(tmp_path):
    assert names(settings_with(tmp_path, " 1001 ")) == ("1001", "-1002000", "@signals")
    assert names(settings_with(tmp_path, "")) == ("-1002000", "@signals")


def test_what_is_no_chat_id_is_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match="TELEGRAM_CHAT_ID"):
        configured_chats(settings_with(tmp_path, "my chat"))


def test_a_chat_may_choose_topic_language_zone_filters_quiet_hours_and_expiry(tmp_path):
    chat = """{name: vip, id: -1005, topic: 7, language: vi, time_zone: Asia/Ho_Chi_Minh, kinds: [signals],
      symbols: [BTCUSDT], timeframes: [15m], score_min: 60, exit_notice: edit, pictures: false, digest: null,
      quiet_hours: {start: "22:30", end: "07:00"}, entries_expire_minutes: 5}"""
    path = tmp_path / "tracker.yaml"
    path.write_text(CONFIG.replace("chats: [", f"chats: [{chat}, "))
    profile = configured_chats(NotifierSettings(tracker_config=path, telegram_chat_id=""))[0]

    assert (profile.chat, profile.language, profile.zone.key) == ("-1005/7", "vi", "Asia/Ho_Chi_Minh")
    assert (profile.exit_reply, profile.pictures, profile.digest) == (False, False, None)
    assert profile.quiet == QuietHours(22 * 60 + 30, 7 * 60)
    assert profile.entry_expires_ms == 300_000


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("time_zone: Mars/Olympus", "time_zone must be a name like"),
        ("language: xx", "language must be one of en, vi, was 'xx'"),
        ('quiet_hours: {start: "25:00", end: "07:00"}', "quiet_hours.start"),
        ('quiet_hours: {start: "07:00", end: "07:00"}', "must differ"),
        ("score_min: 200", "score_min"),
        ("colour: red", "colour"),
    ],
)
def test_a_fault_in_a_chat_is_named_with_its_place(tmp_path, fault, text):
    path = tmp_path / "tracker.yaml"
    path.write_text(CONFIG.replace("{name: mine}", f"{{name: mine, id: 5, {fault}}}"))
    with pytest.raises((SettingsError, ConfigError), match=re.escape(text)):
        configured_chats(NotifierSettings(tracker_config=path, telegram_chat_id=""))


def test_nobody_is_admin_but_who_is_named_and_the_owner_of_a_private_chat(tmp_path):
    path = tmp_path / "tracker.yaml"
    path.write_text(CONFIG + "roles: {trader: [7], admin: [8]}\n")
    config = load_config(path)

    private = roles_of(config, default_chat="1001")
    assert [private.of(user) for user in (1001, 8, 7, 9)] == [Role.ADMIN, Role.ADMIN, Role.TRADER, Role.NONE]
    assert roles_of(config, default_chat="-1001").of(-1001) is Role.NONE, "a group is nobody"
    path.write_text(CONFIG)
    assert roles_of(load_config(path), default_chat="").of(1001) is Role.NONE
